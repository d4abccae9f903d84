"""What is there as it would be written is left alone, and nothing else is."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from record_cases import fill, make_fixed, make_manifest, make_record

import vitpose_cli
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run
from vitpose_cli.records.run_document import ExportSummary, Finish, as_they_are

OUTPUTS = ("annotations.json", "failures.jsonl")


def export(folder: Path, finish: Finish = as_they_are, **options: int) -> ExportSummary:
    with Run.open(folder, make_manifest()) as run:
        return run.export(finish, **options)


def without_the_first(_: RunManifest, records: Iterator[FrameRecord]) -> Iterator[FrameRecord]:
    next(records)
    return records


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a run whose document and failures are made."""
    export(fill(tmp_path))
    return tmp_path


def identities(folder: Path) -> list[tuple[int, int]]:
    """Return what tells whether files were written anew, however fast: each gets a new inode."""
    found = [(folder / name).stat() for name in OUTPUTS]
    return [(each.st_ino, each.st_mtime_ns) for each in found]


def test_a_document_that_would_be_the_same_is_not_written_again(folder: Path) -> None:
    before = identities(folder)
    first = export(folder)
    assert export(folder) == first
    assert (first.num_images, first.num_instances, first.num_failures) == (6, 11, 1)
    assert identities(folder) == before


def test_nor_after_somebody_looked_through_the_run_and_changed_nothing(folder: Path) -> None:
    before = identities(folder)
    Run.edit(folder).close()
    assert (folder / "journal-review.jsonl").exists()
    export(folder)
    assert identities(folder) == before


def test_it_is_not_in_a_copy_of_the_folder_either_whatever_its_times(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    copy = tmp_path_factory.mktemp("copy")
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
        os.utime(copy / path.name, (0, time.time() + 1e6))
    before = identities(copy)
    export(copy)
    assert identities(copy) == before


def add_a_label(folder: Path) -> None:
    fill(folder, [make_record("new.jpg")])


def edit(folder: Path) -> None:
    with Run.edit(folder) as run:
        run.append(make_fixed("a.jpg"))


def put_a_journal_beside(folder: Path) -> None:
    other = folder / "other"
    fill(other, [make_record("new.jpg")])
    (other / "journal-1-of-1.jsonl").rename(folder / "journal-2-of-2.jsonl")


def damage_a_line(folder: Path) -> None:
    journal = folder / "journal-1-of-1.jsonl"
    status = journal.stat()
    journal.write_bytes(journal.read_bytes().replace(b'"b.jpg"', b'"B.jpg"', 1))
    os.utime(journal, ns=(status.st_atime_ns, status.st_mtime_ns))


def change_the_document(folder: Path) -> None:
    for name in OUTPUTS:
        path = folder / name
        status = path.stat()
        path.write_bytes(path.read_bytes().replace(b"jpg", b"png", 1))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def delete_the_document(folder: Path) -> None:
    (folder / OUTPUTS[0]).unlink()


def delete_the_failures(folder: Path) -> None:
    (folder / OUTPUTS[1]).unlink()


def leave_a_shard_beside(folder: Path) -> None:
    (folder / "annotations-00000-of-00002.json").write_bytes(b"{}")


def be_of_another_weights_name(folder: Path) -> None:
    manifest = folder / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"tiny"', b'"huge"'))


def spoil_what_tells(folder: Path) -> None:
    made = folder / "annotations.made"
    made.write_bytes(made.read_bytes()[:-10])


@pytest.mark.parametrize(
    "change",
    [
        add_a_label,
        edit,
        put_a_journal_beside,
        damage_a_line,
        change_the_document,
        delete_the_document,
        delete_the_failures,
        leave_a_shard_beside,
        be_of_another_weights_name,
        spoil_what_tells,
    ],
)
def test_whatever_was_changed_it_is_made_as_one_that_never_was_there(
    folder: Path, change: Callable[[Path], None]
) -> None:
    before = identities(folder)
    change(folder)
    export(folder)
    assert identities(folder) != before
    again = [(folder / name).read_bytes() for name in OUTPUTS]
    for name in (*OUTPUTS, "annotations.made"):
        (folder / name).unlink()
    export(folder)
    assert [(folder / name).read_bytes() for name in OUTPUTS] == again
    assert not (folder / "annotations-00000-of-00002.json").exists()


def test_other_ways_and_numbers_of_files_make_another_document(folder: Path) -> None:
    assert export(folder, without_the_first).num_images == 5
    assert export(folder).num_images == 6
    assert export(folder, num_shards=2).annotations.name == "annotations-*-of-00002.json"
    before = {path.name: path.stat().st_ino for path in folder.glob("annotations-*.json")}
    assert export(folder).num_images == 6  # as many as before
    after = {path.name: path.stat().st_ino for path in folder.glob("annotations-*.json")}
    assert after == before


def test_a_program_of_other_code_makes_its_own_document(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    program = tmp_path_factory.mktemp("program")
    shutil.copytree(Path(vitpose_cli.__file__).parent, program / "vitpose_cli")
    call = "import sys, test_made_document as own; own.export(own.Path(sys.argv[1]))"
    paths = os.pathsep.join([str(program), *sys.path])

    def export_with_it() -> None:
        subprocess.run(
            [sys.executable, "-c", call, str(folder)],
            cwd=program,
            env=os.environ | {"PYTHONPATH": paths},
            check=True,
        )

    before = identities(folder)
    export_with_it()
    assert identities(folder) == before
    code = program / "vitpose_cli" / "records" / "run_document.py"
    code.write_bytes(code.read_bytes().replace(b"labelled with", b"labelled by"))
    export_with_it()
    assert b"Keypoints labelled by" in (folder / OUTPUTS[0]).read_bytes()


def test_what_a_killed_process_left_is_deleted_though_nothing_is_written(folder: Path) -> None:
    left_over = folder / ".annotations.json.1.vitpose-tmp"
    left_over.touch()
    before = identities(folder)
    export(folder)
    assert identities(folder) == before
    assert not left_over.exists()
