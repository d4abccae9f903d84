"""The Python door, and what its documentation shows."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from label_cases import make_record, make_run
from runs import (
    ASTRONAUT_CUT,
    EXAMPLES,
    cut_astronaut,
    environment,
    program,
    save_boxes,
    save_photos,
    save_weights,
)

import vitpose_cli
from vitpose_cli import PoseLabeler
from vitpose_cli.annotate.distributed import ClusterOptions
from vitpose_cli.annotate.labelling import annotate
from vitpose_cli.annotate.options import AnnotateOptions
from vitpose_cli.assembly import LabelerOptions
from vitpose_cli.bench.machine_speed import BenchOptions
from vitpose_cli.difference import DiffOptions, compare
from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.formats.import_options import ImportOptions
from vitpose_cli.formats.label_filter import LabelFilter
from vitpose_cli.formats.written import WriteOptions
from vitpose_cli.media.drawing import DrawStyle
from vitpose_cli.media.images import decode_image
from vitpose_cli.media.video import VideoOptions
from vitpose_cli.media.video_encoder import EncodeOptions
from vitpose_cli.merge.merging import MergeOptions
from vitpose_cli.render.options import RenderOptions
from vitpose_cli.render.rendering import render
from vitpose_cli.review.launch import ReviewOptions
from vitpose_cli.select.options import SelectOptions
from vitpose_cli.sheet import SheetOptions, make_sheet
from vitpose_cli.split import SplitOptions, split_labels
from vitpose_cli.tracking.smoothing import SmoothOptions

ROOT = Path(__file__).parent.parent
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = _BLOCK.findall((ROOT / "docs/python.md").read_text())


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_weights(tmp_path_factory.mktemp("door") / "w.safetensors")


def test_records_come_for_every_photo(tmp_path: Path, weights: Path) -> None:
    names = save_photos(tmp_path / "photos", 6)
    boxes = save_boxes(tmp_path / "boxes.json", names)
    labeler = PoseLabeler(weights, boxes=boxes, flip_test=False, device="cpu")
    records = list(labeler.label(tmp_path / "photos"))
    assert [str(record.key) for record in records] == names
    assert sum(len(record.instances or ()) for record in records) > 6
    with pytest.raises(InputError, match="names none"):
        list(labeler.label(EXAMPLES))
    with pytest.raises(InputError, match="belong to named photos"):
        labeler.people(np.zeros((90, 120, 3), np.uint8))


def test_keypoints_outside_of_the_picture_are_not_labelled(tmp_path: Path) -> None:
    labeler = PoseLabeler(device="cpu", flip_test=False)
    photo = cut_astronaut(tmp_path)
    (record,) = labeler.label(photo)
    of_picture = labeler.people(decode_image(photo.read_bytes()))
    for people in (record.instances, of_picture):
        assert people is not None
        outside = people.keypoints[..., 1] > ASTRONAUT_CUT
        assert (people.keypoint_scores[outside] > 0.3).any()  # the elbows, below the photo
        assert not people.visibility[outside].any()
        assert people.visibility.any()


def test_one_picture(weights: Path) -> None:
    options = LabelerOptions(weights=str(weights), detector="whole-image", device="cpu")
    labeler = PoseLabeler.with_options(options)
    image = np.random.default_rng(0).integers(0, 255, (90, 60, 3), np.uint8)
    people = labeler.people(image)
    assert people.num_keypoints == labeler.keypoint_set.num_keypoints == 17
    np.testing.assert_array_equal(people.boxes, labeler.people(image[:, ::1]).boxes)
    for wrong in (image[:, :, 0], image.astype(np.float32) / 255, image[:, :, :2]):
        with pytest.raises(InputError, match="expected uint8"):
            labeler.people(wrong)  # type: ignore[arg-type]
    for nothing in (image[:0], [[1]]):
        with pytest.raises(InputError, match="expected uint8"):
            labeler.people(nothing)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="a path, not list") as caught:
        next(labeler.label(["a.jpg", "b.jpg"]))  # type: ignore[arg-type]
    assert caught.value.hint == "Of a list: label(*paths)."


def test_a_picture_that_must_not_be_written_is_no_warning(weights: Path, tmp_path: Path) -> None:
    script = tmp_path / "people.py"
    script.write_text(
        "import sys, numpy as np; from vitpose_cli import PoseLabeler;"
        "image = np.zeros((1200, 900, 3), np.uint8); image.setflags(write=False);"
        "PoseLabeler(sys.argv[1], device='cpu').people(image)"
    )
    done = program(script, weights)
    assert done.returncode == 0, done.stderr
    assert "writable" not in done.stderr  # PyTorch warns once in a process


def test_the_readme_shows_what_is_tested_below() -> None:
    shown = _BLOCK.findall((ROOT / "README.md").read_text())
    assert shown
    assert set(shown) <= set(BLOCKS)


def test_options_are_checked(weights: Path) -> None:
    with pytest.raises(ConfigError, match="exclude each other"):
        PoseLabeler(weights, detector="whole-image", boxes="boxes.json", device="cpu")
    with pytest.raises(AttributeError, match="no attribute 'Labler'"):
        _ = vitpose_cli.Labler


@pytest.mark.parametrize(
    "wrong",
    [
        {"keypoint_threshold": math.nan},
        {"keypoint_threshold": 5},
        {"keypoint_threshold": "0.3"},
        {"box_threshold": 2},
        {"box_threshold": -0.1},
        {"detector_tile": 10},
        {"detect_every": 0},
        {"batch_size": 0},
        {"batch_size": -3},
        {"batch_size": "auto"},
        {"flip_test": "no"},
        {"flip_test": None},
        {"compiled": 1},
    ],
)
def test_numbers_and_flags_are_checked_as_on_the_command_line(wrong: dict[str, Any]) -> None:
    [(name, value)] = wrong.items()
    with pytest.raises(ConfigError, match=f"{name} is {value!r}, expected"):
        LabelerOptions(**wrong)
    fine = LabelerOptions(
        compiled=None, box_threshold=0, keypoint_threshold=1, batch_size=1, detect_every=1
    )
    assert fine.batch_size == 1


PUBLIC_OPTIONS: Mapping[Any, dict[str, Any]] = {
    AnnotateOptions: {"sources": ("photos",), "run": "run", "labeler": LabelerOptions()},
    BenchOptions: {},
    ClusterOptions: {"address": "auto"},
    DiffOptions: {"first": "a.json", "second": "b.json"},
    DrawStyle: {},
    EncodeOptions: {},
    ImportOptions: {"tool": "cvat"},
    LabelFilter: {},
    LabelerOptions: {},
    MergeOptions: {"inputs": ("a.json", "b.json"), "output": "c.json", "human": ("b.json",)},
    RenderOptions: {"sources": ("photos",)},
    ReviewOptions: {"subject": "run", "reviewer": "ann"},
    SelectOptions: {"run": "run"},
    SheetOptions: {"labels": "run", "output": "a.png"},
    SmoothOptions: {},
    SplitOptions: {"labels": "run", "output": "parts"},
    VideoOptions: {},
    WriteOptions: {},
}
"""What the functions of the commands take, with what must be given, paths as text."""

WRONG: Mapping[str, tuple[Any, ...]] = {
    "bool": ("no", 1, None),
    "int": (2.5, True, "5", math.nan),
    "float": (True, "0.5", math.nan),
    "str": (3, True),
    "Path": (3, False),
    "tuple[Path, ...]": ("a.json", Path("a.json"), (3,), 3, None),
    "tuple[str, ...]": ("person", (3,), 3, None),
    "frozenset[str]": ("a.jpg", {3}, 3),
}
"""What is no option of a type; anything is none of a choice or of a class."""


@pytest.mark.parametrize("kind", PUBLIC_OPTIONS)
def test_every_option_of_a_wrong_type_is_refused(kind: Any) -> None:
    given = PUBLIC_OPTIONS[kind]
    for option in fields(kind(**given)):
        type_ = str(option.type).removesuffix(" | None")
        for wrong in WRONG.get(type_, ("none of them",)):
            if wrong is not None or not str(option.type).endswith(" | None"):
                with pytest.raises(ConfigError, match=f"{option.name} is "):
                    kind(**given | {option.name: wrong})
        if type_ == "Path":
            assert getattr(kind(**given | {option.name: "a/b.json"}), option.name) == Path(
                "a/b.json"
            )
        if type_ == "tuple[Path, ...]":
            assert all(isinstance(each, Path) for each in getattr(kind(**given), option.name))


def test_no_options_are_left_out() -> None:
    """Options that a command makes of others' are not told by users."""
    inner = {"DetectorOptions", "EstimatorOptions"}
    classes = re.compile(r"^class (\w+Options):", re.MULTILINE)
    known = {kind.__name__ for kind in PUBLIC_OPTIONS}
    for path in (ROOT / "vitpose_cli").rglob("*.py"):
        assert set(classes.findall(path.read_text())) <= known | inner, path


