import json
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from review_cases import CATEGORY, PHOTOS, SIZE_WH, make_photo, make_video, running

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.coco import read_coco
from vitpose_cli.records.run import Run
from vitpose_cli.review.coco_file import import_file
from vitpose_cli.review.queue import read_queue

POINTS = [30.5, 20.25, 2, 40, 22, 1, *[0, 0, 0] * 15]


def write_file(folder: Path, **changes: Any) -> Path:
    """Write a file of two photos and a frame of a video, with what real files hold."""
    for name in PHOTOS[:3]:
        make_photo(folder / "images" / name)
    make_video(folder / "images" / "clip.mp4")
    width, height = SIZE_WH
    person = {"category_id": 7, "bbox": [10, 10, 60, 80], "keypoints": POINTS, "iscrowd": 0}
    document: dict[str, Any] = {
        "images": [
            {"id": 5, "file_name": "b.jpg", "width": width, "height": height},
            {"id": 9, "file_name": PHOTOS[2]},
            {"id": 3, "file_name": "clip.mp4/frame_000002.jpg", "width": width, "height": height}
            | {"video_id": 1, "frame_id": 2, "timestamp": 0.08},
            {"id": 4, "file_name": "gone.jpg"},
        ],
        "videos": [{"id": 1, "name": "clip.mp4"}],
        "categories": [{**CATEGORY, "id": 7}, {"id": 8, "name": "car"}],
        "annotations": [
            {"id": 1, "image_id": 5, **person, "score": 0.5, "attributes": {"uid": "ann-1"}},
            {"id": 2, "image_id": 5, **person, "attributes": {"uid": "ann-1"}},
            {"id": 3, "image_id": 5, **person, "iscrowd": 1},
            {"id": 4, "image_id": 9, "category_id": 8, "bbox": [1, 2, 3, 4]},
            {"id": 5, "image_id": 3, **person, "track_id": 12},
        ],
    }
    path = folder / "people.json"
    path.write_text(json.dumps(document | changes), encoding="utf-8")
    return path


def test_the_category_keeps_its_name_and_what_several_become_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_file(
        tmp_path, categories=[{**CATEGORY, "id": 7, "name": "player"}], annotations=[]
    )
    run = import_file(path, None).run
    (category,) = json.loads((run / "annotations.json").read_bytes())["categories"]
    assert category == {**CATEGORY, "name": "player"}
    assert not caplog.messages

    animal = keypoint_set("ap10k").to_category()
    two = [{**animal, "id": 7, "name": "dog"}, {**animal, "id": 8, "name": "cat"}]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"categories": two}))
    shutil.rmtree(run)
    run = import_file(path, None).run
    (category,) = json.loads((run / "annotations.json").read_bytes())["categories"]
    assert category["name"] == "animal"
    assert caplog.messages == [
        f"0 labels of the categories dog, cat are all called animal in {run}, as a run has one "
        "category."
    ]


def test_labels_are_copied_and_the_file_stays_as_it_is(tmp_path: Path) -> None:
    path = write_file(tmp_path)
    before = path.read_bytes()
    imported = import_file(path, None)
    assert imported.run == tmp_path / "people.json.vitpose"
    assert imported.num_left_out == 2  # a crowd and a car
    assert path.read_bytes() == before
    with Run.read(imported.run) as run:
        records = {str(record.key): record for record in run.records()}
    assert set(records) == {"b.jpg", PHOTOS[2], "clip.mp4/frame_000002.jpg", "gone.jpg"}
    first = records["b.jpg"]
    assert first.uids[0] == "ann-1"
    assert first.uids[1] != "ann-1"
    assert (first.origin, first.review, first.model) == ("human", None, "")
    assert first.instances is not None
    assert first.instances.keypoints[0, :2].tolist() == [[30.5, 20.25], [40, 22]]
    assert first.instances.visibility[0, :3].tolist() == [2, 1, 0]
    assert first.instances.boxes[0].tolist() == [10, 10, 70, 90]
    assert np.allclose(first.instances.scores, [0.5, 1.0])
    assert records[PHOTOS[2]].size_wh == SIZE_WH  # looked up in the photo
    assert records[PHOTOS[2]].uids == ()
    assert records["clip.mp4/frame_000002.jpg"].key == FrameKey("clip.mp4", 2)
    assert records["clip.mp4/frame_000002.jpg"].time_s == 0.08
    assert "gone.jpg" in (records["gone.jpg"].error or "")
    document = read_coco(imported.run / "annotations.json")
    assert document.keypoint_set.names == tuple(CATEGORY["keypoints"])
    assert len(document.annotations) == 3


