"""What programs ask of OpenPose's files, written down: but for pose-format, they are large.

Sources: OpenPose's doc/02_output.md and poseParameters.hpp; Pose2Sim 0.10.49, skeletons.py and
triangulation.py; `load_openpose_directory` of pose-format 0.15; `decode_json_as_poses` of
sd-webui-controlnet.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from format_cases import (
    COCO,
    LABELLED,
    NO_PICTURES,
    SIZE_WH,
    export,
    make_run,
    people,
    record,
    run_tool,
    tool_python,
)
from numpy.typing import NDArray
from runs import vitpose

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import KeypointSet, keypoint_set
from vitpose_cli.records.record import FrameRecord

LISTS = ("pose", "face", "hand_left", "hand_right")

ARMS = ("RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist")
LEGS = ("RHip", "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle")
HEAD = ("REye", "LEye", "REar", "LEar")
FEET = ("LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel")
COCO_18 = ("Nose", "Neck", *ARMS, *LEGS, *HEAD)
BODY_25 = ("Nose", "Neck", *ARMS, "MidHip", *LEGS, *HEAD, *FEET)


def texts(folder: Path) -> dict[str, Any]:
    """Return what is in each file, by its path in the folder."""
    return {
        path.relative_to(folder).as_posix(): json.loads(path.read_bytes())
        for path in sorted(folder.rglob("*.json"))
    }


def points(person: Mapping[str, Any], part: str = "pose") -> NDArray[np.float64]:
    """Return x, y, c of each point, after what readers ask of every person."""
    assert person.keys() == {"person_id"} | {
        f"{each}_keypoints_{d}d" for each in LISTS for d in "23"
    }
    assert all(person[f"{each}_keypoints_3d"] == [] for each in LISTS)
    found = np.reshape(person[f"{part}_keypoints_2d"], (-1, 3))
    assert ((found[:, 2] >= 0) & (found[:, 2] <= 1)).all()
    assert not found[found[:, 2] == 0].any()
    return found


def documented(run: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the people of each frame, as the document has them."""
    document = json.loads((run / "annotations.json").read_bytes())
    names = {image["id"]: image["file_name"] for image in document["images"]}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names.values()}
    for person in document["annotations"]:
        found[names[person["image_id"]]].append(person)
    return found


