"""FFmpeg's log, kept away from Python.

PyAV hands it to `logging` once somebody asks for that; torchvision 0.21 does so when it is
imported. FFmpeg's threads then wait for the interpreter's lock to say something, while whoever
holds the lock waits for these threads to end, and the process hangs for ever. What a user need
know is in the errors that FFmpeg returns.
"""

from __future__ import annotations

import av


def silence() -> None:
    """Turn the log off, for whatever opens a video next."""
    av.logging.set_level(None)