def test_the_copy_is_made_once_and_finished_when_it_was_cut_off(tmp_path: Path) -> None:
    path = write_file(tmp_path)
    said: list[str] = []
    run = import_file(path, tmp_path / "images", say=said.append).run
    journal = run / "journal-1-of-1.jsonl"
    whole = journal.read_bytes()
    import_file(path, tmp_path / "images", say=said.append)
    assert said == [f"Copying the labels of {path} to {run} ..."]
    assert journal.read_bytes() == whole
    (run / "annotations.json").unlink()
    journal.write_bytes(whole[: len(whole) // 2])
    import_file(path, tmp_path / "images")
    assert journal.read_bytes() == whole


def test_a_file_that_has_changed_is_refused(tmp_path: Path) -> None:
    import_file(write_file(tmp_path), None)
    with pytest.raises(InputError, match="has changed since") as caught:
        import_file(write_file(tmp_path, info={"version": "2"}), None)
    assert "people.json.vitpose" in caught.value.hint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": [], "annotations": []}, "lists no photos"),
        ({"categories": [{"id": 7, "name": "person"}]}, "its category names none"),
        ({"images": [{"id": 5, "file_name": "../b.jpg"}], "annotations": []}, "not in"),
        (
            {"images": [{"id": n, "file_name": "b.jpg"} for n in (1, 2)], "annotations": []},
            "lists b.jpg more",
        ),
    ],
)
def test_a_file_that_cannot_be_reviewed_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        import_file(write_file(tmp_path, **changes), None)
    assert not (tmp_path / "people.json.vitpose").exists()


def test_labels_of_photos_that_are_on_their_way_are_not_lost(tmp_path: Path) -> None:
    """Without a size they cannot be kept, so that the file is refused until the photo is there."""
    path = write_file(tmp_path)
    document = json.loads(path.read_bytes())
    person = document["annotations"][0]
    document["annotations"].append({**person, "id": 6, "image_id": 4})
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(InputError, match=r"labels in 1 photo without width and height.*gone\.jpg"):
        import_file(path, None)
    assert not (tmp_path / "people.json.vitpose").exists()
    make_photo(tmp_path / "images" / "gone.jpg")
    run = import_file(path, None).run
    assert len(read_coco(run / "annotations.json").annotations) == 4


def test_photos_that_are_elsewhere_are_asked_for(tmp_path: Path) -> None:
    path = write_file(tmp_path)
    (tmp_path / "images").rename(tmp_path / "photos")
    with pytest.raises(InputError) as caught:
        import_file(path, None)
    assert "--images" in caught.value.hint
    assert import_file(path, tmp_path / "photos").run.is_dir()


def test_a_file_is_reviewed_like_a_run(tmp_path: Path) -> None:
    path = write_file(tmp_path)
    with running(path) as server:
        assert server.save("b.jpg", "fixed", []).status == 200
        number = server.number("clip.mp4/frame_000002.jpg")
        assert server.get(f"api/frames/{number}/picture").status == 200
    images = {
        image["file_name"]: image.get("review")
        for image in read_coco(tmp_path / "people.json.vitpose" / "annotations.json").images
    }
    assert images["b.jpg"] == "fixed"


