"""Elements of EBML (RFC 8794), of which Matroska and WebM files are made."""

from __future__ import annotations

from typing import BinaryIO

EBML, SEGMENT, CLUSTER, BLOCK_GROUP = 0x1A45DFA3, 0x18538067, 0x1F43B675, 0xA0
VOID = 0xEC
"""Names of elements (RFC 8794 and RFC 9559)."""

_MAX_HEAD_BYTES = 12


def read_element(file: BinaryIO, at: int) -> tuple[int, int, int | None] | None:
    """Return an element's name, where its data start, and their size; None where there is none.

    Args:
        file: Open, anywhere.
        at: Where the element begins.

    Raises:
        OSError: The file cannot be read.
    """
    file.seek(at)
    head = file.read(_MAX_HEAD_BYTES)
    name_bytes = _length(head[:1])
    size_bytes = _length(head[name_bytes : name_bytes + 1])
    start = name_bytes + size_bytes
    if not (name_bytes and size_bytes and len(head) >= start):
        return None
    all_ones = (1 << 7 * size_bytes) - 1
    size = int.from_bytes(head[name_bytes:start]) & all_ones
    return int.from_bytes(head[:name_bytes]), at + start, None if size == all_ones else size


def _length(first: bytes) -> int:
    """Return of how many bytes a number is that begins with this one; 0 for none."""
    return 9 - first[0].bit_length() if first and first[0] else 0