def test_workflows_check_their_options(tmp_path: Path) -> None:
    labeler = LabelerOptions()
    for wrong, said in (
        ({"max_pixels": 0}, "max_pixels is 0, expected a whole number, 1 or more"),
        ({"num_shards": 100_000}, "num_shards is 100000, expected a whole number, 1 to 99,999"),
        ({"worker": (0, 4)}, "k from 1 to n"),
        ({"worker": (5, 4)}, "k from 1 to n"),
        ({"worker": "1/2"}, "worker is '1/2', expected (k, n) with k from 1 to n"),
        ({"video": {"every": 2}}, "video is {'every': 2}, expected VideoOptions"),
        ({"preview": "yes"}, "preview is 'yes', expected True or False"),
        ({"refresh": "all"}, "refresh is 'all', expected True or False"),
        ({"track": None}, "track is None, expected True or False"),
    ):
        values: dict[str, Any] = wrong
        with pytest.raises(ConfigError, match=re.escape(said)):
            AnnotateOptions(("photos",), tmp_path, labeler, **values)
    for wrong_call, said in (
        (lambda: RenderOptions(("p",), skeleton_only="no"), "skeleton_only is 'no', expected True"),  # type: ignore[arg-type]
        (lambda: RenderOptions(("p",), annotations=3), "annotations is 3, expected a path"),  # type: ignore[arg-type]
        (lambda: RenderOptions(("p",), trail_s=math.nan), "trail_s is nan, expected a number"),
        (lambda: SheetOptions(tmp_path, None), "output is None, expected a path"),  # type: ignore[arg-type]
        (lambda: SheetOptions(tmp_path, tmp_path, columns=0), "columns is 0, expected a whole"),
    ):
        with pytest.raises(ConfigError, match=re.escape(said)):
            wrong_call()
    kinds: list[Callable[[Any], object]] = [
        lambda sources: AnnotateOptions(sources, tmp_path, labeler),
        lambda sources: BenchOptions(labeler, sources),
        RenderOptions,
    ]
    for kind in kinds:
        for one in ("p3", Path("p3")):
            with pytest.raises(
                ConfigError, match="sources is 'p3', expected a tuple of several"
            ) as caught:
                kind(one)
            assert caught.value.hint == "Write it as ('p3',)."
        with pytest.raises(ConfigError, match="one of sources is 3, expected text"):
            kind((3,))


