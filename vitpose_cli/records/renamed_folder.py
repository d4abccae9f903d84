"""Whether the folder that a run labels is there under another name: as photos that it knows say.

Only where the folder of before is gone: as long as it is there, one of another name is another. A
mark in the folder itself was refused, as nothing is written among what people label.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from vitpose_cli.errors import InputError
from vitpose_cli.media.archives import photo_at
from vitpose_cli.media.headers import HEADER_BYTES, upright_size
from vitpose_cli.media.marks import JOURNALS
from vitpose_cli.media.reading import read_start
from vitpose_cli.records.coco import safe_media_path
from vitpose_cli.records.index import JournalReader
from vitpose_cli.records.journal import Scan
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.record import FrameRecord

_NUM_SAMPLES = 100
_WHOLE_FOLDER = "."  # as `RunManifest.root` of one folder


def with_renamed_folder(before: RunManifest, wanted: RunManifest, run: Path) -> RunManifest:
    """Return the manifest of a run, with the folder of `wanted` if that is its own, renamed.

    It is where each of the first photos and videos that the run has labelled is there, photos in
    the size that they had.

    Args:
        before: The manifest of the run.
        wanted: What it is to go on with.
        run: The folder that the run lies in.

    Raises:
        InputError: A journal cannot be read.
    """
    if not len(before.sources) == len(wanted.sources) == 1 or not before.are_sources_gone(run):
        return before
    folder = Path(wanted.sources[0])
    if {before.root, wanted.root} != {_WHOLE_FOLDER} or not folder.is_dir():
        return before
    known = list(_first_labelled(sorted(run.glob(JOURNALS))))
    if not known or not all(_is_in(folder, record) for record in known):
        return before
    return replace(before, sources=wanted.sources, root=wanted.root, base=wanted.base)


def _first_labelled(journals: list[Path]) -> Iterator[FrameRecord]:
    """Yield a record of each of the first photos and videos that journals hold labels of.

    Raises:
        InputError: A journal cannot be read.
    """
    seen = set[str]()
    with closing(JournalReader(journals)) as reader:
        for number, path in enumerate(journals):
            for entry in Scan(path).entries():
                if entry.failed or entry.media in seen:
                    continue
                seen.add(entry.media)
                yield reader.read(number, entry.offset, entry.length)
                if len(seen) == _NUM_SAMPLES:
                    return


def _is_in(folder: Path, record: FrameRecord) -> bool:
    """Return whether a folder has the photo or video of a record; sizes that nobody knows fit."""
    try:
        photo = photo_at(safe_media_path(folder, record.key.media))
        if photo is None or record.key.video is not None or not isinstance(photo, Path):
            return photo is not None
        size_wh = upright_size(read_start(photo, HEADER_BYTES))
    except (InputError, OSError):
        return False
    return size_wh in (None, record.size_wh)
