import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from format_cases import (
    SIZE_WH,
    bring_back,
    export,
    labels,
    make_run,
    moved,
    record,
)

from vitpose_cli.errors import InputError
from vitpose_cli.records.record import FrameRecord, Review
from vitpose_cli.records.run import Run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run")


def exported(run: Path, out: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    """Export a run and edit the document as a person does in another program."""
    written = export(run, "coco", out)
    document = json.loads(written.files[0].read_bytes())
    edit(document)
    written.files[0].write_text(json.dumps(document))
    return written.files[0]


def image_id(document: dict[str, Any], name: str) -> int:
    (found,) = [image["id"] for image in document["images"] if image["file_name"] == name]
    return int(found)


def people_of(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    wanted = image_id(document, name)
    return [each for each in document["annotations"] if each["image_id"] == wanted]


def nudge(name: str, by: float = 5.0) -> Callable[[dict[str, Any]], None]:
    def edit(document: dict[str, Any]) -> None:
        people_of(document, name)[0]["keypoints"][0] += by

    return edit


def by_hand(run: Path, name: str, x: float = 50.0, state: Any = "fixed") -> FrameRecord:
    """Correct a frame in the run itself, as the review page does."""
    with Run.edit(run) as opened:
        before = labels(run)[name]
        assert before.instances is not None
        review = Review(state, "anna", 1_800_000_000.0, before.version)
        after = replace(before, instances=moved(before.instances, 0, 1, (x, 0)), review=review)
        opened.append(after)
    return after


def test_a_correction_becomes_a_persons_label(run: Path, tmp_path: Path) -> None:
    before = labels(run)["a/one.jpg"]
    out = exported(run, tmp_path / "out.json", nudge("a/one.jpg"))
    summary = bring_back(run, out, "coco")
    assert summary.count("changed") == 1
    assert summary.count("unchanged") == 6
    after = labels(run)["a/one.jpg"]
    assert after.review is not None
    assert replace(after.review, edited_at_s=0) == Review("fixed", "bea", 0, before.version, "coco")
    assert (after.uids, after.model) == (before.uids, before.model)
    assert before.instances is not None
    assert after.instances is not None
    expected = moved(before.instances, 0, 0, (5, 0)).keypoints
    np.testing.assert_allclose(after.instances.keypoints, expected, atol=1e-3)
    assert not after.instances.signals
    document = json.loads((run / "annotations.json").read_bytes())
    (image,) = [each for each in document["images"] if each["file_name"] == "a/one.jpg"]
    assert image["review"] == "fixed"


def test_the_summary_counts_people_and_measures_the_model(run: Path, tmp_path: Path) -> None:
    def edit(document: dict[str, Any]) -> None:
        people_of(document, "a/one.jpg")[0]["keypoints"][0] += 30
        document["annotations"].remove(people_of(document, "b/one.jpg")[1])
        new = {**people_of(document, "a/two.png")[0], "id": 999, "attributes": {}}
        new |= {"image_id": image_id(document, "empty.jpg")}
        document["annotations"].append(new)
        document["images"] = [
            each for each in document["images"] if "clip" not in each["file_name"]
        ]
        kept = {each["id"] for each in document["images"]}
        document["annotations"] = [e for e in document["annotations"] if e["image_id"] in kept]

    summary = bring_back(
        run, exported(run, tmp_path / "o.json", edit), "coco", accept_unchanged=True
    )
    found = summary.as_dict()
    assert found["frames"] == {
        "changed": 3,
        "accepted": 1,
        "unchanged": 1,
        "labelled_since": 0,
        "conflict": 0,
        "between": 0,
        "unmatched": 0,
        "not_in_file": 4,
    }
    assert found["people"] == {"changed": 1, "added": 1, "removed": 1}
    assert found["keypoints_changed"] == 1
    # Of a/one (2 people, one changed), a/two (1) and b/one (2 left) only one person differs.
    changed = summary.decisions[0].comparison
    assert changed is not None
    assert found["mean_oks"] == pytest.approx((min(changed.similarities) + 4) / 5, abs=1e-4)
    assert 0.9 < found["mean_oks"] < 1
    states = {
        name: each.review.state
        for name, each in labels(run).items()
        if each.review is not None and each.review.tool
    }
    assert states == {
        "a/one.jpg": "fixed",
        "a/two.png": "accepted",
        "b/one.jpg": "fixed",
        "empty.jpg": "fixed",
    }


def test_a_dry_run_writes_nothing(run: Path, tmp_path: Path) -> None:
    out = exported(run, tmp_path / "out.json", nudge("a/one.jpg"))
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    assert bring_back(run, out, "coco", dry_run=True).count("changed") == 1
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_work_done_here_meanwhile_is_not_lost(run: Path, tmp_path: Path) -> None:
    out = exported(run, tmp_path / "out.json", nudge("a/one.jpg"))
    ours = by_hand(run, "a/one.jpg")
    by_hand(run, "b/one.jpg")  # not corrected in the file: no conflict
    summary = bring_back(run, out, "coco", accept_unchanged=True)
    (conflict,) = [each for each in summary.decisions if each.outcome == "conflict"]
    assert conflict.name == "a/one.jpg"
    assert "anna" in conflict.reason
    assert labels(run)["a/one.jpg"].version == ours.version
    kept = labels(run)["b/one.jpg"].review
    assert kept is not None
    assert (kept.reviewer, kept.tool) == ("anna", "")
    assert bring_back(run, out, "coco", force=True).count("changed") == 1
    assert labels(run)["b/one.jpg"].review == kept  # not corrected in the file: never replaced


def test_drafts_are_work_too(run: Path, tmp_path: Path) -> None:
    out = exported(run, tmp_path / "out.json", nudge("a/one.jpg"))
    by_hand(run, "a/one.jpg", state="draft")
    assert bring_back(run, out, "coco").count("conflict") == 1


def test_a_draft_is_accepted_only_as_it_came_back(run: Path, tmp_path: Path) -> None:
    before = exported(run, tmp_path / "before.json", lambda _: None)
    draft = by_hand(run, "a/one.jpg", state="draft")
    bring_back(run, before, "coco", accept_unchanged=True)
    assert labels(run)["a/one.jpg"].version == draft.version
    with_draft = exported(run, tmp_path / "draft.json", lambda _: None)
    assert bring_back(run, with_draft, "coco", accept_unchanged=True).count("accepted") == 1
    after = labels(run)["a/one.jpg"]
    assert after.review is not None
    assert (after.review.state, after.labels_version) == ("accepted", draft.labels_version)


def test_corrections_of_a_corrected_frame(run: Path, tmp_path: Path) -> None:
    by_hand(run, "a/one.jpg")
    out = exported(run, tmp_path / "out.json", nudge("a/one.jpg"))
    summary = bring_back(run, out, "coco")
    assert summary.count("changed") == 1
    assert summary.similarity is None  # nothing that a model had done was corrected


def test_a_second_import_goes_on_where_the_first_stopped(run: Path, tmp_path: Path) -> None:
    out = exported(run, tmp_path / "out.json", nudge("a/one.jpg"))
    bring_back(run, out, "coco")
    assert bring_back(run, out, "coco").count("changed") == 0
    document = json.loads(out.read_bytes())
    nudge("a/one.jpg", -20)(document)
    out.write_text(json.dumps(document))
    assert bring_back(run, out, "coco").count("changed") == 1
    assert bring_back(run, out, "cvat").count("changed") == 0


def test_an_import_that_was_killed_before_the_document_ends_with_the_next(
    run: Path, tmp_path: Path
) -> None:
    out = exported(run, tmp_path / "out.json", nudge("a/one.jpg"))
    stale = (run / "annotations.json").read_bytes()
    bring_back(run, out, "coco")
    wanted = (run / "annotations.json").read_bytes()
    (run / "annotations.json").write_bytes(stale)
    long_ago_s = (run / "journal-review.jsonl").stat().st_mtime - 60
    os.utime(run / "annotations.json", (long_ago_s, long_ago_s))
    assert bring_back(run, out, "coco").count("changed") == 0
    assert (run / "annotations.json").read_bytes() == wanted


def test_an_old_file_does_not_undo_what_came_after(run: Path, tmp_path: Path) -> None:
    out = exported(run, tmp_path / "out.json", nudge("a/one.jpg"))
    bring_back(run, out, "coco")
    by_hand(run, "a/one.jpg")
    summary = bring_back(run, out, "coco")
    assert summary.count("conflict") == 0
    assert summary.count("unchanged") == 7


def test_frames_that_cannot_be_found_are_listed(run: Path, tmp_path: Path) -> None:
    def edit(document: dict[str, Any]) -> None:
        names = {"a/one.jpg": "z.jpg", "empty.jpg": "nobody.jpg", "a/two.png": "a/two.png"}
        for annotation in people_of(document, "a/one.jpg"):
            annotation["attributes"] = {}  # which would tell what z.jpg is
        for image in document["images"]:
            image["file_name"] = names.get(image["file_name"], image["file_name"])
            if image["file_name"] == "b/one.jpg":
                image |= {"width": 480, "height": 640}
            if image["file_name"] == "fixed ü.jpg":
                image["file_name"] = "x/a/two.png"

    summary = bring_back(run, exported(run, tmp_path / "o.json", edit), "coco")
    problems = {each["frame"]: each["reason"] for each in summary.as_dict()["problems"]}
    assert problems == {
        "z.jpg": "no frame of the run is called so",
        "b/one.jpg": "it is 480 x 640 px in the file and 640 x 480 in the run",
        "x/a/two.png": "the people in it are of fixed ü.jpg",
    }


def test_a_file_with_nobody_is_refused(run: Path, tmp_path: Path) -> None:
    out = exported(run, tmp_path / "out.json", lambda document: document["annotations"].clear())
    with pytest.raises(InputError, match="Nobody is in any of the 7 frames"):
        bring_back(run, out, "coco")
    assert bring_back(run, out, "coco", force=True).total("num_removed") == 11


def test_a_rejected_frame_stays_rejected(run: Path, tmp_path: Path) -> None:
    def edit(document: dict[str, Any]) -> None:
        image = {"id": 99, "file_name": "no.jpg", "width": 640, "height": 480}
        document["images"].append(image)
        document["annotations"].append({**document["annotations"][0], "id": 99, "image_id": 99})

    assert bring_back(run, exported(run, tmp_path / "o.json", edit), "coco").count("conflict") == 1
    assert labels(run)["no.jpg"].rejected


def test_a_frame_that_failed_may_be_labelled_elsewhere(run: Path, tmp_path: Path) -> None:
    def edit(document: dict[str, Any]) -> None:
        image = {"id": 99, "file_name": "bad.jpg", "width": 640, "height": 480}
        document["images"].append(image)
        document["annotations"].append({**document["annotations"][0], "id": 99, "image_id": 99})

    summary = bring_back(run, exported(run, tmp_path / "out.json", edit), "coco")
    assert summary.count("changed") == 1
    after = labels(run)["bad.jpg"]
    assert (after.error, after.size_wh, len(after.uids)) == (None, SIZE_WH, 1)


def test_somebody_else_edits_the_run_just_now(run: Path, tmp_path: Path) -> None:
    out = exported(run, tmp_path / "out.json", nudge("a/one.jpg"))
    with Run.edit(run), pytest.raises(InputError, match=str(os.getpid())):
        bring_back(run, out, "coco")


def test_a_video_of_several(tmp_path: Path) -> None:
    videos = [record(f"{name}.mp4", index=index) for name in "ab" for index in (0, 7)]
    run = make_run(tmp_path / "run", videos)

    def edit(document: dict[str, Any]) -> None:
        document["images"] = document["images"][2:]
        kept = {each["id"] for each in document["images"]}
        document["annotations"] = [e for e in document["annotations"] if e["image_id"] in kept]
        for image in document["images"]:
            image["file_name"] = f"frame_{image['frame_id']:06d}.PNG"
            del image["version"]
        for annotation in document["annotations"]:
            annotation["attributes"] = {}
            annotation["keypoints"][0] += 3

    out = exported(run, tmp_path / "out.json", edit)
    assert bring_back(run, out, "cvat").count("unmatched") == 2
    assert bring_back(run, out, "cvat", video="b.mp4").count("changed") == 2
    changed = {str(each.key.media) for each in labels(run).values() if each.review is not None}
    assert changed == {"b.mp4"}


def test_a_name_that_came_back_in_another_form_of_unicode(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [record("cafe\u0301.jpg"), record("plain.jpg")])

    def edit(document: dict[str, Any]) -> None:
        nudge("cafe\u0301.jpg")(document)
        for image in document["images"]:
            image["file_name"] = image["file_name"].replace("e\u0301", "\u00e9")

    summary = bring_back(run, exported(run, tmp_path / "out.json", edit), "coco")
    assert (summary.count("changed"), summary.count("unmatched")) == (1, 0)
    assert labels(run)["cafe\u0301.jpg"].review is not None


def test_a_photo_belongs_to_its_exact_name(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [record("sub/one.jpg"), record("two.jpg")])
    before = labels(run)["sub/one.jpg"].version

    def edit(document: dict[str, Any]) -> None:
        document["images"].insert(0, {"id": 99, "file_name": "one.jpg"})  # of the folder above
        new = {**people_of(document, "two.jpg")[0], "id": 99, "image_id": 99, "attributes": {}}
        document["annotations"].append(new)

    summary = bring_back(run, exported(run, tmp_path / "out.json", edit), "coco")
    assert (summary.count("unchanged"), summary.count("changed")) == (2, 0)
    assert summary.as_dict()["problems"] == [
        {
            "frame": "one.jpg",
            "outcome": "unmatched",
            "reason": "it comes twice: 'sub/one.jpg' is sub/one.jpg, too",
        }
    ]
    assert labels(run)["sub/one.jpg"].version == before


def test_a_photo_that_two_may_be_belongs_to_none(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [record("one.jpg"), record("two.jpg")])

    def edit(document: dict[str, Any]) -> None:
        names = {"one.jpg": "a/one.jpg", "two.jpg": "b/one.jpg"}
        for image in document["images"]:
            image["file_name"] = names[image["file_name"]]
            del image["version"]
        for annotation in document["annotations"]:
            annotation["attributes"] = {}

    summary = bring_back(run, exported(run, tmp_path / "out.json", edit), "coco")
    assert {each["frame"]: each["reason"] for each in summary.as_dict()["problems"]} == {
        "a/one.jpg": "it comes twice: 'b/one.jpg' may be one.jpg, too",
        "b/one.jpg": "it comes twice: 'a/one.jpg' may be one.jpg, too",
    }
    assert not any(each.review for each in labels(run).values())


def test_a_dot_in_a_name_without_suffix(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [record("img.jpg"), record("img.v2.jpg")])

    def edit(document: dict[str, Any]) -> None:
        for image in document["images"]:
            image["file_name"] = image["file_name"].removesuffix(".jpg")
        for annotation in document["annotations"]:
            annotation["attributes"] = {}

    summary = bring_back(run, exported(run, tmp_path / "out.json", edit), "coco")
    assert (summary.count("unchanged"), summary.count("unmatched")) == (2, 0)
