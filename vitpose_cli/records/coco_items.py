"""A pass over the images and annotations of a COCO file or a set of shards.

What every reader relies on is checked here: ids, boxes and keypoints are there and are numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from vitpose_cli.errors import InputError
from vitpose_cli.records.body_sizes import complete_size
from vitpose_cli.records.composed_names import without_dot
from vitpose_cli.records.json_stream import Place, stream_items, stream_places
from vitpose_cli.records.json_values import are_numbers, is_int, no_numbers
from vitpose_cli.records.keypoint_order import KeypointOrder
from vitpose_cli.records.whole_body import has_parts, join_parts, widened

_NEEDED = ("images", "annotations", "categories")
_SECTIONS = (*_NEEDED, "videos")
NO_OWN_ID = "is not a whole number of its own"
_HINT = "`vitpose validate FILE` lists everything that is wrong with a file."


class CocoItem(NamedTuple):
    """An image or an annotation.

    Attributes:
        section: Which of them.
        value: As it stands in the file.
        file_number: The file, counted from 0.
        position: Its place in the section's list, from 0.
        place: Where it lies in the file.
    """

    section: str
    value: dict[str, Any]
    file_number: int
    position: int
    place: Place


@dataclass(slots=True)
class CocoHead:
    """What is small in a document; complete when its items are used up.

    Where categories come before annotations, their numbers of keypoints are known when these come.

    Attributes:
        info: Its `info`.
        categories: Each with at least `id`; as they stand in the first file until all is read.
        videos: Empty for photos.
        licences: Those of its photos; the section `licenses`.
        num_keypoints: K by category id.
        with_parts: Ids of categories whose people have feet, face and hands beside the body.
        wanted: Lists of keypoints; where the first that the document has is the same as one of
            these, it is brought into the order of that.
        orders: By category id, how its keypoints come into the order of the first that has some;
            known at the end, and left out where they are in it, are others, or nothing else of the
            category fits them: it stays as it is, for who wants the others.
    """

    info: Mapping[str, Any] = field(default_factory=dict)
    categories: list[dict[str, Any]] = field(default_factory=list)
    videos: list[dict[str, Any]] = field(default_factory=list)
    licences: list[dict[str, Any]] = field(default_factory=list)
    num_keypoints: dict[int, int] = field(default_factory=dict)
    with_parts: set[int] = field(default_factory=set)
    wanted: Sequence[Sequence[str]] = ()
    orders: dict[int, KeypointOrder] = field(default_factory=dict)


def coco_items(
    files: Sequence[Path], head: CocoHead, needed: Sequence[str] = _NEEDED
) -> Iterator[CocoItem]:
    """Yield images and annotations of all files, and fill in `head`.

    Args:
        files: A COCO file, or the shards of one.
        head: To be filled in.
        needed: The sections that a file may not lack.

    Raises:
        InputError: A file cannot be read, is something else, lacks a section, or has other
            categories than the first one.
    """
    for file_number, path in enumerate(files):
        here = CocoHead() if file_number else head
        yield from _items_of(path, file_number, here, head, needed)
        if here.categories != head.categories:
            raise wrong(path, "categories", f"are not those of {files[0]}")
        if here.videos != head.videos:
            head.videos += [video for video in here.videos if video not in head.videos]
        head.licences += [licence for licence in here.licences if licence not in head.licences]
    head.categories = [
        widened(category) if category["id"] in head.with_parts else category
        for category in head.categories
    ]
    _put_in_order(head)


def named_images(files: Sequence[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the entries of `images` of all files, each with where it stands; nothing else is read.

    Only their names are checked: whatever is wrong with the labels beside them does not matter.

    Raises:
        InputError: A file cannot be read, has no list of images, or one has no name.
    """
    for path in files:
        is_there = False
        for section, position, value in stream_items(path):
            if section == "":
                raise _no_document(path)
            if section != "images" and is_there:
                break
            if section == "images" and position is None and value != []:
                raise wrong(path, section, "is not one list")
            is_there |= section == "images"
            if section == "images" and position is not None:
                place = f"images[{position}]"
                if not isinstance(value, dict):
                    raise wrong(path, place, "is not an object")
                _check_name(path, place, value)
                yield place, value
        if not is_there:
            raise _lacking(path, ["images"])


def check_image(path: Path, item: CocoItem) -> int:
    """Return the id of an image, which has a name.

    Args:
        path: The file that it stands in.
        item: The image.

    Raises:
        InputError: It has no id or no name.
    """
    image_id, place = item.value.get("id"), f"images[{item.position}]"
    if not is_int(image_id):
        raise wrong(path, f"{place}.id", NO_OWN_ID)
    _check_name(path, place, item.value)
    return image_id


def _check_name(path: Path, place: str, image: dict[str, Any]) -> None:
    """Check that an image has a name, and take `./` away in front of it."""
    name = image.get("file_name")
    if not isinstance(name, str) or not without_dot(name):
        raise wrong(path, f"{place}.file_name", "is missing")
    image["file_name"] = without_dot(name)


