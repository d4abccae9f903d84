"""Whether a network has diverged: steps in a row without a finite gradient, which change nothing.

A few are usual: in fp16 the scale of gradients is found by them.
"""

from __future__ import annotations

from vitpose_cli.errors import ConfigError
from vitpose_cli.plurals import counted
from vitpose_cli.training.metrics import Meter

MAX_SKIPPED = 20
"""So many steps in a row without a finite gradient are no accident; fp16 needs 16 to find its
scale."""


class SkippedSteps:
    """How many steps, up to the last one, had no finite gradient."""

    def __init__(self, *, scaled: bool = False) -> None:
        """Begin with none.

        Args:
            scaled: Whether the scale of gradients is found by such steps, as in fp16.
        """
        self._scaled = scaled
        self._before = 0  # the meter's first step

    def up_to(self, meter: Meter) -> int:
        """Return how many they are, up to the last step of a meter."""
        skips = meter.skips()
        return skips[::-1].index(False) if False in skips else len(skips) + self._before

    def close(self, meter: Meter, ended: int | None = None) -> None:
        """Take the steps of a meter that ends for those before the next one's.

        Args:
            meter: The meter.
            ended: The length of the stage where it ends with the meter, steps.

        Raises:
            ConfigError: They are so many that nothing is learnt any more, or the last half of a
                short stage; where they find the scale of gradients, the whole of it.
        """
        self._before = self.up_to(meter)
        most = MAX_SKIPPED
        if ended is not None:
            most = min(most, ended if self._scaled else (ended + 1) // 2)
        if self._before >= most:
            if ended is not None and self._scaled and self._before < MAX_SKIPPED:
                raise ConfigError(
                    f"Of {counted(ended, 'step')} of this stage none had a finite gradient: "
                    "nothing was learnt.",
                    "fp16 takes up to 16 steps to find its scale of gradients: give the stage "
                    "more, or choose another precision, in another folder.",
                )
            steps = counted(self._before, "step")
            raise ConfigError(
                f"The last {steps} had no finite gradient: the network has diverged.",
                "Lower the learning rate, in another folder; nothing was saved in this one since "
                "the first of them.",
            )
