"""Text as OpenCV can write it on a picture."""

from __future__ import annotations

import unicodedata

import cv2

_ASCII_ONLY = int(cv2.__version__.split(".")[0]) < 5


def writable(text: str, *, ascii_only: bool = _ASCII_ONLY) -> str:
    """Return a line of text with what OpenCV cannot write as question marks.

    Letters and their accents are put together, as OpenCV 5 writes them side by side otherwise; on
    half a character it crashes, and a line break begins another line.

    Args:
        text: Any text.
        ascii_only: Leave out accents, and take what is left outside of ASCII for what cannot be
            written, as in OpenCV 4.
    """
    text = unicodedata.normalize("NFC", text)
    if ascii_only:
        apart = unicodedata.normalize("NFKD", text)
        bare = "".join(letter for letter in apart if not unicodedata.combining(letter))
        text = bare.encode("ascii", "replace").decode()
    return "".join(
        "?" if unicodedata.category(letter) in ("Cc", "Cs") else letter for letter in text
    )
