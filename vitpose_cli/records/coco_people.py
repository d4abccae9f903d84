"""The people of a COCO document, as far as a frame record can hold them.

For everything that makes records of a document: which annotations are labelled people, the names
that an earlier export gave them, and the size of their picture. What a record cannot hold (crowds,
outlines, fields of other tools) stays in the document.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from itertools import count
from typing import Any, get_args

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.json_values import are_texts, is_int, is_number
from vitpose_cli.records.record import MAX_UID_CHARS, Review, ReviewState, instance_uid


def bodies_of(categories: Iterable[Mapping[str, Any]]) -> frozenset[int]:
    """Return the ids of the categories that have keypoints."""
    return frozenset(category["id"] for category in categories if category.get("keypoints"))


def check_writable(category: Mapping[str, Any], name: str) -> None:
    """Refuse names of a category and its keypoints that UTF-8 cannot hold; JSON's escapes can.

    Args:
        category: The category.
        name: Whose it is, for the message.

    Raises:
        InputError: One has half a character.
    """
    if not are_texts([category.get("name"), *category.get("keypoints", ())]):
        raise InputError(
            f"{name}: a name in `categories` has half a character (\\ud800 to \\udfff), which "
            "cannot be written.",
            "Name the category and its keypoints otherwise.",
        )


def labelled_people(
    annotations: Iterable[Mapping[str, Any]], bodies: Container[int]
) -> list[Mapping[str, Any]]:
    """Return those annotations that are people with keypoints, crowds left out.

    Args:
        annotations: Of one image.
        bodies: The categories that have keypoints.
    """
    return [item for item in annotations if item["category_id"] in bodies and not item["iscrowd"]]


def uids_of(key: FrameKey, people: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the names that people have in the document, and new ones for the others.

    Args:
        key: Their frame.
        people: Its annotations.
    """
    given: list[str | None] = []
    for person in people:
        uid = _usable_uid(person)
        given.append(None if uid in given else uid)
    # A new name may be that of somebody further down, as they come from places in the document.
    taken = {uid for uid in given if uid is not None}
    uids: list[str] = []
    for place, uid in enumerate(given):
        names = (instance_uid(key, ordinal) for ordinal in count(place))  # the usual one first
        name = uid or next(new for new in names if new not in taken)
        taken.add(name)
        uids.append(name)
    return tuple(uids)


def attributes_of(annotation: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the `attributes` of an annotation; empty where it has none."""
    attributes = annotation.get("attributes")
    return attributes if isinstance(attributes, dict) else {}


def _usable_uid(person: Mapping[str, Any]) -> str | None:
    """Return the name that somebody has in the document; None where it is no name."""
    uid = attributes_of(person).get("uid")
    usable = isinstance(uid, str) and 0 < len(uid) <= MAX_UID_CHARS and uid.isprintable()
    return uid if usable else None


def made_by_hand(people: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether a person made the labels of somebody, as they did where nothing says so."""
    return any(attributes_of(person).get("source", "human") == "human" for person in people)


def called_by_hand(people: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether it is said of somebody that a person made their labels."""
    return any(source_of(person) == "human" for person in people)


def source_of(person: Mapping[str, Any]) -> Any:
    """Return who is said to have made somebody's labels; None where that is not said."""
    return attributes_of(person).get("source")


def review_of(image: Mapping[str, Any]) -> Review | None:
    """Return what a person is said to have decided about an image; None where that is not said."""
    state: Any = image.get("review")
    return Review(state) if state in get_args(ReviewState) else None


def model_of(people: Iterable[Mapping[str, Any]]) -> str:
    """Return the hash of the weights that all of some people come from; else an empty text."""
    named = (attributes_of(person).get("model") for person in people)
    models = {model if isinstance(model, str) else "" for model in named}
    return models.pop() if len(models) == 1 else ""


def size_of(image: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return width and height that an image is said to have, px; None where it is not said."""
    width, height = image.get("width"), image.get("height")
    if is_int(width) and is_int(height) and min(width, height) > 0:
        return width, height
    return None


def crowding_of(image: Mapping[str, Any]) -> float | None:
    """Return how much the people of an image are in each other's boxes, 0 to 1; None if not said.

    CrowdPose's files say so.
    """
    crowding = image.get("crowdIndex")
    return float(crowding) if is_number(crowding) else None


def time_of(image: Mapping[str, Any]) -> float | None:
    """Return when a frame of a video is shown, seconds; None where that is not said in seconds.

    Other programs have the date and hour of a photo there.
    """
    time_s = image.get("timestamp")
    return float(time_s) if is_number(time_s) else None