def complete_annotation(annotation: dict[str, Any], head: CocoHead) -> str:
    """Fill in what may be missing; return what is wrong, empty where nothing is.

    Args:
        annotation: To be completed.
        head: Of its document, with the categories.
    """
    category_id = annotation.get("category_id")
    if not isinstance(category_id, int) or category_id not in head.num_keypoints:
        return f"has the category {category_id!r}, which is not in the file"
    if annotation.get("iscrowd") is None:
        annotation["iscrowd"] = 0
    if annotation["iscrowd"] not in (0, 1):
        return f"has the iscrowd {annotation['iscrowd']!r}, which is neither 0 nor 1"
    num_keypoints = head.num_keypoints[category_id]
    if category_id in head.with_parts and (fault := join_parts(annotation, num_keypoints)):
        return fault
    length = 3 * num_keypoints
    points = annotation.get("keypoints") or [0] * length
    if points and not length:
        return "has keypoints, and its category names none"
    if not are_numbers(points, length):
        return no_numbers(points, length, "keypoints")
    if not {0, 1, 2}.issuperset(points[2::3]):
        return "has keypoints whose third number is not 0, 1 or 2; a score belongs elsewhere"
    annotation["keypoints"] = points
    if fault := complete_size(annotation):
        return fault
    if annotation.get("score", 0) is None:
        del annotation["score"]
    if "score" in annotation and not are_numbers([annotation["score"]], 1):
        return "has a score that is not a number"
    scores = annotation.get("keypoint_scores")
    if scores is not None and not are_numbers(scores, length // 3):
        return no_numbers(scores, length // 3, "keypoint_scores")
    if category_id in head.orders:
        annotation.update(head.orders[category_id].lists(annotation))
    return ""


def unknown_image(image_id: object) -> str:
    """Return what is wrong with an annotation of an image that is not there."""
    if not is_int(image_id):
        return f"has the image_id {image_id!r}, which is not a whole number"
    return f"belongs to image {image_id!r}, which is not in the file"


def wrong(path: Path, place: str, reason: str) -> InputError:
    """Return the error for something in a COCO file that cannot be used."""
    return InputError(f"{path}: {place} {reason}.", _HINT)


def listed_again(where: object, frame: object, hint: str = "") -> InputError:
    """Return the error for labels that list a frame more than once.

    Args:
        where: What the labels are called.
        frame: The frame.
        hint: What to do; empty for that of a file.
    """
    return InputError(
        f"{where} lists {frame} more than once, so that it is not clear whose labels count.",
        hint
        or "Make one image of them, with all of its annotations; `vitpose validate FILE` lists all "
        "such images.",
    )


def _items_of(
    path: Path, file_number: int, head: CocoHead, document: CocoHead, needed: Sequence[str]
) -> Iterator[CocoItem]:
    """Yield the images and annotations of one file.

    Args:
        path: The file.
        file_number: Which of the document's it is.
        head: Gets what the file has beside them.
        document: Gets who has parts and how many keypoints; `head` itself for the first file.
        needed: The sections that it may not lack.
    """
    seen: set[str] = set()
    small = {"categories": head.categories, "videos": head.videos}
    for (section, position, value), place in stream_places(path):
        if section == "":
            raise _no_document(path)
        if section in _SECTIONS and position is None:
            if value != [] or section in seen:
                raise wrong(path, section, "is not one list")
            seen.add(section)
        elif section in _SECTIONS and position is not None:
            if not isinstance(value, dict):
                raise wrong(path, f"{section}[{position}]", "is not an object")
            if section in small:
                small[section].append(value)
            else:
                if section == "annotations":
                    _note_parts(value, document)
                    if not document.num_keypoints:
                        document.num_keypoints.update(_checked_categories(path, document))
                yield CocoItem(section, value, file_number, position, place)
        elif section == "info" and isinstance(value, dict):
            head.info = value
        elif section == "licenses" and position is not None and isinstance(value, dict):
            head.licences.append(value)
    missing = [name for name in needed if name not in seen]
    if missing:
        raise _lacking(path, missing)
    document.num_keypoints.update(_checked_categories(path, document))


def _note_parts(annotation: Mapping[str, Any], head: CocoHead) -> None:
    """Note the category of a person who has feet, face and hands beside the body."""
    category_id = annotation.get("category_id")
    if not isinstance(category_id, int) or category_id in head.with_parts:
        return
    if has_parts(annotation):
        head.with_parts.add(category_id)
        head.num_keypoints.clear()  # of a body alone


def _no_document(path: Path) -> InputError:
    return InputError(
        f"{path} is a list (a results file), not a COCO annotation file.",
        "Give a file with images, annotations and categories.",
    )


def _lacking(path: Path, sections: Sequence[str]) -> InputError:
    return InputError(
        f"{path} is not a COCO annotation file: it has no {' and no '.join(sections)}.",
        "Give a file with images, annotations and categories.",
    )


def _put_in_order(head: CocoHead) -> None:
    """Bring the keypoints of each category into the wanted order, or that of the first list."""
    lists = [category.get("keypoints") or () for category in head.categories]
    first = next(filter(None, lists), ())
    orders = ((one, KeypointOrder.between(one, first)) for one in head.wanted)
    if tuple(first) not in map(tuple, head.wanted):
        first = next((one for one, order in orders if order is not None), first)
    for number, (category, names) in enumerate(zip(head.categories, lists, strict=True)):
        if (order := KeypointOrder.between(first, names)) is not None:
            with suppress(InputError):
                head.categories[number] = order.category(category)
                head.orders[category["id"]] = order


def _checked_categories(path: Path, head: CocoHead) -> dict[int, int]:
    """Return the number of keypoints by category id; whole bodies get all of theirs."""
    num_keypoints: dict[int, int] = {}
    for position, category in enumerate(head.categories):
        if not isinstance(category.get("id"), int):
            raise wrong(path, f"categories[{position}].id", "is not a whole number")
        names = category.get("keypoints") or []
        if not isinstance(names, list):
            raise wrong(path, f"categories[{position}].keypoints", "is not a list")
        if category["id"] in head.with_parts:
            names = widened(category).get("keypoints") or []
        num_keypoints[category["id"]] = len(names)
    return num_keypoints
