"""Labels by frame: the same from a run folder and from the document made of it."""

from __future__ import annotations

import time
import tracemalloc
from contextlib import closing
from pathlib import Path
from unicodedata import normalize

import numpy as np
import orjson
import pytest

from vitpose_cli.errors import InputError
from vitpose_cli.labels import DocumentLabels, Labels, RunLabels, open_labels
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.labelled_keys import LabelledKeys
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.record import FrameRecord, Review
from vitpose_cli.records.run import Run
from vitpose_cli.tracking.identities import with_track_ids

COCO = keypoint_set("coco")
PHOTO = FrameKey("a.jpg")
EMPTY = FrameKey("b.mp4", 4)
FAILED = FrameKey("c.jpg")
REJECTED = FrameKey("e.jpg")


def people(*places: float) -> Instances:
    count = len(places)
    points = np.zeros((count, 17, 2), np.float32) + np.reshape(places, (-1, 1, 1))
    points += np.arange(17, dtype=np.float32)[None, :, None]
    boxes = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
    scores = np.full((count, 17), 0.5, np.float32)
    return Instances(boxes, scores[:, 0], points, scores, np.full((count, 17), 2, np.int8))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Write a run of a photo, two videos and a failure, with its document."""
    records = [
        FrameRecord(PHOTO, (200, 100), instances=people(20.0)),
        *(
            FrameRecord(FrameKey("b.mp4", n), (200, 100), n / 10, instances=people(30.0 + n))
            for n in range(4)
        ),
        FrameRecord(EMPTY, (200, 100), 0.4, instances=people()),
        FrameRecord(FrameKey("d.mp4", 0), (200, 100), instances=people(10.0, 60.0)),
        FrameRecord(FAILED, error="It is damaged."),
        FrameRecord(REJECTED, (200, 100), instances=people(20.0), review=Review("rejected")),
    ]
    manifest = RunManifest(COCO.to_category(), options={"every": 1, "fps": None})
    with Run.open(tmp_path / "run", manifest) as opened:
        for record in records:
            opened.append(record)
        opened.export(lambda _, records: with_track_ids(records, sigmas=COCO.sigmas))
    return tmp_path / "run"


@pytest.fixture(params=["run", "document"])
def labels(run: Path, request: pytest.FixtureRequest) -> Labels:
    return open_labels(run if request.param == "run" else run / "annotations.json")


def test_which_frames_are_labelled(labels: Labels) -> None:
    assert labels.keys.find(PHOTO) == PHOTO
    assert labels.keys.find(EMPTY) == EMPTY
    assert labels.keys.find(FAILED) is None
    assert labels.keys.find(REJECTED) is None
    assert labels.keys.find(FrameKey("b.mp4", 5)) is None
    assert labels.keys.media == {"a.jpg", "b.mp4", "d.mp4"}
    assert labels.keypoint_set == COCO
    assert labels.options["every"] == 1


def test_people_of_a_frame(labels: Labels) -> None:
    photo = labels.people(PHOTO)
    assert photo.keypoints[0, 0].tolist() == [20, 20]
    assert photo.scores == pytest.approx([0.25])
    assert photo.track_ids is None
    empty = labels.people(EMPTY)
    assert len(empty) == 0
    assert empty.num_keypoints == 17


def test_identities_go_on_from_video_to_video(labels: Labels) -> None:
    ids = [people.track_ids for _, _, people in labels.video("b.mp4") if len(people)]
    assert [np.asarray(one).tolist() for one in ids] == [[1]] * 4
    assert np.asarray(labels.people(FrameKey("d.mp4", 0)).track_ids).tolist() == [2, 3]


def test_a_whole_video(labels: Labels) -> None:
    frames = list(labels.video("b.mp4"))
    assert [key for key, _, _ in frames] == [FrameKey("b.mp4", n) for n in range(5)]
    assert [time_s for _, time_s, _ in frames] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert [time_s for _, time_s, _ in labels.video("d.mp4")] == [0.0]


def test_a_frame_in_both_forms_counts_once_in_a_video(tmp_path: Path) -> None:
    keys = [FrameKey("b.mp4", 1), *(FrameKey(f"b.mp4/frame_00000{n}.jpg") for n in range(3))]
    other = FrameKey("b.mp4/frame_7/frame_000001.jpg")
    with Run.open(tmp_path / "run", RunManifest(COCO.to_category())) as opened:
        for place, key in enumerate([*keys, other]):
            opened.append(FrameRecord(key, (200, 100), instances=people(20.0 + place)))
    found = list(open_labels(tmp_path / "run").video("b.mp4"))
    assert [key for key, _, _ in found] == [FrameKey("b.mp4", n) for n in range(3)]
    assert [each.keypoints[0, 0, 0] for _, _, each in found] == [21, 20, 23]


def test_of_many_videos_each_is_found_at_once(run: Path, tmp_path: Path) -> None:
    document = orjson.loads((run / "annotations.json").read_bytes())
    image = document["images"][0]
    names = [f"{number:05d}.mp4" for number in range(20_000)]
    videos = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    images = [
        image | {"id": each["id"], "file_name": f"{each['name']}/frame_000000.jpg",
                 "video_id": each["id"], "frame_id": 0}
        for each in reversed(videos)
    ]  # fmt: skip
    content = document | {"videos": videos, "images": images, "annotations": []}
    (tmp_path / "many.json").write_bytes(orjson.dumps(content))
    labels = open_labels(tmp_path / "many.json")
    begun = time.process_time()
    keys = [[key for key, _, _ in labels.video(name)] for name in names]
    assert time.process_time() - begun < 3  # 0.3 here; 10 where all keys are gone through
    assert keys == [[FrameKey(name, 0)] for name in names]
    assert not list(labels.video("none.mp4"))


def test_a_document_takes_memory_for_its_names_alone(run: Path, tmp_path: Path) -> None:
    document = orjson.loads((run / "annotations.json").read_bytes())
    image, annotation = document["images"][0], document["annotations"][0]
    numbers = range(1, 1_001)
    images = [image | {"id": number, "file_name": f"{number:05d}.jpg"} for number in numbers]
    crowd = [annotation | {"image_id": number} for number in numbers for _ in range(10)]
    content = document | {"videos": [], "images": images, "annotations": crowd}
    (tmp_path / "many.json").write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
    tracemalloc.start()
    try:
        with closing(open_labels(tmp_path / "many.json")) as labels:
            kept_bytes, _ = tracemalloc.get_traced_memory()
            assert len(labels.people(FrameKey("00007.jpg"))) == 10
    finally:
        tracemalloc.stop()
    assert kept_bytes < 3_000 * len(numbers)  # ten people take ten times as much


def test_kinds_of_labels(run: Path, tmp_path: Path) -> None:
    assert isinstance(open_labels(run), RunLabels)
    document = run / "annotations.json"
    assert isinstance(open_labels(document), DocumentLabels)
    with pytest.raises(InputError, match=r"annotations\.json"):
        open_labels(tmp_path)
    foreign = orjson.loads(document.read_bytes()) | {"info": {"vitpose": "of another kind"}}
    (tmp_path / "foreign.json").write_bytes(orjson.dumps(foreign))
    assert open_labels(tmp_path / "foreign.json").options == {}


def test_what_has_no_keypoints_and_crowds_are_nobody(run: Path, tmp_path: Path) -> None:
    document = orjson.loads((run / "annotations.json").read_bytes())
    number = {image["file_name"]: image["id"] for image in document["images"]}["a.jpg"]
    place = {"image_id": number, "bbox": [1, 2, 30, 40], "area": 1200, "iscrowd": 0}
    person = document["categories"][0]["id"]
    document["categories"].append({"id": 77, "name": "car"})
    document["annotations"] += [
        place | {"id": 1000, "category_id": 77},
        place | {"id": 1001, "category_id": person, "iscrowd": 1, "keypoints": [0] * 51},
    ]
    (tmp_path / "more.json").write_bytes(orjson.dumps(document))
    ours, theirs = (
        open_labels(path) for path in (run / "annotations.json", tmp_path / "more.json")
    )
    np.testing.assert_array_equal(theirs.people(PHOTO).boxes, ours.people(PHOTO).boxes)


def test_a_photo_is_found_by_other_forms_of_its_name() -> None:
    together, apart = (FrameKey(normalize(form, "é/1.jpg")) for form in ("NFC", "NFD"))
    for labelled in (together, apart, FrameKey("é\\1.jpg")):
        keys = LabelledKeys([labelled, FrameKey("2.jpg")])
        assert keys.find(together) == keys.find(apart) == labelled
        assert keys.find(FrameKey("é/2.jpg")) is None
    both = LabelledKeys([together, apart])
    assert (both.find(together), both.find(apart)) == (together, apart)


def test_a_video_is_found_by_other_forms_of_its_name() -> None:
    together, apart = (normalize(form, "d/é.mp4") for form in ("NFC", "NFD"))
    for name in (together, apart, "d\\é.mp4"):
        frames = FrameKey(name, 3), FrameKey(str(FrameKey(name, 3)))
        for labelled in (*frames, FrameKey(frames[1].media.replace("/", "\\"))):
            keys = LabelledKeys([labelled, FrameKey("z.jpg")])
            for video in (together, apart):
                assert keys.find(FrameKey(video, 3)) == labelled
                assert keys.find(FrameKey(str(FrameKey(video, 3)))) == labelled
                assert keys.find(FrameKey(video, 4)) is None
                assert keys.of_media(video) == [(FrameKey(video, 3), labelled)]
                assert keys.has_media(video)
            assert not keys.has_media("é.mp4")
    both = LabelledKeys([FrameKey(together, 1), FrameKey(apart, 2)])
    assert both.find(FrameKey(together, 2)) is None
    assert both.find(FrameKey(apart, 1)) is None
    assert both.of_media(together) == [(FrameKey(together, 1),) * 2]
