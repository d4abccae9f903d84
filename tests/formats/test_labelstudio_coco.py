"""COCO files that Label Studio exports: everybody in a picture is one person there."""

import json
from pathlib import Path
from typing import Any

import pytest
from format_cases import (
    COCO,
    LABELLED,
    bring_back,
    export,
    make_run,
)

from vitpose_cli.errors import InputError


def label_studios_coco(run: Path) -> dict[str, Any]:
    """Return the labels of a run as Label Studio's converter writes them as COCO."""
    document: dict[str, Any] = json.loads((run / "annotations.json").read_bytes())
    points = {"id": 1, "name": "default", "supercategory": "default", "skeleton": []}
    annotations: list[Any] = []
    together: dict[int, Any] = {}
    for each in document["annotations"]:
        fields = {"iscrowd": 0, "ignore": 0, "segmentation": [], "area": each["area"]}
        fields |= {"image_id": each["image_id"], "bbox": each["bbox"]}
        annotations.append({**fields, "id": len(annotations), "category_id": 0})
        whole = [round(value) for value in each["keypoints"]]
        together[each["image_id"]] = {**fields, "category_id": 1, "keypoints": whole}
    for number, item in enumerate(together.values(), len(annotations)):
        annotations.append({**item, "id": number, "num_keypoints": 17})
    return {
        "images": [
            {name: image[name] for name in ("id", "file_name", "width", "height")}
            for image in document["images"]
        ],
        "categories": [{"id": 0, "name": "person"}, {**points, "keypoints": [*COCO.names]}],
        "annotations": annotations,
        "info": {"year": 2026, "version": "1.0", "contributor": "Label Studio", "url": ""},
    }


def test_label_studios_coco_files_are_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    exported = tmp_path / "result.json"
    exported.write_text(json.dumps(label_studios_coco(run)))
    for tool in ("coco", "cvat", "fiftyone"):
        with pytest.raises(InputError, match="is a COCO file of Label Studio") as caught:
            bring_back(run, exported, tool)
        assert "Export → JSON" in caught.value.hint
        assert caught.value.message.startswith(str(exported))


def test_what_was_made_of_label_studios_coco_files_is_taken(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    document = json.loads(export(run, "coco", tmp_path / "out.json").files[0].read_bytes())
    document["info"]["contributor"] = "Label Studio"
    copied = tmp_path / "copied.json"
    copied.write_text(json.dumps(document))
    assert bring_back(run, copied, "coco").count("unchanged") == len(LABELLED)
