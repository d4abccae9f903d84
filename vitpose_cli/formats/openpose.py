"""OpenPose's files, a JSON text for each frame, as three kinds of programs read them.

Written from OpenPose's documentation (doc/02_output.md) and from what the programs' own code does.
All take the same text, and each expects something else in it:

- Programs made for OpenPose take its 25 points of a body, 70 of a face and 21 of each hand.
- Pose2Sim has models of the keypoint sets as they are (COCO_17, COCO_133, ANIMAL2D_17), reads the
  list of the body alone, and makes neck and hip in space, where the mean of two is their middle.
- ControlNet's editors take 18 points, pass over whatever has a score below 1, and need to know the
  size of the picture.

One list for all was refused: a program counts places in it, and takes a nose for a knee without a
word. Each video has a folder, `NAME_json`, as Pose2Sim looks for cameras. There is no way back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson

from vitpose_cli.errors import InputError
from vitpose_cli.formats.content import Content, LabelledFrame
from vitpose_cli.formats.new_files import new_files
from vitpose_cli.formats.openpose_files import ENDING, MAX_GAP, FrameFiles, VideoSeries
from vitpose_cli.formats.openpose_points import (
    BODY_25,
    COCO_18,
    LIST_NAMES,
    ListName,
    Lists,
    OpenPosePoints,
    lists_with_body,
)
from vitpose_cli.formats.written import WriteOptions, Written, new_folder
from vitpose_cli.own_files import OwnFiles
from vitpose_cli.plurals import counted, first_few
from vitpose_cli.pose.keypoints import KeypointSet, keypoint_set
from vitpose_cli.records.coco_writer import annotations_of

_VERSION = 1.3
_NOBODY = orjson.dumps({"version": _VERSION, "people": []})
_NOBODY_KNOWN = -1  # OpenPose's `person_id` of whom it has not tracked
_AT_ONCE = 200  # frames
_MIN_CHUNK_SIZE = 10  # frames: the default in Pose2Sim's Config.toml

_POSE_MODELS: Mapping[str, str] = MappingProxyType(
    {"coco": "COCO_17", "halpe26": "HALPE_26", "wholebody": "COCO_133", "ap10k": "ANIMAL2D_17"}
)
"""What Pose2Sim calls keypoint sets whose order it knows (its skeletons.py), by our names."""


@dataclass(frozen=True, slots=True)
class _Reader:
    """What a kind of program expects.

    Attributes:
        lists: The points that it counts; None for the keypoints as they are.
        every_frame: Whether it takes the number of files for that of frames, as OpenPose has one
            for every frame of a video: frames without labels have files then, of nobody.
        for_drawing: Whether it draws them: points are there or not, on a picture of a known size.
    """

    lists: Lists | None
    every_frame: bool = True
    for_drawing: bool = False


def write(content: Content, out: Path, options: WriteOptions) -> Written:
    """Write what OpenPose would: `BODY_25`, and faces and hands where they are labelled.

    Raises:
        InputError: No keypoint is one of OpenPose's, a photo is listed twice, a file of somebody
            else is in the way, or something cannot be written.
    """
    return _write(content, out, options, _Reader(lists_with_body(BODY_25, pupils=True)))


def write_for_pose2sim(content: Content, out: Path, options: WriteOptions) -> Written:
    """Write all keypoints in their own order.

    Raises:
        InputError: See `write`; keypoints may be any.
    """
    return _write(content, out, options, _Reader(None))


def write_for_controlnet(content: Content, out: Path, options: WriteOptions) -> Written:
    """Write poses to be drawn: 18 points, and the size of the picture.

    Raises:
        InputError: See `write`.
    """
    lists = lists_with_body(COCO_18, pupils=False)
    reader = _Reader(lists, every_frame=False, for_drawing=True)
    return _write(content, out, options, reader)


def _write(content: Content, out: Path, options: WriteOptions, reader: _Reader) -> Written:
    content.check_listed_once()
    points = OpenPosePoints.of(content.keypoint_set, reader.lists)
    if points.places["pose"] is None:
        raise InputError(
            f"None of the keypoints of {content.name} is one of OpenPose's, which are those of "
            "people.",
            "--format pose2sim writes keypoints of any kind, in the order that they have.",
        )
    new_folder(out, options)
    files, series = FrameFiles(out), VideoSeries()
    num_images = num_instances = 0
    with OwnFiles(out) as own, new_files(own) as new:
        for frame, people in _with_people(content, points):
            key = frame.record.key
            if reader.every_frame:
                for gap in series.gaps_before(key):
                    new.write(files.path(gap), _NOBODY)
            new.write(files.path(key), orjson.dumps(_text(frame, people, reader)))
            num_images += 1
            num_instances += len(people)
        new.put_in_place({out: ENDING})  # there may be fewer frames than in the earlier export
    notes = _notes(content.keypoint_set, points, reader, series)
    return Written((out,), num_images, num_instances, notes)


def _with_people(
    content: Content, points: OpenPosePoints
) -> Iterator[tuple[LabelledFrame, list[dict[str, Any]]]]:
    """Yield all frames with their people as OpenPose writes them.

    Who has the lowest `track_id` comes first: many programs take the first of a frame alone. Who
    has no point is left out, as OpenPose knows people by their points.
    """
    frames = content.frames()
    while batch := list(islice(frames, _AT_ONCE)):
        own = list(annotations_of([frame.record for frame in batch], 1, 1))
        numbers = iter(points.numbers([person for people in own for person in people]))
        for frame, people in zip(batch, own, strict=True):
            ids = [person["attributes"].get("track_id", _NOBODY_KNOWN) for person in people]
            found = [
                _person(track_id, lists)
                for track_id, lists in zip(ids, islice(numbers, len(ids)), strict=True)
                if any(map(any, lists.values()))
            ]
            yield frame, sorted(found, key=lambda person: person["person_id"])


def _person(track_id: int, numbers: Mapping[ListName, Sequence[float]]) -> dict[str, Any]:
    """Return a person with all fields that OpenPose writes; readers ask for empty ones, too."""
    return {
        "person_id": [track_id],
        **{f"{part}_keypoints_2d": numbers[part] for part in LIST_NAMES},
        **{f"{part}_keypoints_3d": [] for part in LIST_NAMES},
    }


def _text(
    frame: LabelledFrame, people: Sequence[dict[str, Any]], reader: _Reader
) -> dict[str, Any]:
    text: dict[str, Any] = {"version": _VERSION, "people": people}
    if reader.for_drawing:
        for person in people:
            for part in LIST_NAMES:
                numbers = person[f"{part}_keypoints_2d"]
                numbers[2::3] = [float(score > 0) for score in numbers[2::3]]
        text["canvas_width"], text["canvas_height"] = frame.record.size_wh or (0, 0)
    return text


def _notes(
    keypoints: KeypointSet, points: OpenPosePoints, reader: _Reader, series: VideoSeries
) -> tuple[str, ...]:
    notes = []
    if points.missing:
        many = counted(len(points.missing), "keypoint is", "keypoints are")
        notes.append(f"{many} not labelled here, and written as 0: {first_few(points.missing)}.")
    if reader.lists is None:
        names = keypoints.names
        known = (each for each in _POSE_MODELS if keypoint_set(each).names == names)
        model = _POSE_MODELS.get(next(known, ""))
        notes.append(
            f'In Pose2Sim\'s Config.toml: pose_model = "{model}".'
            if model
            else "Pose2Sim has no model of these keypoints: describe one as [pose.CUSTOM] in its "
            "Config.toml, with their places, from 0, as ids."
        )
        if 0 < series.longest_run < _MIN_CHUNK_SIZE:
            notes.append(
                f"No video has labels in {_MIN_CHUNK_SIZE} frames in a row, and Pose2Sim drops who "
                "is not there for so long: label every frame, or set min_chunk_size = 1 in its "
                "Config.toml, and interp_if_gap_smaller_than to more than the longest gap."
            )
    if series.num_gaps:
        frames = counted(series.num_gaps, "frame")
        notes.append(
            f"{frames} of videos without labels here (failed, rejected, not chosen) have a file "
            "with nobody in it, as programs count the files."
        )
    if series.is_partial:
        notes.append(
            f"Longer gaps than {MAX_GAP:,} frames have no files. Say which frames there are, as "
            f"programs count the files: in Pose2Sim, frame_range = [{series.first}, "
            f"{series.last + 1}]."
        )
    return tuple(notes)