def test_shards_are_reviewed_as_one_file(tmp_path: Path) -> None:
    document = json.loads(write_file(tmp_path).read_bytes())
    wanted = {image["file_name"] for image in document["images"]}
    for number in range(2):
        images = document["images"][number::2]
        ids = {image["id"] for image in images}
        people = [each for each in document["annotations"] if each["image_id"] in ids]
        shard = tmp_path / f"set-{number:05d}-of-00002.json"
        shard.write_text(json.dumps(document | {"images": images, "annotations": people}))
    with running(tmp_path / "set-*.json") as server:
        assert {row["name"] for row in server.get("api/rows?numbers=0,1,2,3").json} == wanted
        assert server.save("b.jpg", "fixed", []).status == 200
    run = tmp_path / "set.json.vitpose"
    assert images_of(run / "annotations.json")["b.jpg"]["review"] == "fixed"
    with running(tmp_path / "set-*-of-00002.json") as server:
        assert server.frame("b.jpg")["row"]["state"] == "fixed"
    shard.write_text(json.dumps(document | {"images": [], "annotations": []}))
    with pytest.raises(InputError, match="has changed since"):
        import_file(tmp_path / "set-*.json", None)


def images_of(path: Path) -> dict[str, Any]:
    return {image["file_name"]: image for image in read_coco(path).images}


def test_a_persons_labels_stay_theirs(tmp_path: Path) -> None:
    """A file as `split --reviewed` writes it, and what nobody says who made."""
    beyond = [-0.6, 20.25, 2, *POINTS[3:]]
    person = {"category_id": 7, "bbox": [0, 10, 60, 80], "iscrowd": 0, "keypoints": beyond}
    fixed = {"uid": "a", "source": "human", "model": "0123", "review": "fixed"}
    path = write_file(tmp_path)
    document = json.loads(path.read_text(encoding="utf-8"))
    document["images"][0]["review"] = "fixed"
    document["images"][2]["review"] = "perfect"
    document["annotations"] = [
        {"id": 1, "image_id": 5, **person, "attributes": fixed},
        {"id": 2, "image_id": 9, **person},
        {"id": 3, "image_id": 3, **person, "attributes": {"source": "model", "model": "4567"}},
    ]
    path.write_text(json.dumps(document), encoding="utf-8")
    names = ["b.jpg", PHOTOS[2], "clip.mp4/frame_000002.jpg"]
    with running(path) as server:
        assert [server.frame(name)["row"]["state"] for name in names] == ["fixed", "todo", "todo"]
        assert server.save(names[2], "draft").status == 200  # so that all is written anew
    written = read_coco(tmp_path / "people.json.vitpose" / "annotations.json")
    people = {written.keys()[each["image_id"]].media: each for each in written.annotations}
    assert people["b.jpg"]["attributes"] == fixed
    assert people["b.jpg"]["keypoints"][:3] == [-0.6, 20.25, 2]
    unsaid = people[PHOTOS[2]]
    assert unsaid["attributes"] == {"uid": unsaid["attributes"]["uid"], "source": "human"} | {
        "model": ""
    }
    assert unsaid["keypoints"][:3] == [-0.6, 20.25, 2]
    assert people["clip.mp4"]["attributes"]["model"] == "4567"
    images = images_of(tmp_path / "people.json.vitpose" / "annotations.json")
    assert images["b.jpg"]["review"] == "fixed"
    assert "review" not in images[PHOTOS[2]]


def test_labels_of_other_programs_can_be_edited(tmp_path: Path) -> None:
    """No identity is often -1, scores may be logits, and boxes be drawn to the left."""
    person = {"image_id": 5, "category_id": 7, "iscrowd": 0, "keypoints": POINTS}
    odd = {"bbox": [70, 10, -60, 80], "track_id": -1, "keypoint_scores": [45.5, 31, *[-12.5] * 15]}
    path = write_file(tmp_path, annotations=[{"id": 1, **person, **odd}])
    with running(path) as server:
        (shown,) = server.frame("b.jpg")["people"]
        assert shown["track_id"] is None
        assert shown["box"] == [10, 10, 70, 90]
        assert shown["keypoints"][0] == [30.5, 20.25, 2, 45.5]
        reply = server.save("b.jpg", "draft", [shown])
        assert (reply.status, reply.json["people"]) == (200, [shown])


def test_numbers_that_nobody_could_save_again_are_refused(tmp_path: Path) -> None:
    person = {"image_id": 5, "category_id": 7, "keypoints": [2e6, *POINTS[1:]]}
    with pytest.raises(InputError, match=r"annotations\[0\] has a number over 1,000,000"):
        import_file(write_file(tmp_path, annotations=[{"id": 1, **person}]), None)
    assert not (tmp_path / "people.json.vitpose").exists()


