from __future__ import annotations

import pytest
from interruptions import load_interrupted

from vitpose_cli.blame import LabellingStep
from vitpose_cli.media.frames import FrameFailure, FrameKey

KEY = FrameKey("a.jpg")


def test_an_interruption_is_blamed_on_no_picture() -> None:
    stage = LabellingStep("The detector", list)
    with pytest.raises((RuntimeError, KeyboardInterrupt)):
        stage.one(load_interrupted, KEY)
    with pytest.raises((RuntimeError, KeyboardInterrupt)):
        stage.all(lambda _: [load_interrupted()], [1, 2], lambda _: KEY)


def test_an_interruption_while_it_is_looked_who_is_to_blame() -> None:
    stage = LabellingStep("The detector", load_interrupted)
    with pytest.raises((RuntimeError, KeyboardInterrupt)):
        stage.one(lambda: [1 // 0], KEY)


def test_another_error_is_blamed_on_its_picture() -> None:
    failure = LabellingStep("The detector", list).one(lambda: [1 // 0], KEY)
    assert isinstance(failure, FrameFailure)
