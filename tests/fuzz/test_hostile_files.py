"""Files made to hurt: whatever is in them, only our own errors come out, and soon.

Valid files are cut, changed and spliced at random. `VITPOSE_FUZZ_SECONDS` is the time for each kind
of file; a failure prints the seed that finds it again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import closing, suppress
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import orjson
import pytest
from av.video.stream import VideoStream
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from label_cases import make_record, make_run
from runs import EXAMPLES, save_weights, vitpose

from vitpose_cli.config import load_config
from vitpose_cli.errors import VitposeError
from vitpose_cli.media.images import decode_image
from vitpose_cli.media.video import VideoFile
from vitpose_cli.models.checkpoint import load_model, read_header
from vitpose_cli.record_set import open_records
from vitpose_cli.records.run import Run
from vitpose_cli.records.validate import validate
from vitpose_cli.training.config import TrainConfig

SECONDS = float(os.environ.get("VITPOSE_FUZZ_SECONDS", "1.5"))
SLOW_S = 10.0
EXAMPLES_A_ROUND = 25
MAX_PIXELS = 1_000_000

edits = st.lists(
    st.tuples(
        st.sampled_from(["cut", "change", "insert", "delete", "repeat"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(1, 64),
        st.binary(min_size=1, max_size=16)
        | st.sampled_from([b"\xff" * 4, b"\0" * 8, b"\x7f\xff\xff\xff", b"NaN", b"1e999", b"-1"]),
    ),
    min_size=1,
    max_size=6,
)


def edited(data: bytes, wanted: list[tuple[str, float, int, bytes]]) -> bytes:
    """Spoil a file."""
    for kind, place, length, value in wanted:
        at = int(place * len(data))
        if kind == "cut":
            data = data[: max(at, 1)]
        elif kind == "change":
            data = data[:at] + value + data[at + len(value) :]
        elif kind == "insert":
            data = data[:at] + value + data[at:]
        elif kind == "delete":
            data = data[:at] + data[at + length :]
        else:
            data = data[:at] + data[at : at + length] * 3 + data[at + length :]
    return data


def fuzz(seeds: list[bytes], read: Callable[[bytes], object]) -> None:
    """Let `read` meet spoiled files for the time that is allowed."""
    deadline = time.monotonic() + SECONDS
    number = 0
    while time.monotonic() < deadline:
        number += 1

        @seed(number)
        @settings(
            max_examples=EXAMPLES_A_ROUND, phases=[Phase.generate], database=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(st.sampled_from(seeds), edits)
        def meet(whole: bytes, wanted: list[tuple[str, float, int, bytes]]) -> None:
            started = time.monotonic()
            with suppress(VitposeError):
                read(edited(whole, wanted))
            assert time.monotonic() - started < SLOW_S

        meet()


def test_photos() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
    seeds = [
        cv2.imencode(suffix, noise)[1].tobytes()
        for suffix in (".jpg", ".png", ".webp", ".bmp", ".tiff")
    ]

    def read(data: bytes) -> None:
        image = decode_image(data, max_pixels=MAX_PIXELS)
        assert image.size <= 3 * MAX_PIXELS

    fuzz([*seeds, (EXAMPLES / "camera.jpg").read_bytes()[:4000]], read)


def test_videos(tmp_path: Path) -> None:
    path = tmp_path / "clip"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        video = VideoFile(path, "clip")
        assert video.expected is None or video.expected >= 0
        with closing(video.frames()) as frames:  # type: ignore[type-var]
            list(islice(frames, 20))

    fuzz([_clip("mp4", "mpeg4"), _clip("avi", "mjpeg"), _clip("matroska", "mpeg4")], read)


def _clip(container: str, codec: str) -> bytes:
    buffer = BytesIO()
    generator = np.random.default_rng(0)
    with av.open(buffer, "w", format=container) as file:
        stream = file.add_stream(codec, rate=25)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = 32, 24
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for _ in range(6):
            image = generator.integers(0, 255, (24, 32, 3), np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        file.mux(stream.encode())
    return buffer.getvalue()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    records = [make_record(f"a/{number}.jpg") for number in range(3)]
    return make_run(tmp_path / "run", [*records, make_record("clip.mp4", 4)])


def test_documents(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "labels.json"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        validate(path)
        for record in open_records(path).records():
            str(record.key)

    fuzz([(run / "annotations.json").read_bytes()], read)


def test_documents_of_other_values(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    whole = orjson.loads((run / "annotations.json").read_bytes())
    junk = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=9)
    values: st.SearchStrategy[object] = (
        junk | st.floats() | st.lists(junk, max_size=3) | st.just({}) | st.just([[[]]])
    )
    deadline = time.monotonic() + SECONDS
    number = 0
    while time.monotonic() < deadline:
        number += 1

        @seed(number)
        @settings(
            max_examples=EXAMPLES_A_ROUND, phases=[Phase.generate], database=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(values, st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=6))
        def meet(value: object, way: list[float]) -> None:
            document = orjson.loads(orjson.dumps(whole))
            _replace(document, way, value)
            path.write_bytes(orjson.dumps(document))
            with suppress(VitposeError):
                validate(path)
            with suppress(VitposeError):
                list(open_records(path).records())

        meet()


def _replace(node: Any, way: list[float], value: object) -> None:
    """Put `value` somewhere into a tree of lists and objects."""
    if not isinstance(node, list | dict) or not node:
        return
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    key = keys[int(way[0] * len(keys))]
    if len(way) == 1 or not isinstance(node[key], list | dict):
        node[key] = value
    else:
        _replace(node[key], way[1:], value)


def test_journals(run: Path) -> None:
    journal = run / "journal-1-of-1.jsonl"

    def read(data: bytes) -> None:
        journal.write_bytes(data)
        for record in Run.read(run).records():
            str(record.key)

    fuzz([journal.read_bytes()], read)


def test_manifests(run: Path) -> None:
    manifest = run / "manifest.json"

    def read(data: bytes) -> None:
        manifest.write_bytes(data)
        Run.read(run)

    fuzz([manifest.read_bytes()], read)


def test_weights(tmp_path: Path) -> None:
    whole = save_weights(tmp_path / "weights.safetensors").read_bytes()
    header_end = 8 + int.from_bytes(whole[:8], "little")
    path = tmp_path / "spoiled.safetensors"

    def read(header: bytes) -> None:
        path.write_bytes(header + whole[header_end:])
        read_header(path)
        load_model(path)

    fuzz([whole[:header_end]], read)


@pytest.mark.parametrize("header", [b"[" * 100_000, b'{"__metadata__":3}'])
def test_headers_of_weights_that_are_none(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    done = vitpose("annotate", EXAMPLES, "-o", tmp_path / "run", "-w", path)
    assert done.returncode == 4, done.stderr
    assert str(path) in done.stderr


def test_configurations(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    seeds = [each.read_bytes() for each in (EXAMPLES.parent / "train").glob("*.yaml")]

    def read(data: bytes) -> None:
        path.write_bytes(data)
        load_config(TrainConfig, path)

    fuzz(seeds, read)


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system ['touch {mark}']",
        "!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{mark}']]",
        "!!python/name:os.system",
        "!!python/module:os",
    ],
)
def test_a_configuration_runs_no_code(tmp_path: Path, tag: str) -> None:
    path, mark = tmp_path / "config.yaml", tmp_path / "mark"
    path.write_text("seed: " + tag.replace("{mark}", str(mark)))
    with pytest.raises(VitposeError):
        load_config(TrainConfig, path)
    assert not mark.exists()


def test_a_small_bomb_of_aliases_is_no_bomb(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for depth in range(1, 9):
        lines.append(f"a{depth}: &a{depth} [{', '.join([f'*a{depth - 1}'] * 10)}]")
    path.write_text("\n".join(lines))
    started = time.monotonic()
    with pytest.raises(VitposeError):
        load_config(TrainConfig, path)
    assert time.monotonic() - started < SLOW_S
