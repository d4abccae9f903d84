"""A document frame by frame equals the document in memory."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from record_cases import small_document, write_json

from vitpose_cli.errors import InputError
from vitpose_cli.records.coco import read_coco
from vitpose_cli.records.coco_frames import CocoFrames


@pytest.mark.parametrize("order", [("images", "annotations", "categories"), None])
@pytest.mark.parametrize("indent", [None, 1])
def test_it_equals_the_document_in_memory(
    shared_data: Path, tmp_path: Path, order: tuple[str, ...] | None, indent: int | None
) -> None:
    content = json.loads((shared_data / "coco_val" / "person_keypoints.json").read_bytes())
    content["images"][0]["file_name"] = "ä.jpg"
    if order is not None:
        content = {name: content[name] for name in order}
    path = tmp_path / "x.json"
    path.write_text(json.dumps(content, indent=indent, ensure_ascii=False), encoding="utf-8")
    whole, by_image = read_coco(path), read_coco(path).by_image()
    with closing(CocoFrames(path)) as frames:
        assert frames.num_annotations == len(whole.annotations)
        assert frames.keypoint_set == whole.keypoint_set
        for number, image in enumerate(whole.images):
            assert frames.image(number) == image
            assert frames.key(number) == whole.keys()[image["id"]]
            assert frames.annotations(number) == by_image[image["id"]]
        keys = [frames.key(number) for number in frames.in_order()]
        assert keys == sorted(whole.keys().values())


def test_frames_of_videos_are_in_the_order_of_their_keys(tmp_path: Path) -> None:
    content = small_document()
    content["videos"] = [{"id": 4, "name": "b.mp4"}]
    content["images"] = [
        {"id": number, "file_name": f"b.mp4/frame_{index:06d}.jpg", "video_id": 4,
         "frame_id": index, "width": 9, "height": 9}
        for number, index in ((1, 7), (2, 5))
    ] + [{"id": 3, "file_name": "c.jpg", "width": 9, "height": 9}]  # fmt: skip
    with closing(CocoFrames(write_json(tmp_path / "a.json", content))) as frames:
        assert frames.in_order() == [1, 0, 2]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (["images", 1, "id"], 1),
        (["images", 0, "id"], "one"),
        (["images", 0, "id"], 2**70),
        (["images", 0, "file_name"], None),
        (["annotations", 1, "image_id"], 7),
        (["annotations", 0, "image_id"], [1]),
        (["annotations", 0, "category_id"], {}),
        (["annotations", 0, "keypoints"], [1, 2, 2]),
        (["annotations", 0, "bbox"], [1, 2, 3, float("nan")]),
    ],
)
def test_what_no_reader_can_use_is_refused_with_its_place(
    tmp_path: Path, place: list[Any], value: Any
) -> None:
    for names in (("images", "annotations", "categories"), ("categories", "images", "annotations")):
        content: Any = {name: small_document()[name] for name in names}
        inner = content
        for step in place[:-1]:
            inner = inner[step]
        inner[place[-1]] = value
        with pytest.raises(InputError, match=rf"{place[0]}\[{place[1]}\]") as caught:
            CocoFrames(write_json(tmp_path / "a.json", content))
        assert "vitpose validate" in caught.value.hint