def test_a_queue_is_read_in_its_order(tmp_path: Path) -> None:
    images = [
        {"id": 3, "file_name": "z.jpg", "reasons": ["blurred", "<b>"]},
        {"id": 1, "file_name": "a.jpg"},
    ]
    path = write_file(tmp_path, images=images, annotations=[])
    assert list(read_queue(path).items()) == [("z.jpg", ("blurred", "<b>")), ("a.jpg", ())]


@pytest.mark.parametrize("reasons", ["blurred", [3], None, {}])
def test_reasons_that_are_no_texts_are_refused(tmp_path: Path, reasons: Any) -> None:
    images = [{"id": 3, "file_name": "z.jpg", "reasons": reasons}]
    with pytest.raises(InputError, match=r"images\[0\]\.reasons"):
        read_queue(write_file(tmp_path, images=images, annotations=[]))


def test_an_empty_queue_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="names no images"):
        read_queue(write_file(tmp_path, images=[], annotations=[]))


def test_the_labels_of_a_queue_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "queue.json"
    images = [{"file_name": "b.jpg"}, {"id": "3", "file_name": "a.jpg", "reasons": ["dark"]}]
    wrong = {"annotations": [{"image_id": 99, "bbox": "none"}], "categories": [{}]}
    for queue in (wrong | {"images": images}, {"images": images} | wrong, {"images": images}):
        path.write_text(json.dumps(queue))
        assert list(read_queue(path).items()) == [("b.jpg", ()), ("a.jpg", ("dark",))]


def write_many(path: Path, count: int) -> None:
    """Write a file of photos with a person each; the first photo is there."""
    make_photo(path.parent / "images" / "000000.jpg")
    width, height = SIZE_WH
    images = [
        {"id": number, "file_name": f"{number:06d}.jpg", "width": width, "height": height}
        for number in range(count)
    ]
    person = {"category_id": 1, "bbox": [1, 2, 3, 4], "keypoints": [1.5, 2.5, 2] * 17}
    people = [{"id": number, "image_id": number, **person} for number in range(count)]
    document = {"images": images, "annotations": people, "categories": [{**CATEGORY, "id": 1}]}
    path.write_text(json.dumps(document))


def peak_bytes_of(job: Callable[[], object]) -> int:
    """Return how much memory Python's objects take at most during a job."""
    tracemalloc.start()
    try:
        job()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_queue_of_many_labels_takes_memory_for_its_names_alone(tmp_path: Path) -> None:
    path, count = tmp_path / "queue.json", 5_000
    write_many(path, count)
    peak_bytes = peak_bytes_of(lambda: read_queue(path))
    assert len(read_queue(path)) == count
    assert peak_bytes < 500 * count + (8 << 20)  # what is read ahead


def test_a_file_of_many_photos_is_copied_without_its_labels_in_memory(tmp_path: Path) -> None:
    small, large, count = tmp_path / "small.json", tmp_path / "large.json", 800
    write_many(small, 200)
    write_many(large, 200 + count)
    grown_bytes = peak_bytes_of(lambda: import_file(large, None))
    grown_bytes -= peak_bytes_of(lambda: import_file(small, None))
    assert grown_bytes < 2_000 * count  # names, keys and places; labels take more than that
    assert len(read_coco(tmp_path / "large.json.vitpose").images) == 200 + count


@pytest.mark.parametrize(
    ("queue", "reason"),
    [
        ([], "is a list"),
        ({"annotations": []}, "has no images"),
        ({"images": {}}, "images is not one list"),
        ({"images": [3]}, r"images\[0\] is not an object"),
        ({"images": [{"file_name": "a.jpg"}, {"id": 1}]}, r"images\[1\].file_name is missing"),
    ],
)
def test_what_is_no_queue_is_refused(tmp_path: Path, queue: Any, reason: str) -> None:
    path = tmp_path / "queue.json"
    path.write_text(json.dumps(queue))
    with pytest.raises(InputError, match=reason):
        read_queue(path)
