"""The document of a run is not used while it lacks what a person has labelled since."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from review_cases import running
from runs import vitpose
from training_cases import small_run

from vitpose_cli.records.run import Run
from vitpose_cli.records.shards import lacks_edits
from vitpose_cli.smoothed_labels import for_document


@pytest.fixture
def written(run_folder: Path) -> Path:
    """Return a run that has its document."""
    with Run.edit(run_folder) as run:
        run.export(for_document)
    return run_folder


@pytest.mark.parametrize(("killed", "of_file"), [(False, True), (True, False)])
def test_it_is_refused_while_a_review_is_open_and_after_it_was_killed(
    written: Path, killed: bool, of_file: bool
) -> None:
    labels = written / "annotations.json" if of_file else written
    config = written.parent / "train.yaml"
    images = str(written.parent / "media")
    source = {"kind": "coco", "annotations": str(labels), "images": images}
    config.write_text(yaml.safe_dump(small_run(written.parent, data={"train": [source]})))
    commands = [
        ("validate", labels),
        ("evaluate", "-a", labels, "-p", written),
        ("train", "-c", config, "--dry-run"),
        ("annotate", written.parent / "media", "--boxes", labels, "-o", written.parent / "new"),
    ]
    with running(written) as server:
        assert server.save("b.jpg", "accepted").status == 200
        if killed:
            server.kill()
        for command in commands:
            done = vitpose(*command)
            said = " ".join(done.stderr.split())
            assert done.returncode == 3, said
            assert "A person has labelled frames in" in said
            assert "vitpose review" in said
    if killed:
        with running(written):
            pass
    assert vitpose("validate", labels).returncode == 0


def test_a_copy_of_a_run_is_as_good_whatever_the_times_of_its_files(
    written: Path, tmp_path: Path
) -> None:
    with running(written) as server:
        server.save("b.jpg", "accepted")
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in sorted(written.iterdir()):  # the document first, the journal of edits after it
        shutil.copy(path, copy / path.name)
    assert not lacks_edits(copy)
    assert vitpose("validate", copy).returncode == 0
