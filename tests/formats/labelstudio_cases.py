"""Tasks of Label Studio, and what a person makes of them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from format_cases import (
    export,
)

Task = dict[str, Any]


def tasks_of(run: Path, out: Path) -> list[Task]:
    tasks: list[Task] = json.loads(export(run, "labelstudio", out).files[1].read_bytes())
    return tasks


def annotated(tasks: Sequence[Task]) -> list[Task]:
    """Return tasks as Label Studio exports them when every prediction was submitted as it was."""
    return [
        {
            "id": number,
            "data": task["data"],
            "annotations": [
                {
                    "id": number,
                    "completed_by": 1,
                    "was_cancelled": False,
                    "created_at": "2026-01-01T00:00:00Z",
                    "result": task["predictions"][0]["result"],
                }
            ],
            "predictions": [],
        }
        for number, task in enumerate(tasks, 1)
    ]


def write(path: Path, tasks: Sequence[Task]) -> Path:
    path.write_text(json.dumps(tasks))
    return path


def regions(task: Task) -> list[Task]:
    found: list[Task] = task["annotations"][0]["result"]
    return found
