"""Label Studio: tasks with predictions, and the labelling configuration of their project.

A person is a rectangle and the keypoints that name it as their `parentID`; coordinates are percent
of the picture. Region ids survive the way through Label Studio, so a rectangle's id is the `uid`
of its person. Label Studio has no visibility of keypoints: hidden ones carry the choice `hidden`.
What comes back is read in `labelstudio_export`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np
import orjson

from vitpose_cli.files import atomic_file
from vitpose_cli.formats.content import Content, LabelledFrame
from vitpose_cli.formats.keypoint_colours import BY_SIDE, PERSON
from vitpose_cli.formats.local_files import SERVED, LocalFiles
from vitpose_cli.formats.new_files import new_files
from vitpose_cli.formats.written import WriteOptions, Written, new_folder
from vitpose_cli.media.kinds import is_archive
from vitpose_cli.own_files import OwnFiles
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.records.coco_people import check_writable
from vitpose_cli.records.coco_writer import frame_annotations
from vitpose_cli.records.record import FrameRecord

TASKS = "tasks.json"
CONFIG = "config.xml"
IMAGE = "image"
_PEOPLE = "people"
_KEYPOINTS = "keypoints"
_VISIBILITY = "visibility"
HIDDEN = "hidden"
UIDS = "uids"
_POINT_WIDTH = 0.4  # percent of the picture's width, as Label Studio draws it
_VIDEOS = (
    "Label Studio loads frames of videos as photos alone: `vitpose annotate --extract-frames DIR` "
    "writes all that was labelled into DIR"
)
_WHERE = "; say with --images DIR or --image-url where that is."
_ARCHIVES = (
    "Label Studio does not look into archives: unpack each into a folder of its name, and say with "
    "--image-url where they are."
)
_NOT_FOUND = (
    "The photos are not found here, so that their URLs name no folder: say with --image-url where "
    f"Label Studio finds them, such as '{SERVED}FOLDER/' or s3://bucket/photos/."
)


def write(content: Content, out: Path, options: WriteOptions) -> Written:
    """Write a folder with `config.xml` for the project and `tasks.json` to import into it.

    Raises:
        InputError: A name has half a character, photos are not in the folder that was given, a file
            of somebody else is in the way, or something cannot be written.
    """
    check_writable(content.category, content.name)
    local = LocalFiles.of(content, options.images) if options.url is None else None
    new_folder(out, options)
    config, tasks = out / CONFIG, out / TASKS
    url = SERVED if options.url is None else options.url
    num_images = num_instances = num_lacking = num_in_archives = 0
    with OwnFiles(out) as own, new_files(own) as new:
        new.write(config, labelling_config(content.keypoint_set).encode())
        with atomic_file(new.place(tasks)) as stream:
            separator = b"[\n"
            for frame in content.frames():
                name = str(frame.record.key)
                address = _address(url, name) if local is None else local.url(name)
                task = _task(frame, content.keypoint_set, address)
                stream.write(separator + orjson.dumps(task))
                separator = b",\n"
                num_images += 1
                num_lacking += frame.record.key.index >= 0 and not (local and local.has(name))
                num_in_archives += any(map(is_archive, Path(name).parents))
                num_instances += len(frame.record.uids)
            stream.write(b"\n]\n" if num_images else b"[]\n")
        new.put_in_place({})
    notes = [_VIDEOS + (_WHERE if options.url is None else ".")] if num_lacking else []
    if num_in_archives:
        notes.append(_ARCHIVES)
    elif options.url is None and num_lacking < num_images:
        notes.append(_NOT_FOUND if local is None else local.settings())
    return Written((config, tasks), num_images, num_instances, tuple(notes))


def labelling_config(keypoint_set: KeypointSet) -> str:
    """Return the labelling configuration of a project for these keypoints.

    `model_index` gives the order of keypoints to Label Studio's own exports. Of `single-radio` the
    one choice could be taken, but never be taken back.
    """
    labels = "\n".join(
        f'    <Label value={quoteattr(name)} model_index="{index}" background="{BY_SIDE[side]}"/>'
        for index, (name, side) in enumerate(
            zip(keypoint_set.names, keypoint_set.sides, strict=True)
        )
    )
    return f"""<View>
  <Image name="{IMAGE}" value="${IMAGE}" zoom="true" zoomControl="true"/>
  <RectangleLabels name="{_PEOPLE}" toName="{IMAGE}">
    <Label value={quoteattr(keypoint_set.category)} background="{PERSON}"/>
  </RectangleLabels>
  <KeyPointLabels name="{_KEYPOINTS}" toName="{IMAGE}" strokeWidth="3">
{labels}
  </KeyPointLabels>
  <Choices name="{_VISIBILITY}" toName="{IMAGE}" perRegion="true" whenTagName="{_KEYPOINTS}"
           visibleWhen="region-selected" choice="single" required="false">
    <Choice value="{HIDDEN}"/>
  </Choices>
</View>
"""


def _task(frame: LabelledFrame, keypoint_set: KeypointSet, address: str) -> dict[str, Any]:
    record = frame.record
    ours = {"frame": str(record.key), "version": frame.version, UIDS: list(record.uids)}
    return {
        "data": {IMAGE: address, "vitpose": ours},
        "predictions": [
            {
                "model_version": record.model or "vitpose",
                "score": _mean_score(record),
                "result": list(_regions(record, keypoint_set)),
            }
        ],
    }


def _address(url: str, name: str) -> str:
    """Return the address of a picture; buckets (`s3://`, `gs://`) take names as they are."""
    is_bucket = "://" in url and not url.startswith("http")
    return url + (name if is_bucket else quote(name))


def _mean_score(record: FrameRecord) -> float:
    scores = () if record.instances is None else record.instances.scores
    return round(float(np.mean(scores)), 4) if len(scores) else 0.0


def _regions(record: FrameRecord, keypoint_set: KeypointSet) -> Iterator[dict[str, Any]]:
    """Yield the regions of a frame: for each person a rectangle, keypoints, and their choices."""
    if record.size_wh is None:
        return
    width, height = record.size_wh
    common = {
        "to_name": IMAGE,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
    }
    for uid, annotation in zip(record.uids, frame_annotations(record, 1, 1), strict=True):
        x, y, box_width, box_height = annotation["bbox"]
        yield {
            "id": uid,
            "type": "rectanglelabels",
            "from_name": _PEOPLE,
            **common,
            "score": annotation["score"],
            "value": {
                "x": 100 * x / width,
                "y": 100 * y / height,
                "width": 100 * box_width / width,
                "height": 100 * box_height / height,
                "rotation": 0,
                "rectanglelabels": [keypoint_set.category],
            },
        }
        points = iter(annotation["keypoints"])
        triples = zip(points, points, points, strict=True)
        for number, (name, (x, y, v)) in enumerate(zip(keypoint_set.names, triples, strict=True)):
            if v == 0:
                continue
            place = {"x": 100 * x / width, "y": 100 * y / height, "width": _POINT_WIDTH}
            region = {"id": f"{uid}-{number}", "parentID": uid, **common}
            yield {
                **region,
                "type": "keypointlabels",
                "from_name": _KEYPOINTS,
                "value": {**place, "keypointlabels": [name]},
            }
            if v == 1:
                yield {
                    **region,
                    "type": "choices",
                    "from_name": _VISIBILITY,
                    "value": {**place, "choices": [HIDDEN]},
                }
