import json
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_cases import boxes, small_source, write_coco, write_document

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.training.data import open_data
from vitpose_cli.training.data_options import CocoSource, DataOptions
from vitpose_cli.training.opened_source import OpenedSource, dropped_sentence
from vitpose_cli.training.sources import open_data_source


def coco(folder: Path, **options: Any) -> OpenedSource:
    return open_data_source(
        CocoSource.model_validate(
            {
                "kind": "coco",
                "annotations": folder / "people.json",
                "images": folder / "images",
                **options,
            }
        )
    )


def test_labels_become_people_with_weights(tmp_path: Path) -> None:
    write_coco(tmp_path, 5)
    opened = coco(tmp_path, repeat=2.5)
    people = opened.frames.people
    assert len(people) == 5
    assert [key.media for key in opened.frames.keys] == [f"{n:03d}.png" for n in range(1, 6)]
    np.testing.assert_allclose(people.boxes, np.array(boxes(5)), rtol=1e-6)
    assert (people.weights == 1).all()
    assert (people.repeats == 2.5).all()
    assert people.images.tolist() == [0, 1, 2, 3, 4]
    assert not opened.dropped


def test_labels_to_measure_with_are_kept_of_what_is_measured_on_alone(tmp_path: Path) -> None:
    write_coco(tmp_path, 5)
    source = small_source(tmp_path)
    data = open_data(DataOptions.model_validate({"train": [source], "validation": [source]}))
    (train,), (validation,) = data.train, data.validation
    assert len(train.frames.people) == len(validation.frames.people) == 5
    assert len(validation.truth.annotations) == 5
    assert not train.truth.annotations
    assert not train.truth.images


def test_outlines_beside_the_keypoints_are_not_held_in_memory(tmp_path: Path) -> None:
    path = write_coco(tmp_path, 40)
    document = json.loads(path.read_text())
    for one in document["annotations"]:
        one["segmentation"] = [[number + 0.25 for number in range(20_000)]]
    path.write_text(json.dumps(document))
    tracemalloc.start()
    opened = coco(tmp_path)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(opened.frames.people) == 40
    outlines_bytes = 40 * 20_000 * sys.getsizeof(0.25)
    assert peak_bytes < outlines_bytes / 2


def test_what_cannot_be_learnt_from_is_dropped_and_counted(tmp_path: Path) -> None:
    path = write_coco(tmp_path, 5)
    document = json.loads(path.read_text())
    people = document["annotations"]
    people[0]["bbox"][0] = 500
    people[1]["iscrowd"] = 1
    people[2]["keypoints"] = [0] * 51
    people[3]["keypoints"][0] = -5
    path.write_text(json.dumps(document))
    opened = coco(tmp_path)
    assert opened.dropped == {
        "boxes without area": 1,
        "crowds": 1,
        "people without keypoints": 1,
        "keypoints outside of their photo": 1,
    }
    assert "crowds (1)" in dropped_sentence(opened.dropped)
    assert len(opened.frames.people) == 2
    assert opened.frames.people.weights[0].tolist() == [0.0] + [1.0] * 16
    assert [key.media for key in opened.frames.keys] == ["004.png", "005.png"]


def test_boxes_are_cut_at_their_photo_as_where_people_are_measured(tmp_path: Path) -> None:
    path = write_coco(tmp_path, 2)
    document = json.loads(path.read_text())
    width, height = (document["images"][0][name] for name in ("width", "height"))
    first, second = document["annotations"]
    first["bbox"] = [-20, 10.5, width + 50, height]
    second["bbox"] = [width + 1, 10, 20, 20]
    path.write_text(json.dumps(document))
    opened = coco(tmp_path)
    assert opened.frames.people.boxes.tolist() == [[0, 10.5, width, height]]
    assert opened.dropped == {"boxes without area": 1}


@pytest.mark.parametrize("width", ["640", [640], -1, None])
def test_sizes_that_are_none_are_not_compared(tmp_path: Path, width: Any) -> None:
    path = write_coco(tmp_path, 2)
    document = json.loads(path.read_text())
    for image in document["images"]:
        image["width"] = width
    path.write_text(json.dumps(document))
    opened = coco(tmp_path)
    assert not opened.dropped
    assert len(opened.frames.people) == 2


@pytest.mark.parametrize(
    ("include", "kept"),
    [("all", [1, 2, 3, 4]), ("reviewed", [2, 3, 4]), ("human", [3, 4])],
)
def test_a_labelling_run_gives_what_is_asked_for(
    tmp_path: Path, include: str, kept: list[int]
) -> None:
    path = write_coco(tmp_path, 4)
    document = json.loads(path.read_text())
    origins: list[dict[str, str]] = [
        {"source": "model"},
        {"source": "human", "review": "accepted"},
        {"source": "human", "review": "fixed"},
        {},
    ]
    scores = [0.9] * 8 + [0.1] * 9
    for one, attributes in zip(document["annotations"], origins, strict=True):
        one |= {"attributes": attributes, "keypoint_scores": scores}
    path.write_text(json.dumps(document))
    opened = coco(tmp_path, include=include, model_weight=0.5, min_score=0.2)
    assert [key.media for key in opened.frames.keys] == [f"{n:03d}.png" for n in kept]
    human = opened.frames.people.weights[-1]
    assert (human == 1).all()
    if include == "all":
        first = opened.frames.people.weights[0]
        np.testing.assert_allclose(first, [0.45] * 8 + [0] * 9)


