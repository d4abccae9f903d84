"""Annotations that come from a document and go into another, with all that a record cannot hold.

Of people whose labels are taken as they are, these are outline, area and the fields of other tools;
of a picture, its crowds, in which evaluation forgives what it finds. Both are part of a ground
truth. Who made a label is not made up, either: where a document does not say so, nor does the next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from vitpose_cli.records.coco_people import attributes_of

_OF_A_PERSONS_DECISION = ("source", "review")


def kept_annotations(
    originals: Sequence[Mapping[str, Any]],
    written: Sequence[Mapping[str, Any]],
    image_id: int,
) -> list[dict[str, Any]]:
    """Return the annotations of a frame, without their ids.

    Args:
        originals: As they are in the document that they come from, completed as by `read_coco`,
            but for their categories, which are numbered as in the one that they go into.
        written: What is made of the record of the frame; a person each, in the same order. Names,
            identities and what a person decided since are taken from there.
        image_id: Of the frame.
    """
    people = iter(written)
    kept = []
    for original in originals:
        annotation = {
            "area": original["bbox"][2] * original["bbox"][3],
            "segmentation": [],
            **{name: value for name, value in original.items() if value is not None},
            "num_keypoints": sum(v > 0 for v in original["keypoints"][2::3]),
            "iscrowd": int(original["iscrowd"]),
            "image_id": image_id,
        }
        annotation.pop("id", None)
        annotation["attributes"] = dict(attributes_of(original))
        if not original["iscrowd"]:
            _bring_up_to_date(annotation, next(people)["attributes"])
        kept.append(annotation)
    return kept


def lost_in_records(originals: Sequence[Mapping[str, Any]]) -> Counter[str]:
    """Count what records cannot hold of the annotations of a frame, by what it is."""
    people = [original for original in originals if not original["iscrowd"]]
    lost = {
        "crowds": len(originals) - len(people),
        "outlines": sum(bool(person.get("segmentation")) for person in people),
    }
    return Counter({what: count for what, count in lost.items() if count})


def _bring_up_to_date(annotation: dict[str, Any], written: Mapping[str, Any]) -> None:
    attributes = annotation["attributes"]
    attributes["uid"] = written["uid"]
    if "review" in written:
        attributes |= {name: written[name] for name in _OF_A_PERSONS_DECISION}
    if "track_id" in written:
        attributes["track_id"] = written["track_id"]
        if "track_id" in annotation:
            annotation["track_id"] = written["track_id"]
