"""Archives of CVAT that are damaged, or larger than memory."""

import tracemalloc
from contextlib import suppress
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from format_cases import bring_back, make_run

from vitpose_cli.errors import InputError


def test_an_archive_that_a_download_damaged_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    path = tmp_path / "task.zip"
    with ZipFile(path, "w", ZIP_DEFLATED) as zipped:
        zipped.write(run / "annotations.json", "annotations/person_keypoints_default.json")
        zipped.writestr("images/ä.jpg", b"")
    whole = path.read_bytes()
    for byte in b"\xff\x80\x00":  # in the names of the table at the end, too
        for place in range(len(whole) - 22 - 46 - 14, len(whole) - 22):
            path.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
            with suppress(InputError):
                bring_back(run, path, "cvat")
    for place in range(80, len(whole) - 200, len(whole) // 20):
        path.write_bytes(whole[:place] + b"\xff\x00\xff" + whole[place + 3 :])
        with pytest.raises(InputError, match="cannot be read as an archive") as caught:
            bring_back(run, path, "cvat")
        assert str(path) in caught.value.message
    assert set(tmp_path.iterdir()) == {run, path}


def test_a_large_document_in_an_archive_is_not_held_in_memory(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    path = tmp_path / "task.zip"
    document = (run / "annotations.json").read_text()
    with ZipFile(path, "w", ZIP_DEFLATED) as zipped:
        member = "annotations/person_keypoints_default.json"
        zipped.writestr(member, " " * (32 << 20) + document)
    tracemalloc.start()
    summary = bring_back(run, path, "cvat")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert summary.count("unchanged") > 0
    assert peak < 24 << 20