def test_people_whose_keypoints_all_count_nothing_are_left_out(tmp_path: Path) -> None:
    path = write_coco(tmp_path, 3)
    document = json.loads(path.read_text())
    for one, score in zip(document["annotations"], (0.9, 0.1, 0.1), strict=True):
        one |= {"attributes": {"source": "model"}, "keypoint_scores": [score] * 17}
    document["annotations"][2]["attributes"] = {"source": "human", "review": "fixed"}
    path.write_text(json.dumps(document))
    opened = coco(tmp_path, min_score=0.5)
    assert [key.media for key in opened.frames.keys] == ["001.png", "003.png"]
    assert opened.dropped == {"people whose keypoints count nothing": 1}
    assert len(coco(tmp_path, human_weight=0).frames.people) == 2
    with pytest.raises(InputError, match=r"people whose keypoints count nothing \(3\)") as caught:
        coco(tmp_path, model_weight=0, human_weight=0)
    assert "`human_weight`" in caught.value.hint


def test_everybody_with_keypoints_is_measured_whatever_their_weight(tmp_path: Path) -> None:
    write_coco(tmp_path, 3)
    source = small_source(tmp_path)
    options = DataOptions.model_validate(
        {"train": [source], "validation": [source | {"human_weight": 0}]}
    )
    (opened,) = open_data(options).validation
    assert len(opened.frames.people) == len(opened.truth.annotations) == 3


def test_splits_are_disjoint_whole_and_stable(tmp_path: Path) -> None:
    write_coco(tmp_path, 20)
    whole = {str(key) for key in coco(tmp_path).frames.keys}
    parts = [
        {str(key) for key in coco(tmp_path, split=split).frames.keys}
        for split in ((0, 0.5), (0.5, 1))
    ]
    assert parts[0] | parts[1] == whole
    assert not parts[0] & parts[1]
    assert len(coco(tmp_path, limit=3).frames.keys) == 3


def test_frames_that_only_say_their_video_are_on_one_side(tmp_path: Path) -> None:
    path = write_coco(tmp_path, 16)
    document = json.loads(path.read_text())
    for number, image in enumerate(document["images"]):
        image["video_id"] = number % 8
    document["videos"] = [{"id": number, "name": f"{number}.mp4"} for number in range(8)]
    path.write_text(json.dumps(document))
    sides = [
        {(int(key.media[:3]) - 1) % 8 for key in coco(tmp_path, split=split).frames.keys}
        for split in ((0, 0.5), (0.5, 1))
    ]
    assert sides[0] | sides[1] == {*range(8)}
    assert not sides[0] & sides[1]


def test_frames_that_were_extracted_are_on_the_side_of_their_video(tmp_path: Path) -> None:
    path = write_coco(tmp_path, 16)
    document = json.loads(path.read_text())
    for number, image in enumerate(document["images"]):
        name = str(FrameKey(f"{number % 8}.mp4", number))
        (tmp_path / "images" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "images" / image["file_name"]).rename(tmp_path / "images" / name)
        image["file_name"] = name
    path.write_text(json.dumps(document))
    sides = [
        {key.media.partition("/")[0] for key in coco(tmp_path, split=split).frames.keys}
        for split in ((0, 0.5), (0.5, 1))
    ]
    assert sides[0] | sides[1] == {f"{number}.mp4" for number in range(8)}
    assert not sides[0] & sides[1]