def test_paths_may_be_text_and_sources_paths(tmp_path: Path, weights: Path) -> None:
    names = save_photos(tmp_path / "photos", 2)
    boxes = save_boxes(tmp_path / "boxes.json", names)
    labeler = LabelerOptions(
        weights,  # type: ignore[arg-type]
        boxes=str(boxes),  # type: ignore[arg-type]
        device="cpu",
        flip_test=False,
    )
    options = AnnotateOptions(
        [tmp_path / "photos"],  # type: ignore[arg-type]
        str(tmp_path / "run"),  # type: ignore[arg-type]
        labeler,
    )
    assert options.sources == (str(tmp_path / "photos"),)
    summary = annotate(options, report=lambda *_: None, say=print)
    assert summary.num_frames == 2
    assert summary.num_people
    run, drawn = str(tmp_path / "run"), str(tmp_path / "drawn")
    given: Any = {"output": drawn, "annotations": run}
    render(RenderOptions((tmp_path / "photos",), **given), lambda *_: None, print)  # type: ignore[arg-type]
    assert len(list(Path(drawn).iterdir())) == 2
    texts: Any = run, f"{drawn}/sheet.png"
    assert make_sheet(SheetOptions(*texts)).num_people == summary.num_people
    assert compare(DiffOptions(*texts[:1] * 2)).num_frames == 2
    assert split_labels(SplitOptions(texts[0], drawn, val=0.5)).keys() == {"train", "val"}  # type: ignore[arg-type]


def test_the_package_alone_loads_no_torch() -> None:
    code = "import sys, vitpose_cli; print({'torch', 'cv2', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_what_the_documentation_shows_has_its_types(tmp_path: Path) -> None:
    for number, block in enumerate(BLOCKS):
        (tmp_path / f"block_{number}.py").write_text(block)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *tmp_path.glob("*.py")],  # with the cache of `mypy` itself
        cwd=ROOT, capture_output=True, text=True, check=False, env=environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_what_the_documentation_shows_runs(block: str, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES, tmp_path / "examples" / "photos")
    (tmp_path / "examples" / "photos" / "broken.jpg").write_bytes(b"no photo")
    make_run(tmp_path / "clip.mp4.vitpose", [make_record("clip.mp4", 0), make_record("a.jpg")])
    script = tmp_path / "shown.py"
    script.write_text(block)
    done = program(script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert ("broken.jpg" in done.stdout) == ("examples/photos" in block)
    if (table := tmp_path / "clip.csv").exists():
        rows = [line.split(",") for line in table.read_text().splitlines()]
        assert {len(row) for row in rows} == {7}
        assert {row[0] for row in rows[1:]} == {"clip.mp4/frame_000000.jpg", "a.jpg"}
    assert table.exists() == ("clip.csv" in block)
