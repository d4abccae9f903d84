"""The house plan: who may import whom. Read from the source, so nothing is loaded."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "vitpose_cli"

LAYERS = (  # lowest first; the members of one layer do not import each other
    {"errors", "charts", "plurals", "termination"},
    {"config", "files", "ranges"},
    {"own_files"},
    {"pose"},
    {"media"},
    {"records"},
    {"formats"},
    {"runtime"},
    {"models"},
    {"tracking", "smoothing"},
    {"linked_people", "blame"},
    {"labeler", "identities"},
    {
        "resume",
        "workers",
        "labels",
        "smoothed_labels",
        "drawn_files",
        "frame_pictures",
        "notices",
        "video_ends",
    },
    {"assembly"},
    {
        "annotate_options",
        "record_set",
        "body_cuts",
        "stages",
        "photo_batches",
        "body_categories",
        "labelled_frames",
        "worker_part",
    },
    {
        "predictions",
        "coco_metrics",
        "keypoint_table",
        "head_pck",
        "merged_labels",
        "merged_pictures",
        "drawn_frames",
    },
    {"coco_subsets"},
    {
        "annotate",
        "bench",
        "evaluate",
        "pose_labeler",
        "select",
        "review",
        "merge",
        "split",
        "difference",
        "stats",
    },
    {"render", "sheet", "actor_pool"},
    {"training"},
    {"devices", "distributed"},
    {"cli"},
    {"__main__"},
)
HEIGHT = {name: height for height, layer in enumerate(LAYERS) for name in layer}

ONLY_IN = {
    "typer": ("cli/",),
    "rich": ("cli/",),
    "tqdm": ("cli/",),
    "cv2": ("media/",),
    "av": ("media/",),
    "transformers": ("models/hub_detector.py",),
    "ray": ("distributed.py",),
    "fsspec": ("media/remote.py",),
}

SOURCES = sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the whole name of every import in a file, also of lazy ones."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module == "vitpose_cli":
                yield from ((node.lineno, f"vitpose_cli.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, node.module or ""


def test_the_package_was_found() -> None:
    assert len(SOURCES) > 20


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downwards(path: Path) -> None:
    relative = path.relative_to(PACKAGE).as_posix()
    here = relative.split("/")[0].removesuffix(".py")
    for line, name in imports(path):
        top, _, rest = name.partition(".")
        if top == "vitpose_cli" and here != "__init__":
            there = rest.split(".")[0]
            if there and there != here and there != "__version__":
                assert HEIGHT[there] < HEIGHT[here], f"{relative}:{line} imports {name}"
        for library, places in ONLY_IN.items():
            if top == library:
                assert relative.startswith(places), f"{relative}:{line} imports {library}"


def test_help_loads_no_torch() -> None:
    code = (
        "import sys; from vitpose_cli.cli.app import run; run(['--help']); "
        "print(sorted({'torch', 'cv2', 'transformers', 'timm', 'av'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip().splitlines()[-1] == "[]"
