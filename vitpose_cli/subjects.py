"""Whose the frames are, told by their names.

What belongs to one person may lie in many folders and videos. Upper and lower case and how an
accent is encoded make no difference, as two names that may be one person's must not be in two
parts.
"""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Sequence, Set

from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.media.archives import ARCHIVE_SUFFIX
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.media.headers import IMAGE_SUFFIXES
from vitpose_cli.media.kinds import VIDEO_SUFFIXES
from vitpose_cli.plurals import counted

# Also of folders: frames are extracted to `walk.MP4/`, in which `P[0-9]+` would find somebody.
_SUFFIXES = re.compile(
    rf"({'|'.join(map(re.escape, {*IMAGE_SUFFIXES, *VIDEO_SUFFIXES, ARCHIVE_SUFFIX}))})(?=/|$)",
    re.IGNORECASE,
)


class Subjects:
    """Finds in the name of a frame the text that says whose it is."""

    def __init__(self, pattern: str, name: str = "--subject") -> None:
        """Take a regular expression; what its groups find counts, if it has any.

        Args:
            pattern: The expression.
            name: What a user calls it.

        Raises:
            ConfigError: It is none.
        """
        try:
            with warnings.catch_warnings(action="ignore"):  # of what a later Python may read anew
                self._pattern = re.compile(unicodedata.normalize("NFC", pattern))
        except (re.error, OverflowError, RecursionError) as error:
            raise ConfigError(
                f"{name} {pattern!r} is no regular expression: {error}.",
                "For patients P01, P02 and so on: 'P[0-9]+'.",
            ) from error
        self._name = f"{name} {pattern!r}"

    def of(self, key: FrameKey, video: str = "", named: Set[str] = frozenset()) -> str | None:
        """Return the subject of a frame; None where its name does not tell.

        Args:
            key: The frame.
            video: The video that it is of where its name does not tell; empty where it does.
            named: Names of videos. What one without a name is called instead, `video 3`, says of
                nobody who it is.
        """
        video = video if video in named else ""
        media = (FrameKey.of_video(key.media) or key).media
        name = _SUFFIXES.sub("", f"{video}/{media}" if video else media)
        found = self._pattern.search(unicodedata.normalize("NFC", name))
        if found is None:
            return None
        text = " ".join(filter(None, found.groups())) if found.re.groups else found.group()
        return text.casefold() or None

    def nobody(self, names: Sequence[str], instead: str) -> InputError:
        """Return the error for frames whose names do not tell.

        Args:
            names: Those of the frames, at least one.
            instead: What else can be done, as a clause.
        """
        return InputError(
            f"{self._name} finds nothing in the names of {counted(len(names), 'frame')}, such as "
            f"{names[0]}.",
            "Widen the expression until it finds somebody in every name ([Pp] takes both cases), "
            f"or {instead}.",
        )