def test_missing_photos_are_refused_above_one_percent(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    (tmp_path / "images" / "002.png").unlink()
    assert coco(tmp_path).dropped == {"photos missing": 1}
    source = {
        "kind": "coco",
        "annotations": str(tmp_path / "people.json"),
        "images": str(tmp_path / "images"),
    }
    with pytest.raises(InputError, match="1 of 4 photos are missing") as caught:
        open_data(DataOptions.model_validate({"train": [source]}))
    assert "--allow-missing" in caught.value.hint
    data = open_data(DataOptions.model_validate({"train": [source], "allow_missing": True}))
    assert len(data.train[0].frames.people) == 3
    assert data.notes == [f"{tmp_path / 'people.json'}: left out photos missing (1)."]


def test_a_wrong_folder_of_photos_is_told(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    with pytest.raises(InputError, match="4 of 4 photos are missing, and nobody is") as caught:
        coco(tmp_path, images=tmp_path / "nowhere")
    assert caught.value.hint == "Check `images` of this source."


def test_a_file_without_people_is_refused(tmp_path: Path) -> None:
    write_document(tmp_path, [], [])
    with pytest.raises(InputError, match=r"Nobody in .*: no annotation fits"):
        coco(tmp_path)
    write_coco(tmp_path / "b", 2, iscrowd=1)
    with pytest.raises(InputError, match=r"crowds \(2\)"):
        coco(tmp_path / "b")


def test_frames_of_a_video_are_found_extracted(tmp_path: Path) -> None:
    write_coco(tmp_path, 2)
    folder = tmp_path / "images" / "clip.mp4"
    folder.mkdir()
    (tmp_path / "images" / "001.png").rename(folder / "frame_000007.jpg")
    path = tmp_path / "people.json"
    document = json.loads(path.read_text())
    document["videos"] = [{"id": 1, "name": "clip.mp4"}]
    document["images"][0] |= {
        "file_name": "clip.mp4/frame_000007.jpg",
        "video_id": 1,
        "frame_id": 7,
    }
    path.write_text(json.dumps(document))
    keys = coco(tmp_path).frames.keys
    assert [str(key) for key in keys] == ["clip.mp4/frame_000007.jpg", "002.png"]


def boxes_of_categories(folder: Path, *categories: dict[str, Any]) -> None:
    """Write pictures with one box each, of these categories in turn."""
    path = write_coco(folder, 4)
    document = json.loads(path.read_text())
    document["categories"] = list(categories)
    for number, one in enumerate(document["annotations"]):
        one["category_id"] = categories[number % len(categories)]["id"]
        del one["keypoints"]
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    "person",
    [{"id": 3, "name": "Person"}, {"id": 3, "name": "robot", "keypoints": ["hand", "foot"]}],
)
def test_pretraining_takes_boxes_of_people_alone(tmp_path: Path, person: dict[str, Any]) -> None:
    boxes_of_categories(tmp_path, {"id": 7, "name": "car"}, person)
    options = CocoSource.model_validate(small_source(tmp_path))
    opened = open_data_source(options, purpose="pretraining")
    assert [key.media for key in opened.frames.keys] == ["002.png", "004.png"]
    assert opened.dropped == {"boxes of other categories": 2}


def test_pretraining_refuses_a_file_without_people(tmp_path: Path) -> None:
    boxes_of_categories(tmp_path, {"id": 7, "name": "car"}, {"id": 8, "name": "dog"})
    options = CocoSource.model_validate(small_source(tmp_path))
    with pytest.raises(InputError, match=r"nor is one called person: car, dog\.") as caught:
        open_data_source(options, purpose="pretraining")
    assert caught.value.hint


def names_of(source: OpenedSource) -> list[str]:
    return [key.media for key in source.frames.keys]


def test_a_limit_counts_photos_with_people(tmp_path: Path) -> None:
    path = write_coco(tmp_path, 20)
    document = json.loads(path.read_text())
    document["annotations"] = document["annotations"][:14:2]  # 7 photos have people
    document["annotations"][1]["iscrowd"] = 1
    document["annotations"].append(document["annotations"][2] | {"id": 90, "iscrowd": 1})
    path.write_text(json.dumps(document))
    assert names_of(coco(tmp_path)) == [f"{n:03d}.png" for n in (1, 5, 7, 9, 11, 13)]
    assert coco(tmp_path).dropped == {"crowds": 2}
    assert names_of(coco(tmp_path, limit=5)) == [f"{n:03d}.png" for n in (1, 5, 7, 9, 11)]
    opened = coco(tmp_path, limit=2)
    assert names_of(opened) == ["001.png", "009.png"]
    assert opened.dropped == {"crowds": 1}  # not that of 005.png, which was not wanted


def refused(folder: Path, **options: Any) -> str:
    """Return how a source of which too much is missing is refused; empty if it is not."""
    source = small_source(folder) | options
    try:
        open_data(DataOptions.model_validate({"train": [source]}))
    except InputError as error:
        return error.message
    return ""


def test_photos_that_would_not_be_used_are_not_missed(tmp_path: Path) -> None:
    path = write_coco(tmp_path, 20)
    document = json.loads(path.read_text())
    del document["annotations"][10:]  # the photos from 011.png on show nobody
    path.write_text(json.dumps(document))
    lower = names_of(coco(tmp_path, split=(0, 0.5)))
    upper = names_of(coco(tmp_path, split=(0.5, 1)))
    gone = [*upper, *(f"{n:03d}.png" for n in range(11, 21))]
    for name in gone:
        (tmp_path / "images" / name).unlink()
    assert not refused(tmp_path, split=(0, 0.5))
    assert not coco(tmp_path, split=(0, 0.5)).dropped
    (tmp_path / "images" / lower[0]).unlink()
    wanted = f"1 of {len(lower)} photos are missing"
    assert wanted in refused(tmp_path, split=(0, 0.5))
    assert f"{len(upper) + 1} of 10 photos are missing" in refused(tmp_path)
    assert refused(tmp_path, split=(0, 0.5), limit=1)  # the first is the one that is gone
