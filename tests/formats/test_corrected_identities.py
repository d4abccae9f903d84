"""Who is who over the frames of a video, as other programs give it back."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from format_cases import bring_back, export, labels, make_run, record

from vitpose_cli.formats.corrections import CorrectedFrame, CorrectedPerson
from vitpose_cli.formats.identities import numbered_as_in_run
from vitpose_cli.formats.import_summary import ImportSummary
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run
from vitpose_cli.tracking.smoothed_labels import for_document

Document = dict[str, Any]


def tracked(index: int, count: int = 2) -> FrameRecord:
    one = record("clip.mp4", count=count, index=index)
    assert one.instances is not None
    return replace(one, instances=replace(one.instances, track_ids=np.arange(count) + 7))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run that keeps identities: those of 7 and 8 in five frames."""
    return make_run(tmp_path / "run", [tracked(index) for index in range(5)])


def back(run: Path, form: str, edit: Callable[[Document], None]) -> ImportSummary:
    """Bring a run's export back after an edit; of CVAT with tracks in numbers of its own.

    Args:
        run: The run.
        form: The tool, and in what it writes its document: a file, or a folder.
        edit: What is done to the document.
    """
    tool, *of_folder = form.split()
    path = run.parent / "out.json"
    export(run, "coco", path)
    document = json.loads(path.read_bytes())
    if tool == "cvat":
        first = document["annotations"][0]["attributes"]["track_id"]
        for each in document["annotations"]:
            each["attributes"]["track_id"] -= first
    edit(document)
    path.write_text(json.dumps(document))
    if of_folder:
        folder = run.parent / "task" / "annotations"
        folder.mkdir(parents=True, exist_ok=True)
        path = path.rename(folder / "person_keypoints_default.json").parent.parent
    return bring_back(run, path, tool)


def ids(run: Path) -> list[list[int]]:
    found = []
    for each in labels(run).values():
        assert each.instances is not None
        assert each.instances.track_ids is not None
        found.append(each.instances.track_ids.tolist())
    return found


def nothing(_: Document) -> None:
    pass


def exchange(document: Document) -> None:
    """Exchange two people in the last two frames."""
    for first, second in zip(
        document["annotations"][6::2], document["annotations"][7::2], strict=True
    ):
        one, other = first["attributes"], second["attributes"]
        one["track_id"], other["track_id"] = other["track_id"], one["track_id"]


def part(document: Document) -> None:
    """Make somebody else of a person in the last two frames."""
    for each in document["annotations"][6::2]:
        each["attributes"]["track_id"] = 40


def add(document: Document) -> None:
    """Add a person to the first three frames."""
    for number, image in enumerate(document["images"][:3]):
        new = {"id": 100 + number, "image_id": image["id"], "category_id": 1, "iscrowd": 0}
        new |= {
            "bbox": [500, 300, 80, 90],
            "keypoints": [510 + number, 320, 2, 570, 380, 2] + [0] * 45,
        }
        document["annotations"].append(new | {"attributes": {"track_id": 40}})


@pytest.mark.parametrize("tool", ["coco", "cvat", "cvat folder"])
def test_identities_that_came_back_as_they_were(run: Path, tool: str) -> None:
    assert back(run, tool, nothing).count("unchanged") == 5
    assert ids(run) == [[7, 8]] * 5


@pytest.mark.parametrize("tool", ["coco", "cvat", "cvat folder"])
def test_exchanged_identities_are_taken(run: Path, tool: str) -> None:
    summary = back(run, tool, exchange)
    assert (summary.count("changed"), summary.count("unchanged")) == (2, 3)
    assert summary.as_dict()["identities_changed"] == 4
    assert summary.as_dict()["people"] == {"changed": 0, "added": 0, "removed": 0}
    assert ids(run) == [[7, 8]] * 3 + [[8, 7]] * 2
    document = json.loads((run / "annotations.json").read_bytes())
    assert [each["attributes"]["track_id"] for each in document["annotations"][6:]] == [8, 7] * 2


@pytest.mark.parametrize("tool", ["coco", "cvat", "cvat folder"])
def test_a_track_that_was_parted_is_two(run: Path, tool: str) -> None:
    assert back(run, tool, part).total("num_identities") == 2
    (new, second), last = ids(run)[3:]
    assert [new, second] == last
    assert second == 8
    assert ids(run)[:3] == [[7, 8]] * 3
    assert new == 40 if tool == "coco" else new not in (7, 8)


@pytest.mark.parametrize("tool", ["coco", "cvat", "cvat folder"])
def test_who_was_added_with_one_identity_has_one(run: Path, tool: str) -> None:
    summary = back(run, tool, add)
    assert (summary.total("num_added"), summary.total("num_identities")) == (3, 0)
    found = ids(run)
    assert len({each[2] for each in found[:3]}) == 1
    assert found[0][2] not in (7, 8)
    assert [each[:2] for each in found] == [[7, 8]] * 5


def test_who_was_added_to_frames_without_people_has_one_identity(tmp_path: Path) -> None:
    frames = [record("clip.mp4", count=0, index=index) for index in range(3)]
    run = make_run(tmp_path / "run", [*frames, tracked(3)])
    assert back(run, "cvat", add).total("num_added") == 3
    (first, *others), (kept, _) = ids(run)[:3], ids(run)[3]
    assert others == [first] * 2
    assert (kept, first[0] in (7, 8)) == (7, False)


@pytest.mark.parametrize(("edit", "lost"), [(nothing, 0), (exchange, 4)])
@pytest.mark.parametrize("tool", ["coco", "cvat", "cvat folder"])
@pytest.mark.parametrize("document", ["there", "of fewer frames", "broken"])
def test_where_a_run_keeps_none_it_is_said(
    tmp_path: Path, document: str, tool: str, edit: Callable[[Document], None], lost: int
) -> None:
    first = tracked(0)
    assert first.instances is not None
    people = replace(first.instances, track_ids=None)
    frames = [replace(tracked(index), instances=people, uids=()) for index in range(5)]
    is_short = document == "of fewer frames"  # as after a run that was interrupted
    run = make_run(tmp_path / "run", frames[:4] if is_short else frames)
    with Run.open(run, Run.read(run).manifest) as opened:
        opened.export(for_document)
        if is_short:
            opened.append(frames[4])
    if document == "broken":
        (run / "annotations.json").write_text("{")

    summary = back(run, tool, edit)
    assert (summary.count("changed"), summary.as_dict()["identities_lost"]) == (0, lost)


def test_identities_of_another_run_are_not_taken(run: Path) -> None:
    def of_another_run(document: Document) -> None:
        for each in (*document["images"], *document["annotations"]):
            each.get("attributes", each)["version"] = "deadbeef"
        exchange(document)

    assert back(run, "coco", of_another_run).count("unchanged") == 5


def test_thousands_of_tracks_are_numbered_as_in_the_run_at_once() -> None:
    count, key = 40_000, FrameKey("clip.mp4", 0)
    nowhere = np.zeros((1, 2)), np.zeros(1, np.int8), None
    people = tuple(CorrectedPerson(f"u{n}", *nowhere, track_id=n) for n in range(count))
    known = {key: {f"u{n}": count + n for n in range(count)}}
    begun = time.process_time()
    (frame,) = numbered_as_in_run([(key, CorrectedFrame("a", None, "", people))], known)
    assert time.process_time() - begun < 3  # 0.3 here; 7 where each track looks through all
    assert [person.track_id for person in frame.people] == [count + n for n in range(count)]