def expected(person: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return x, y, c of a person of the document."""
    found = np.reshape(np.array(person["keypoints"], float), (-1, 3))
    found[:, 2] = np.where(found[:, 2] > 0, np.clip(person["keypoint_scores"], 1e-4, 1), 0)
    return found


def ours(name: str) -> str:
    """Return what we call a keypoint of OpenPose's."""
    if name == "Nose":
        return "nose"
    words = re.findall("[A-Z][a-z]+", name[1:])
    return "_".join([{"L": "left", "R": "right"}[name[0]], *map(str.lower, words)])


def test_pose2sim_finds_every_keypoint_in_its_own_place(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    out = tmp_path / "pose"
    written = export(run, "pose2sim", out)
    assert (written.num_images, written.num_instances) == (len(LABELLED), 11)
    assert written.files == (out,)
    files = texts(out)
    labels = documented(run)
    names = {
        "a/one.jpg": "a_json/one_keypoints.json",
        "a/two.png": "a_json/two_keypoints.json",
        "b/one.jpg": "b_json/one_keypoints.json",
        "clip.mp4/frame_000000.jpg": "clip_json/clip_000000000000_keypoints.json",
        "clip.mp4/frame_000012.jpg": "clip_json/clip_000000000012_keypoints.json",
        "empty.jpg": "empty_keypoints.json",
        "fixed ü.jpg": "fixed ü_keypoints.json",
    }
    assert names.keys() == labels.keys()
    for name, file in names.items():
        text = files.pop(file)
        assert text.keys() == {"version", "people"}
        assert text["version"] == 1.3
        for found, person in zip(text["people"], labels[name], strict=True):
            np.testing.assert_array_equal(points(found), expected(person))
            assert found["face_keypoints_2d"] == found["hand_left_keypoints_2d"] == []
    # It takes as many frames as there are files, and the last number of a name for the frame.
    assert list(files) == [f"clip_json/clip_{n:012d}_keypoints.json" for n in range(1, 12)]
    assert all(text == {"version": 1.3, "people": []} for text in files.values())
    assert "11 frames of videos without labels here" in written.notes[-1]
    assert 'pose_model = "COCO_17"' in written.notes[0]


@pytest.mark.parametrize(
    ("name", "model"),
    [("wholebody", "COCO_133"), ("halpe26", "HALPE_26"), ("ap10k", "ANIMAL2D_17"), ("mpii", None)],
)
def test_the_pose_model_is_told(tmp_path: Path, name: str, model: str | None) -> None:
    kind = keypoint_set(name)
    run = make_run(tmp_path / "run", [of_kind(kind)], keypoint_set=kind.to_category())
    note = export(run, "pose2sim", tmp_path / "pose").notes[0]
    assert (f'pose_model = "{model}"' if model else "[pose.CUSTOM]") in note
    (text,) = texts(tmp_path / "pose").values()
    person = documented(run)["a.jpg"][0]
    np.testing.assert_array_equal(points(text["people"][0]), expected(person))


def of_kind(kind: KeypointSet, name: str = "a.jpg") -> FrameRecord:
    """Return a photo of somebody with such keypoints, every fifth of them not labelled."""
    count = kind.num_keypoints
    random = np.random.default_rng(count)
    arrays: list[Any] = [np.array([[10, 10, 400, 400]]), np.array([0.9])]
    arrays += [random.uniform(20, 390, (1, count, 2)), random.uniform(0.3, 1, (1, count))]
    arrays += [np.where(np.arange(count) % 5 == 4, 0, 2)[None]]
    return FrameRecord(FrameKey(name), SIZE_WH, None, instances=Instances(*arrays))


def between(person: NDArray[np.float64], kind: KeypointSet, what: str) -> NDArray[np.float64]:
    """Return the point between a left and a right one."""
    left, right = (person[kind.names.index(f"{side}_{what}")] for side in ("left", "right"))
    if not left[2] or not right[2]:
        return np.zeros(3)
    return np.array([*(left + right)[:2] / 2, min(left[2], right[2])])


def assert_body(found: NDArray[np.float64], person: Any, kind: KeypointSet, names: Any) -> None:
    body = expected(person)
    middles = {"Neck": "shoulder", "MidHip": "hip"}
    for point, name in zip(found, names, strict=True):
        if name in middles:
            np.testing.assert_allclose(point, between(body, kind, middles[name]), atol=5e-4)
        elif ours(name) in kind.names:
            np.testing.assert_array_equal(point, body[kind.names.index(ours(name))])
        else:
            assert not point.any()


def test_openpose_has_its_own_25_points(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    written = export(run, "openpose", tmp_path / "out")
    assert "6 keypoints are not labelled here, and written as 0: left_big_toe" in written.notes[0]
    labels = documented(run)["b/one.jpg"]
    people_there = texts(tmp_path / "out")["b_json/one_keypoints.json"]["people"]
    necks = []
    for found, person in zip(people_there, labels, strict=True):
        assert_body(points(found), person, COCO, BODY_25)
        assert [len(found[f"{part}_keypoints_2d"]) for part in LISTS] == [75, 0, 0, 0]
        necks.append(points(found)[1, 2] > 0)
    assert {*necks} == {True, False}  # it is labelled where both shoulders are


@pytest.mark.parametrize(
    ("name", "names", "pupils"), [("openpose", BODY_25, 2), ("controlnet", COCO_18, 0)]
)
def test_face_and_hands_of_whole_bodies(
    tmp_path: Path, name: str, names: tuple[str, ...], pupils: int
) -> None:
    kind = keypoint_set("wholebody")
    run = make_run(tmp_path / "run", [of_kind(kind)], keypoint_set=kind.to_category())
    assert not any("not labelled" in note for note in export(run, name, tmp_path / "out").notes)
    (text,) = texts(tmp_path / "out").values()
    person = documented(run)["a.jpg"][0]
    if name == "controlnet":
        person["keypoint_scores"] = [1] * 133
    (found,) = text["people"]
    assert_body(points(found), person, kind, names)
    face, whole = points(found, "face"), expected(person)
    np.testing.assert_array_equal(face[:68], whole[23:91])
    assert len(face) == 68 + pupils
    assert not face[68:].any()
    np.testing.assert_array_equal(points(found, "hand_left"), whole[91:112])
    np.testing.assert_array_equal(points(found, "hand_right"), whole[112:])


READ = """
import json, sys
from pose_format.utils.openpose import load_openpose_directory
pose = load_openpose_directory(sys.argv[1])
names = [point for part in pose.header.components for point in part.points]
places = pose.body.data.filled(0)[0, 0].tolist()
print(json.dumps([names, places, pose.body.confidence[0, 0].tolist()]))
"""


def test_a_real_reader_finds_whole_bodies(tmp_path: Path) -> None:
    python = tool_python("POSE_FORMAT_PYTHON", "pose_format")
    kind = keypoint_set("wholebody")
    somebody = replace(of_kind(kind, "clip.mp4"), key=FrameKey("clip.mp4", 0))
    run = make_run(tmp_path / "run", [somebody], keypoint_set=kind.to_category())
    export(run, "openpose", tmp_path / "out")
    names, places, scores = json.loads(run_tool(python, READ, tmp_path / "out" / "clip_json"))
    found = np.column_stack([places, scores])
    (person,) = documented(run)["clip.mp4/frame_000000.jpg"]
    assert names[:25] == list(BODY_25)
    assert len(names) == 25 + 70 + 21 + 21
    assert names[25 + 30] == "FN_30"  # the tip of the nose
    whole = expected(person)
    for name, at in (("left_eye", 16), ("right_heel", 24), ("face_30", 55), ("left_thumb4", 99)):
        np.testing.assert_allclose(found[at], whole[kind.names.index(name)], atol=1e-3)
    np.testing.assert_allclose(found[25:93], whole[23:91], atol=1e-3)
    np.testing.assert_allclose(found[95:], whole[91:], atol=1e-3)


def test_controlnet_draws_what_has_a_score_of_1(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    export(run, "controlnet", tmp_path / "out")
    files = texts(tmp_path / "out")
    assert len(files) == len(LABELLED)  # nothing to draw for frames without labels
    for text in files.values():
        assert (text["canvas_width"], text["canvas_height"]) == SIZE_WH
        for person in text["people"]:
            assert {*points(person)[:, 2]} <= {0, 1}
    person = documented(run)["a/two.png"][0] | {"keypoint_scores": [1] * 17}
    (found,) = files["a_json/two_keypoints.json"]["people"]
    assert_body(points(found), person, COCO, COCO_18)


def test_the_first_is_who_was_there_first_and_nobody_is_without_points(tmp_path: Path) -> None:
    def frame(index: int, boxes: list[int]) -> FrameRecord:
        made = record("clip.mp4", 3, index)
        same = people(3, 7)
        hidden = same.visibility.copy()
        hidden[2] = 0
        scores = same.keypoint_scores.copy()
        scores[0, :2] = 1.3, 0
        same = replace(same, visibility=hidden, keypoint_scores=scores)
        return replace(made, instances=same.select(boxes))

    orders = [[0, 1, 2], [1, 2, 0], [2, 1, 0]]
    run = make_run(tmp_path / "run", [frame(index, order) for index, order in enumerate(orders)])
    done = vitpose("export", run, "--format", "pose2sim", "-o", tmp_path / "pose")
    assert done.returncode == 0, done.stderr
    assert "6 people in 3 frames" in done.stderr
    files = [text["people"] for text in texts(tmp_path / "pose").values()]
    assert [[person["person_id"] for person in each] for each in files] == [[[1], [2]]] * 3
    assert files[0] == files[1] == files[2]
    assert points(files[0][0])[:2, 2].tolist() == [1, 0.0001]


def test_no_two_frames_have_one_file(tmp_path: Path) -> None:
    long = "x" * 250
    names = ["cam.mp4", "cam.mov", f"{long}.mp4"]
    photos = ["cam/a.jpg", "cam/a.png", "trial.1/a.jpg", "trial.2/a.jpg", "a.jpg", f"{long}.jpg"]
    records = [record(name, 1, 0) for name in names] + [record(name, 1) for name in photos]
    run = make_run(tmp_path / "run", records)
    assert export(run, "pose2sim", tmp_path / "pose").num_images == len(records)
    files = list(texts(tmp_path / "pose"))
    assert len(files) == len(records)
    short = [name for name in files if "x" not in name]
    assert sorted(short) == [
        "a_keypoints.json",
        "cam__json/a_keypoints.json",
        "cam__json/a_png_keypoints.json",
        "cam_json/cam_000000000000_keypoints.json",
        "cam_mp4_json/cam_000000000000_keypoints.json",
        "trial.1_json/a_keypoints.json",
        "trial.2_json/a_keypoints.json",
    ]


def test_long_gaps_are_told_and_not_filled(tmp_path: Path) -> None:
    frames = [("a.mp4", 3), ("a.mp4", 1004), ("a.mp4", 2006), ("b.mp4", 1001), ("b.mp4", 1003)]
    run = make_run(tmp_path / "run", [record(name, 1, index) for name, index in frames])
    notes = export(run, "pose2sim", tmp_path / "pose").notes
    found = [int(name.split("_")[-2]) for name in texts(tmp_path / "pose")]
    assert found == [*range(1005), 2006, 1001, 1002, 1003]
    assert "1,004 frames of videos without labels here" in notes[-2]
    assert "frame_range = [0, 2007]" in notes[-1]
    run = make_run(tmp_path / "late", [record("a.mp4", 1, index) for index in (1500, 1501)])
    notes = export(run, "openpose", tmp_path / "late-pose").notes
    assert len(texts(tmp_path / "late-pose")) == 2
    assert "frame_range = [1500, 1502]" in notes[-1]


def test_pose2sim_is_told_of_frames_that_never_stand_in_a_row(tmp_path: Path) -> None:
    """It drops who is not there in 10 frames in a row: with its defaults it would find nobody."""

    def notes(name: str, indices: Sequence[int], form: str = "pose2sim") -> str:
        run = make_run(tmp_path / name, [record("a.mp4", 1, index) for index in indices])
        return " ".join(export(run, form, tmp_path / f"{name}-pose").notes)

    assert "min_chunk_size = 1" in notes("third", range(0, 60, 3))
    assert "min_chunk_size = 1" in notes("nine", [*range(9), *range(10, 19)])
    assert "min_chunk_size" not in notes("ten", [*range(3, 13), 20])
    assert "min_chunk_size" not in notes("other", range(0, 60, 3), "openpose")
    run = make_run(tmp_path / "photos", [record("a.jpg")])
    assert "min_chunk_size" not in " ".join(export(run, "pose2sim", tmp_path / "p").notes)


def test_a_second_export_replaces_its_own_files_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    out = tmp_path / "pose"
    export(run, "pose2sim", out)
    mine = out / "clip_json" / "mine.json"
    mine.write_text("{}")
    with pytest.raises(InputError, match="is not empty"):
        export(run, "pose2sim", out)
    make_run(tmp_path / "fewer", [record("clip.mp4", index=0), record("mine.mp4", index=1)])
    export(tmp_path / "fewer", "openpose", out, replace(NO_PICTURES, overwrite=True))
    assert list(texts(out)) == [
        "clip_json/clip_000000000000_keypoints.json",
        "clip_json/mine.json",
        "mine_json/mine_000000000000_keypoints.json",
        "mine_json/mine_000000000001_keypoints.json",
    ]
    assert mine.read_text() == "{}"
    in_the_way = out / "clip_json" / "clip_000000000012_keypoints.json"
    in_the_way.write_text("{}")
    with pytest.raises(InputError, match="no earlier call wrote it"):
        export(run, "pose2sim", out, replace(NO_PICTURES, overwrite=True))
    assert in_the_way.read_text() == "{}"


def test_keypoints_that_openpose_does_not_know(tmp_path: Path) -> None:
    kind = KeypointSet.from_category({"name": "fish", "keypoints": ["mouth", "fin"]})
    run = make_run(tmp_path / "run", [of_kind(kind)], keypoint_set=kind.to_category())
    done = vitpose("export", run, "--format", "openpose", "-o", tmp_path / "out")
    assert done.returncode == 3
    assert "None of the keypoints" in done.stderr
    assert "--format pose2sim" in done.stderr
    assert not (tmp_path / "out").exists()
    assert vitpose("export", run, "--format", "pose2sim", "-o", tmp_path / "out").returncode == 0
