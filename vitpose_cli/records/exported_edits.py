"""How much of what a person said the document of a run contains, in a file beside the journal.

Times do not tell: clocks are set back, and copies have times of their own. It is no part of the
document, which has the same bytes for the same labels in however many steps they were made.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import orjson

from vitpose_cli.files import TEMPORARY_SUFFIX, atomic_file, read_error
from vitpose_cli.records.folder import EXPORTED_EDITS, REVIEW_JOURNAL
from vitpose_cli.records.record import checksum

_TAIL_BYTES = 4096
_PIECE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class ExportedEdits:
    """What was in the document when it was written.

    Attributes:
        journal_bytes: Length of the lines of the journal of edits that it contains.
        journal_crc: CRC-32 of the last 4,096 of these bytes, or of all, as 8 hex digits.
        document_bytes: Length of the document, of all its files together.
    """

    journal_bytes: int
    journal_crc: str
    document_bytes: int

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return what the run in `folder` says; None where it says nothing that can be read.

        Raises:
            InputError: Nobody may read it.
        """
        path = folder / EXPORTED_EDITS
        try:
            return cls(**orjson.loads(path.read_bytes()))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise read_error(path, error) from error
        except (orjson.JSONDecodeError, TypeError):
            return None

    def write(self, folder: Path) -> None:
        """Write it into the run in `folder`, whose document no other process may write meanwhile.

        Raises:
            InputError: It cannot be written.
        """
        path = folder / EXPORTED_EDITS
        for leftover in folder.glob(f".{path.name}*{TEMPORARY_SUFFIX}"):  # of a killed process
            leftover.unlink(missing_ok=True)
        with atomic_file(path) as stream:
            stream.write(orjson.dumps(asdict(self)) + b"\n")

    def contains(self, folder: Path) -> bool:
        """Return whether the journal of edits in `folder` is what it was then, line by line.

        Raises:
            InputError: The journal cannot be read.
        """
        return edits_of(folder) == (self.journal_bytes, self.journal_crc)


def edits_of(folder: Path) -> tuple[int, str]:
    """Return how long the whole lines of the journal of edits are, bytes, and their checksum.

    Args:
        folder: The run.

    Returns:
        As in `ExportedEdits`; 0 bytes where there is no edit.

    Raises:
        InputError: The journal cannot be read.
    """
    path = folder / REVIEW_JOURNAL
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            end = 0
            while size and not end:  # from behind: a line that is being written may be long
                start = max(0, size - _PIECE_BYTES)
                stream.seek(start)
                found = stream.read(size - start).rfind(b"\n")
                end = start + found + 1 if found >= 0 else 0
                size = start
            start = max(0, end - _TAIL_BYTES)
            stream.seek(start)
            return end, checksum(stream.read(end - start))
    except FileNotFoundError:
        return 0, checksum(b"")
    except OSError as error:
        raise read_error(path, error) from error
