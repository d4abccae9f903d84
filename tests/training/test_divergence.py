"""Steps that change nothing, where some are usual: in fp16, which few CPUs compute in."""

import math

import pytest
import torch

from vitpose_cli.errors import ConfigError
from vitpose_cli.plurals import counted
from vitpose_cli.training.divergence import SkippedSteps
from vitpose_cli.training.metrics import Meter


def meter_of(*norms: float) -> Meter:
    """Return a meter of steps with gradients so long."""
    meter = Meter()
    for norm in norms:
        meter.add(torch.tensor(1.0), torch.tensor(norm), 2)
    return meter


@pytest.mark.parametrize("steps", [1, 8])
def test_a_short_stage_in_fp16_that_learns_nothing_ends_no_run(steps: int) -> None:
    skipped = SkippedSteps(scaled=True)
    if steps > 1:
        skipped.close(meter_of(math.inf))  # the line of the first step
    said = f"Of {counted(steps, 'step')} of this stage none had a finite gradient"
    with pytest.raises(ConfigError, match=said) as caught:
        skipped.close(meter_of(*[math.inf] * max(1, steps - 1)), steps)
    assert "fp16 takes up to 16 steps" in caught.value.hint


def test_a_step_that_teaches_is_enough_in_fp16() -> None:
    skipped = SkippedSteps(scaled=True)
    skipped.close(meter_of(1.0, *[math.inf] * 7), 8)
    skipped.close(meter_of(math.inf, math.inf, 1.0), 3)
    plain = SkippedSteps()
    with pytest.raises(ConfigError, match="The last 7 steps had no finite gradient"):
        plain.close(meter_of(1.0, *[math.inf] * 7), 8)
