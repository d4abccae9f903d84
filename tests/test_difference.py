"""Two sets of labels compared."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from label_cases import COCO, make_failure, make_people, make_record, make_run
from runs import environment, vitpose

from vitpose_cli.difference import TILE_WH, DiffOptions, compare, pair_people, paired
from vitpose_cli.errors import InputError
from vitpose_cli.media.images import decode_image
from vitpose_cli.pose.instances import Instances
from vitpose_cli.records.record import FrameRecord, Review


def moved(people: Instances, keypoint: int, by_px: float) -> Instances:
    points = people.keypoints.copy()
    points[:, keypoint, 0] += by_px
    seen = people.visibility.copy()
    seen[:, keypoint] = 2
    return replace(people, keypoints=points, visibility=seen)


def test_the_same_labels_do_not_differ(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [make_record("a.jpg"), make_record("b.jpg", count=0)])
    found = compare(DiffOptions(run, run / "annotations.json"))
    assert (found.num_frames, found.num_people) == (2, 2)
    assert found.mean_oks == pytest.approx(1.0, abs=1e-4)
    assert all(row.median_px < 0.01 for row in found.keypoints if row.num_both)
    assert found.num_people_first == found.num_people_second == 0
    assert found.worst == ()
    done = vitpose("diff", run, run, "--picture", tmp_path / "worst.png")  # without photos
    assert done.returncode == 0, done.stderr
    assert "Nobody differs, so" in done.stderr


def test_a_run_does_not_differ_from_its_document_outside_of_the_picture(tmp_path: Path) -> None:
    people = make_people(3)
    people.visibility[:, 3] = 2
    people.keypoints[:2, 3] = -5, 20
    run = make_run(tmp_path / "run", [make_record("a.jpg", people=people)])
    row = compare(DiffOptions(run, run / "annotations.json")).keypoints[3]
    assert (row.num_both, row.num_first, row.num_second) == (1, 0, 0)


def test_distances_are_of_the_keypoint_that_was_moved(tmp_path: Path) -> None:
    people = moved(make_people(3, 5), 9, 0)
    one = make_run(tmp_path / "one", [make_record("a.jpg", people=people)])
    other = make_run(tmp_path / "other", [make_record("a.jpg", people=moved(people, 9, 12))])
    found = compare(DiffOptions(one, other, num_worst=2))
    by_name = {row.name: row for row in found.keypoints}
    assert by_name["left_wrist"].median_px == pytest.approx(12, abs=0.02)
    assert by_name["left_wrist"].num_both == 3
    assert by_name["nose"].median_px == pytest.approx(0, abs=0.02)
    assert by_name["left_wrist"].mean_oks < by_name["nose"].mean_oks == pytest.approx(1)
    assert len(found.worst) == 2
    assert found.worst[0].oks <= found.worst[1].oks < 1


def test_labels_of_pictures_of_another_size_are_refused(tmp_path: Path) -> None:
    """So does `evaluate`, as `merge` does: the same labels would be said to be all wrong."""
    run = make_run(tmp_path / "run", [make_record("a.jpg"), make_record("b.jpg")])
    content = json.loads((run / "annotations.json").read_bytes())
    for image in content["images"]:
        image |= {"width": image["width"] // 2, "height": image["height"] // 2}
    for person in content["annotations"]:
        person["bbox"] = [value / 2 for value in person["bbox"]]
        person["keypoints"][0::3] = [x / 2 for x in person["keypoints"][0::3]]
        person["keypoints"][1::3] = [y / 2 for y in person["keypoints"][1::3]]
    half = tmp_path / "half.json"
    half.write_text(json.dumps(content))
    for command in (
        ("evaluate", "-a", half, "-p", run),
        ("evaluate", "-a", half, "-p", run / "annotations.json"),
        ("diff", run, half),
    ):
        done = vitpose(*command)
        said = " ".join(done.stderr.split())
        assert done.returncode == 3, said
        assert "a.jpg has 640 x 480 px in" in said
        assert "and 320 x 240 px in" in said
    for image in content["images"]:
        del image["width"], image["height"]
    half.write_text(json.dumps(content))
    assert vitpose("evaluate", "-a", half, "-p", run).returncode == 0


def test_what_one_set_lacks_is_counted_not_measured(tmp_path: Path) -> None:
    people = make_people(2, 3)
    seen = people.visibility.copy()
    seen[:, 0] = 0
    one = make_run(
        tmp_path / "one", [make_record("a.jpg", people=people), make_record("only-one.jpg")]
    )
    hidden = replace(people, visibility=seen).select([1])
    other = make_run(
        tmp_path / "other",
        [make_record("a.jpg", people=hidden), make_record("z.jpg"), make_failure("only-one.jpg")],
    )
    found = compare(DiffOptions(one, other))
    assert (found.num_frames, found.num_frames_first, found.num_frames_second) == (1, 1, 1)
    assert (found.num_people, found.num_people_first, found.num_people_second) == (1, 1, 0)
    nose = found.keypoints[0]
    assert (nose.num_both, nose.num_first, nose.num_second) == (0, 1, 0)
    assert np.isnan(nose.median_px)
    assert found.as_dict()["keypoints"][0]["median_px"] is None


def test_rejected_frames_are_passed_over_whatever_their_size(tmp_path: Path) -> None:
    rejected = replace(make_record("b.jpg"), size_wh=(100, 50), review=Review("rejected"))
    run = make_run(tmp_path / "run", [make_record("a.jpg"), make_record("b.jpg")])
    other = make_run(tmp_path / "other", [make_record("a.jpg"), rejected])
    for sets in ((run, other), (other, run)):
        done = vitpose("diff", *sets, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["num_frames"] == 1
    assert list(paired(iter([rejected]), iter([rejected]))) == []


def test_people_are_paired_by_pose_then_by_box() -> None:
    people = make_people(3, 1)
    pairs = pair_people(people, people.select([2, 0, 1]), COCO.sigmas)
    assert {(row, column) for row, column, _ in pairs} == {(0, 1), (1, 2), (2, 0)}
    lost = replace(people, keypoints=people.keypoints[:, ::-1] + np.float32(300))
    boxes = {(row, column) for row, column, _ in pair_people(people, lost, COCO.sigmas)}
    assert boxes == {(0, 0), (1, 1), (2, 2)}
    far = replace(lost, boxes=lost.boxes + np.float32(900))
    assert pair_people(people, far, COCO.sigmas) == []
    assert pair_people(people, Instances.empty(17), COCO.sigmas) == []


def test_a_crowd_takes_little_memory() -> None:
    people = make_people(300, 1)
    tracemalloc.start()
    pairs = pair_people(people, people.select(np.arange(300)[::-1]), COCO.sigmas)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert {(row, column) for row, column, _ in pairs} == {(row, 299 - row) for row in range(300)}
    assert peak < 24 << 20


def unlabelled(people: Instances) -> Instances:
    return replace(people, visibility=np.zeros_like(people.visibility))


def test_people_without_keypoints_are_paired_by_box() -> None:
    people = make_people(3, 1)
    placed = replace(people, boxes=people.boxes + np.arange(3, dtype=np.float32)[:, None] * 400)
    bare = unlabelled(placed)
    nowhere = replace(bare, keypoints=np.zeros_like(bare.keypoints))  # as documents have them
    pairs = pair_people(nowhere, nowhere.select([2, 0, 1]), COCO.sigmas)
    assert {(row, column) for row, column, _ in pairs} == {(0, 1), (1, 2), (2, 0)}
    assert all(np.isnan(oks) for *_, oks in pairs)
    assert pair_people(nowhere.select([0]), nowhere.select([2]), COCO.sigmas) == []


def test_people_without_common_keypoints_are_not_measured(tmp_path: Path) -> None:
    seen = moved(make_people(1, 5), 9, 0)
    bare = unlabelled(seen)
    one = make_run(
        tmp_path / "one",
        [make_record("a.jpg", people=seen), make_record("b.jpg", people=bare)],
    )
    other = make_run(
        tmp_path / "other",
        [make_record("a.jpg", people=moved(seen, 9, 12)), make_record("b.jpg", people=bare)],
    )
    found = compare(DiffOptions(one, other))
    assert found.num_people == 2
    assert [str(person.key) for person in found.worst] == ["a.jpg"]
    assert found.mean_oks == pytest.approx(found.worst[0].oks, abs=1e-4)
    done = vitpose("diff", *(make_run(tmp_path / name, [make_record("b.jpg", people=bare)])
                             for name in ("three", "four")), "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["mean_oks"] is None
    assert json.loads(done.stdout)["worst"] == []
    done = vitpose("diff", tmp_path / "three", tmp_path / "four")
    assert "mean OKS -" in done.stdout


def test_frames_come_in_pairs() -> None:
    one = [make_record(name) for name in ("a", "c", "d")]
    other = [make_record(name) for name in ("b", "c")]
    names = [(a and a.key.media, b and b.key.media) for a, b in paired(iter(one), iter(other))]
    assert names == [("a", None), (None, "b"), ("c", "c"), ("d", None)]


def test_the_worst_are_drawn(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    cv2.imwrite(str(photos / "a.jpg"), np.full((480, 640, 3), 120, np.uint8))
    people = make_people(2, 3)
    sources = (str(photos),)
    one = make_run(tmp_path / "one", [make_record("a.jpg", people=people)], sources=sources)
    other = make_run(tmp_path / "other", [make_record("a.jpg", people=moved(people, 5, 40))])
    done = vitpose("diff", one, other, "--picture", tmp_path / "worst.png", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["num_people"] == 2
    picture = decode_image((tmp_path / "worst.png").read_bytes())
    assert picture.shape[1] > 2 * 480  # two people, each twice
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20
    with pytest.raises(InputError, match="not in"):
        compare(DiffOptions(one, other, picture=tmp_path / "none.png", images=tmp_path))
    with pytest.raises(InputError, match=r"cannot be drawn into worst\.webp"):
        compare(DiffOptions(one, other, picture=tmp_path / "worst.webp"))


def test_whose_picture_cannot_be_read_has_a_black_tile(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    cv2.imwrite(str(photos / "a.jpg"), np.full((480, 640, 3), 120, np.uint8))
    (photos / "b.jpg").write_bytes(b"")
    seen = moved(make_people(1, 3), 5, 0)
    one, other = [
        make_run(tmp_path / name, [make_record(each, people=people) for each in ("a.jpg", "b.jpg")],
                 sources=(str(photos),))
        for name, people in (("one", seen), ("other", moved(seen, 5, 40)))
    ]  # fmt: skip
    picture = tmp_path / "worst.png"
    compare(DiffOptions(one, other, picture=picture))
    shown = decode_image(picture.read_bytes())
    assert shown.shape[1] > 2 * 2 * TILE_WH[0]  # both frames, each twice
    assert (shown == 0).all(axis=2).sum() >= 2 * TILE_WH[0] * TILE_WH[1]
    (photos / "a.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"None of the pictures can be read, such as a\.jpg: "):
        compare(DiffOptions(one, other, picture=picture))


_MEASURED = r"""
import re, sys
from pathlib import Path
from vitpose_cli.difference import DiffOptions, compare

