"""Grey videos are as bright as colour videos of the same numbers."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from video_cases import frames_of


@pytest.mark.parametrize("pixels", ["gray", "gray10le"])
def test_grey_videos_have_the_range_that_they_say(tmp_path: Path, pixels: str) -> None:
    levels = np.repeat(np.array([16, 64, 128, 235], np.uint8), 32)[None].repeat(64, 0)
    deep = levels if pixels == "gray" else levels.astype(np.uint16) << 2
    seen = {}
    for stated in (0, 1, 2):  # nothing, limited, full
        path = tmp_path / f"{stated}.mkv"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("ffv1", rate=25)
            assert isinstance(stream, VideoStream)
            stream.width, stream.height, stream.pix_fmt = 128, 64, pixels
            stream.codec_context.color_range = stated
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(deep), format=pixels)
            frame.color_range = stated
            container.mux([*stream.encode(frame), *stream.encode(None)])
        seen[stated] = frames_of(path)[0].image[32, 16::32, 0].tolist()
    assert seen == {0: [16, 64, 128, 235], 1: [0, 56, 130, 255], 2: [16, 64, 128, 235]}
