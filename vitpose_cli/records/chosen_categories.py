"""Categories of a document that are chosen by their names, and how to part those that differ.

A document may have people and horses, whose keypoints are not the same. Every command but the one
that parts them takes one list of keypoints: a network has a decoder for each, AP its sigmas.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from vitpose_cli.errors import InputError
from vitpose_cli.files import fitted_name
from vitpose_cli.plurals import did_you_mean
from vitpose_cli.records.shards import document_files, document_title


def chosen_categories(
    categories: Sequence[Mapping[str, Any]], names: Sequence[str], path: Path
) -> list[Mapping[str, Any]]:
    """Return the categories with keypoints that are called by these names; all if there are none.

    Args:
        categories: Of a document or a run.
        names: As they stand there.
        path: What they are of, for the message.

    Raises:
        InputError: One with keypoints is not there.
    """
    if not names:
        return [*categories]
    bodies = [category for category in categories if category.get("keypoints")]
    known = [_name(category) for category in bodies]
    for name in names:
        if name not in known:
            there = ", ".join(map(repr, known)) or "none"
            raise InputError(
                f"{path} has no category {name!r} with keypoints.",
                f"{did_you_mean(name, known)}It has {there}.",
            )
    return [category for category in bodies if _name(category) in names]


def how_to_part(categories: Sequence[Mapping[str, Any]], path: Path) -> str:
    """Return what to do about categories with different keypoints: a command for each list.

    Args:
        categories: Those with keypoints of a document.
        path: The document, as a user gave it.
    """
    names, ids = {_name(each) for each in categories}, {each["id"] for each in categories}
    if not len(names) == len(ids) == len(categories) or "" in names:
        return (
            "Give each category an id and a name of its own. Then `vitpose export FILE --format "
            "coco --category NAME -o OUT` writes a file of one."
        )
    alike: dict[str, list[str]] = {}
    for category in categories:
        alike.setdefault(repr(category["keypoints"]), []).append(_name(category))
    commands = [
        shlex.join(
            ["vitpose", "export", str(path), "--format", "coco"]
            + [word for name in group for word in ("--category", name)]
            + ["-o", str(_place_for(group[0], path))]
        )
        for group in alike.values()
    ]
    lines = "\n  ".join(commands)
    return f"Write a file for each list of keypoints, and give one of those:\n  {lines}"


def _place_for(name: str, path: Path) -> Path:
    """Return where the part of a category may go: beside its document, but not into a glob's set.

    Args:
        name: Of the category.
        path: The document, as a user gave it.
    """
    files = document_files(path)
    both = f"{name}-{Path(document_title(path, files)).stem}"
    last = fitted_name(re.sub(r"\W+", "-", both).strip("-"), ".json")
    folder = files[0].parent
    return folder / "categories" / last if fnmatch(last, path.name) else folder / last


def _name(category: Mapping[str, Any]) -> str:
    return str(category.get("name") or "")