used = lambda: int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) >> 10
one, other, picture = map(Path, sys.argv[1:])
compare(DiffOptions(one, other))
before = used()
assert len(compare(DiffOptions(one, other, 40, picture)).worst) == 40
print(used() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux does")
def test_frames_of_the_worst_are_not_all_in_memory(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    photo = cv2.imencode(".jpg", np.full((2000, 3000, 3), 120, np.uint8))[1].tobytes()
    names = [f"{number}.jpg" for number in range(40)]
    for name in names:
        (photos / name).write_bytes(photo)  # 17 MiB when decoded
    seen = moved(make_people(1, 3), 5, 0)

    def of_size(name: str, people: Instances) -> FrameRecord:
        return replace(make_record(name, people=people), size_wh=(3000, 2000))

    sets = [
        make_run(tmp_path / name, [of_size(each, people=people) for each in names],
                 sources=(str(photos),))
        for name, people in (("one", seen), ("other", moved(seen, 5, 40)))
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *sets, tmp_path / "worst.png"], check=True,
        capture_output=True, text=True, env=environment(),
    )  # fmt: skip
    assert int(done.stdout) < 400  # MiB; all of them take 690


def test_sets_without_a_common_frame_are_refused(tmp_path: Path) -> None:
    one = make_run(tmp_path / "one", [make_record("a.jpg")])
    other = make_run(tmp_path / "other", [make_record("b.jpg")])
    with pytest.raises(InputError, match="no frame in common"):
        compare(DiffOptions(one, other))
