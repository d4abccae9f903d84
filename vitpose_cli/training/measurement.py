"""Measuring a network while it learns, on all sources and by all processes.

Each process looks at its share of the boxes, and the first scores what all have found. Measuring by
the first alone was refused: the others, and their GPUs, would wait.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import distributed

from vitpose_cli.evaluate.coco_metrics import or_none
from vitpose_cli.plurals import counted
from vitpose_cli.pose.instances import Instances
from vitpose_cli.training.config import ValidationOptions
from vitpose_cli.training.data import OpenedData, check_missing
from vitpose_cli.training.metrics import Line
from vitpose_cli.training.network import Network
from vitpose_cli.training.process import Placement
from vitpose_cli.training.sheets import Image
from vitpose_cli.training.stage import Stage
from vitpose_cli.training.validate import Validator, mean_ap

MEASUREMENTS = 10
"""How often a stage is measured at most when nobody said."""


class Measurement:
    """All sources that a stage is measured on; all processes take part."""

    def __init__(self, validators: Sequence[Validator], placement: Placement) -> None:
        """Measure with these.

        Args:
            validators: A source each; with none there is nothing to measure.
            placement: Where.
        """
        self._validators = validators
        self._placement = placement

    @classmethod
    def open(
        cls,
        network: Network,
        data: OpenedData,
        options: ValidationOptions,
        placement: Placement,
        note: Callable[[str], None],
    ) -> Measurement:
        """Cut the crops of all sources.

        Args:
            network: A network of the stage.
            data: The sources.
            options: How to measure.
            placement: Where.
            note: Told of photos that cannot be read.

        Raises:
            InputError: Too many photos cannot be read.
        """
        validators = []
        for source in data.validation:
            head = source.keypoint_set.name
            codec, region = network.codec(head), network.header.heads[head].region
            one = Validator(source, head, codec, options, placement.process, region)
            check_missing(source, one.failures, data.options)
            if one.failures:
                photos = counted(len(one.failures), "photo")
                note(
                    f"{source.truth.path}: black stands for {photos} that cannot be read "
                    f"({one.failures[0].key}: {one.failures[0].error})."
                )
            validators.append(one)
        return cls(validators, placement)

    def __bool__(self) -> bool:
        """Say whether there is anything to measure."""
        return bool(self._validators)

    def knows(self, network: Network) -> bool:
        """Return whether a network can do something of what is measured before it learns."""
        return any(one.head not in network.drawn_heads for one in self._validators)

    def find(self, stage: Stage, stop: Callable[[], bool]) -> list[Instances]:
        """Return what the network of a stage finds on each source.

        Args:
            stage: The stage.
            stop: Asked now and then, by all processes equally often, whether to leave off.

        Raises:
            InputError: A batch does not fit into memory.
            KeyboardInterrupt: It was to leave off.
        """
        model, placement = stage.evaluating(), self._placement
        if placement.process.world_size > 1:
            # Parameters are equal everywhere; batch statistics are of each process's own people,
            # and those of the first are saved.
            for buffer in model.buffers():
                distributed.broadcast(buffer, 0)
        device, dtype = placement.device, placement.dtype
        found = [one.find(model, device, dtype, stop) for one in self._validators]
        stage.learning()
        return found

    def pictures(self, found: Sequence[Instances]) -> Iterator[Image]:
        """Draw for each source where the network is worst."""
        for validator, instances in zip(self._validators, found, strict=True):
            yield validator.worst(instances)

    def score(self, found: Sequence[Instances]) -> dict[str, Any]:
        """Return the numbers of a line of metrics; one process can compute them alone.

        Returns:
            Mean `AP`, and `sources`: COCO's metrics of each, None where there is nobody of a size.
        """
        pairs = zip(self._validators, found, strict=True)
        evaluations = [validator.evaluate(instances) for validator, instances in pairs]
        names = [validator.source.truth.path.stem for validator in self._validators]
        sources = {
            f"{number + 1} {name}": or_none(evaluation.coco)
            for number, (name, evaluation) in enumerate(zip(names, evaluations, strict=True))
        }
        return {"AP": mean_ap(evaluations), "sources": sources}


def comparison(lines: Sequence[Line], best: float | None) -> Iterator[str]:
    """Yield a sentence where a run made the weights that it began with no better.

    Args:
        lines: Its metrics.
        best: The mean AP of its best weights.
    """
    measured = [line for line in lines if line["kind"] == "validation"]
    later = [line["AP"] for line in measured if line["step"] > 0]
    if later and measured[0]["step"] == 0 and measured[0]["AP"] == best and max(later) < best:
        yield (
            f"No step made the weights better: AP was {best:.3f} before the first one, and "
            f"{max(later):.3f} at most after. The best weights are those that the run began with."
        )


def steps_between_measurements(
    options: ValidationOptions, total: int, steps_per_epoch: float
) -> int:
    """Return how many steps of a stage of `total` lie between measurements."""
    if options.every_steps is not None:
        return options.every_steps
    if options.every_epochs is not None:
        return max(1, round(options.every_epochs * steps_per_epoch))
    return math.ceil(total / MEASUREMENTS)
