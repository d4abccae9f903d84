"""Rendering what is not labelled yet: one pass labels and draws."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from render_cases import (
    SIZE_WH,
    draw,
    frames_of,
)
from runs import command, environment, save_weights, wait_until
from video_cases import write_video

from vitpose_cli.annotate.labelling import annotate
from vitpose_cli.annotate.options import AnnotateOptions
from vitpose_cli.assembly import LabelerOptions
from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.files import TEMPORARY_SUFFIX
from vitpose_cli.media.drawing import DrawStyle
from vitpose_cli.media.video import VideoOptions
from vitpose_cli.media.video_encoder import EncodeOptions
from vitpose_cli.render.options import RenderOptions
from vitpose_cli.render.rendering import RenderSummary, render


def test_without_annotations_it_labels_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "clip.mp4", num=4, size_wh=SIZE_WH)
    weights = save_weights(tmp_path / "weights.safetensors")
    labeler = LabelerOptions(weights=str(weights), detector="whole-image", device="cpu")
    options = {"annotations": None, "output": None, "labeler": labeler}
    assert draw(tmp_path, Path("clip.mp4"), **options).num_frames == 4
    assert len(frames_of(tmp_path / "clip-pose.mp4")) == 4
    journal = tmp_path / "clip.mp4.vitpose" / "journal-1-of-1.jsonl"
    before = journal.read_bytes()
    assert before.count(b"\n") == 4 + 1  # the end of the clip
    draw(tmp_path, Path("clip.mp4"), **options, skeleton_only=True)
    assert journal.read_bytes() == before  # nothing is labelled twice
    run = journal.parent
    untracked = AnnotateOptions(("clip.mp4",), run, labeler, track=False)
    annotate(untracked, lambda *_: None, lambda _: None)
    document = (run / "annotations.json").read_bytes()
    draw(tmp_path, Path("clip.mp4"), **options, skeleton_only=True)
    assert (run / "annotations.json").read_bytes() == document
    other = replace(labeler, detect_every=2)
    with pytest.raises(ConfigError, match="detect-every: was not given, now 2") as caught:
        draw(tmp_path, Path("clip.mp4"), **options | {"labeler": other})
    assert caught.value.hint == "--annotations clip.mp4.vitpose draws the labels that are there."


def labelled_and_drawn(
    folder: Path, source: str, **options: object
) -> tuple[RenderSummary, list[int]]:
    """Render without labels; return also the counts that were reported."""
    weights = save_weights(folder / "weights.safetensors")
    labeler = LabelerOptions(
        str(weights), detector="whole-image", device="cpu", keypoint_threshold=0.0
    )
    counts: list[int] = []
    chosen = RenderOptions((source,), folder / "one-pass", labeler=labeler, **options)  # type: ignore[arg-type]
    return render(chosen, lambda done, *_: counts.append(done), lambda _: None), counts


def drawn_again(folder: Path, source: str, **options: object) -> RenderSummary:
    """Render the labels that are there."""
    run = folder / f"{source}.vitpose"
    chosen = RenderOptions((source,), folder / "two-passes", run, **options)  # type: ignore[arg-type]
    return render(chosen, lambda *_: None, lambda _: None)


def test_one_pass_over_a_part_without_frames_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(Path("clip.mp4"), num=3, size_wh=SIZE_WH)
    with pytest.raises(InputError, match=r"frame of clip\.mp4 lies at or after --start 99 s"):
        labelled_and_drawn(tmp_path, "clip.mp4", video=VideoOptions(start_s=99))
    assert not (tmp_path / "one-pass").exists()


@pytest.mark.parametrize("trail_s", [0.0, 0.5])
def test_one_pass_gives_what_two_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trail_s: float
) -> None:
    monkeypatch.chdir(tmp_path)
    lossless = EncodeOptions(crf=0)  # x264 does not make the same bytes of the same frames always
    Path("clips").mkdir()
    write_video(Path("clips/a.mp4"), num=40, size_wh=SIZE_WH, audio="aac", rate=Fraction(10))
    write_video(Path("clips/b.mp4"), num=9, size_wh=(96, 80), rate=Fraction(10))
    cut_off = write_video(Path("clips/c.mkv"), num=40, size_wh=SIZE_WH, gop=5)
    data = cut_off.read_bytes()
    cut_off.write_bytes(data[: len(data) * 3 // 4])
    one, counts = labelled_and_drawn(tmp_path, "clips", trail_s=trail_s, encode=lossless)
    two = drawn_again(tmp_path, "clips", trail_s=trail_s, encode=lossless)
    assert counts == [*range(len(counts))]  # every frame came by once
    assert replace(one, output=two.output, seconds=two.seconds) == two
    assert one.num_left_out == 1
    assert 49 < one.num_frames == len(counts) - 2
    for name in ("a.mp4", "b.mp4", "c.mkv.mp4"):
        mine, theirs = (frames_of(tmp_path / ways / name) for ways in ("one-pass", "two-passes"))
        assert [frame.time_s for frame in mine] == [frame.time_s for frame in theirs]
        for frame, other in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(frame.image, other.image)


def test_identities_are_those_of_the_document_though_videos_come_in_natural_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("clips").mkdir()
    for name in ("9.mp4", "10.mp4"):  # identities are counted from 10 to 9
        write_video(Path("clips") / name, num=3, size_wh=SIZE_WH)
    style = DrawStyle(scores=False, palette="instance")  # each identity in its colour
    given = {"style": style, "skeleton_only": True, "encode": EncodeOptions(crf=0)}
    labelled_and_drawn(tmp_path, "clips", **given)
    drawn_again(tmp_path, "clips", **given)
    for name in ("9.mp4", "10.mp4"):
        mine, theirs = (frames_of(tmp_path / ways / name) for ways in ("one-pass", "two-passes"))
        for frame, other in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(frame.image, other.image)


def test_frames_too_large_to_wait_in_memory_are_drawn_in_a_second_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(Path("large.mp4"), num=2, size_wh=(2000, 1260))
    _, counts = labelled_and_drawn(tmp_path, "large.mp4")
    assert counts == [0, 1, 2, 1, 2]


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_one_pass_that_was_interrupted_goes_on_in_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    weights = save_weights(tmp_path / "weights.safetensors")
    write_video(tmp_path / "clip.mp4", num=400, size_wh=SIZE_WH)
    code = command("render", "clip.mp4", "--weights", weights, "--detector", "whole-image",
                   "--device", "cpu", "--json")  # fmt: skip
    with subprocess.Popen(code, stderr=subprocess.PIPE, env=environment()) as process:
        wait_until(lambda: any(tmp_path.glob(f".*{TEMPORARY_SUFFIX}")), process)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate()
    assert process.returncode == 130, told
    assert not list(tmp_path.glob(f".*{TEMPORARY_SUFFIX}"))
    assert not Path("clip-pose.mp4").exists()
    journal = Path("clip.mp4.vitpose") / "journal-1-of-1.jsonl"
    before = journal.read_bytes()
    assert 0 < before.count(b"\n") < 400
    again = subprocess.run(code, capture_output=True, env=environment(), check=True)
    assert json.loads(again.stdout)["num_frames"] == 400
    assert journal.read_bytes().startswith(before)
    assert journal.read_bytes().count(b"\n") == 400 + 1
