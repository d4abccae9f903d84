"""Rendered videos in a real browser: they play, at their size and length, with their sound."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from video_cases import Video, write_video

from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.video import VideoFile, VideoOptions
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run
from vitpose_cli.render.options import RenderOptions
from vitpose_cli.render.rendering import render

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PLAY = """
async () => {
  const video = document.querySelector("video");
  await video.play();
  const goal = Math.min(0.5, video.duration / 2);
  const until = Date.now() + 20000;
  while (video.currentTime < goal && !video.ended && Date.now() < until)
    await new Promise(resolve => setTimeout(resolve, 50));
  return {
    time_s: video.currentTime,
    duration_s: video.duration,
    size_wh: [video.videoWidth, video.videoHeight],
    picture_bytes: video.webkitVideoDecodedByteCount,
    sound_bytes: video.webkitAudioDecodedByteCount,
    error: video.error && video.error.message,
  };
}
"""


def played(browser: Browser, video: Path) -> dict[str, Any]:
    """Play half a second of a video; return what the browser says about it."""
    html = video.with_suffix(".html")
    html.write_text(f'<!doctype html><video src="{video.name}"></video>', encoding="utf-8")
    page = browser.new_page()
    try:
        if not page.evaluate("() => MediaSource.isTypeSupported('video/mp4; codecs=avc1.64001f')"):
            pytest.skip("needs a Chromium that decodes H.264, such as Debian's")
        page.goto(html.as_uri())
        said: dict[str, Any] = page.evaluate(PLAY)
    finally:
        page.close()
    return said


def rendered(source: Path, folder: Path, taken: VideoOptions | None = None) -> Path:
    """Render a video in which nobody was found: what is drawn does not matter here."""
    people = Instances.empty(17)
    first = next(VideoFile(source, source.name).frames())
    assert isinstance(first, Frame)
    with Run.open(folder / "run", RunManifest(keypoint_set("coco").to_category())) as run:
        for index in range(60):
            run.append(FrameRecord(FrameKey(source.name, index), first.size_wh, index / 25, people))
    output = folder / "out.mp4"
    options = RenderOptions((str(source),), output, folder / "run", video=taken)
    render(options, report=lambda *_: None, say=lambda _: None)
    return output


CLIPS = {
    "plain": Video(num=40, audio="aac"),
    "opus": Video(num=40, audio="libopus"),
    "mute": Video(num=40),
    "odd, 10 bit": Video(num=40, codec="ffv1", pix_fmt="yuv420p10le", size_wh=(97, 65)),
    "upright": Video(num=40, audio="aac", rotation_deg=90),
    "late, uneven": Video(
        num=8, audio="aac", start_s=5, times_s=[0, 0.04, 0.3, 0.32, 0.8, 0.9, 1.2, 1.3]
    ),
}


@pytest.mark.parametrize("name", CLIPS)
def test_a_rendered_video_plays_with_its_sound(browser: Browser, tmp_path: Path, name: str) -> None:
    clip = CLIPS[name]
    source = write_video(tmp_path / ("in.mkv" if clip.codec == "ffv1" else "in.mp4"), clip)
    said = played(browser, rendered(source, tmp_path))
    assert said["error"] is None
    assert said["time_s"] >= 0.5
    width, height = clip.size_wh[::-1] if clip.rotation_deg else clip.size_wh
    assert said["size_wh"] == [width + width % 2, height + height % 2]
    assert said["duration_s"] == pytest.approx(1.6 if clip.num == 40 else 1.35, abs=0.1)
    assert said["picture_bytes"] > 0
    assert (said["sound_bytes"] > 0) == (clip.audio is not None)


@pytest.mark.parametrize(
    "name",
    [
        "intel_one-by-one-person-detection.mp4",
        "sam2_05_default_juggle.mp4",
        "mmaction2_tests_data_test.avi",
    ],
)
def test_real_clips_play(browser: Browser, shared_data: Path, tmp_path: Path, name: str) -> None:
    source = shared_data / "videos" / name
    first = next(iter(VideoFile(source, name).frames()))
    said = played(browser, rendered(source, tmp_path, VideoOptions(max_frames=20)))
    assert said["error"] is None
    assert said["time_s"] >= min(0.5, said["duration_s"] / 2)
    assert said["size_wh"] == [*first.size_wh]  # type: ignore[union-attr]
