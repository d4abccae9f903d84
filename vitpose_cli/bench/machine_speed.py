"""How fast this machine labels, and what holds it up: the workflow behind `vitpose bench`.

The network is measured alone, batch by batch, and compared with what the device reaches at best;
then every stage and the whole, in `stages`.

What other sizes of the network would do is reckoned from their operations, not measured: loading
them all would take longer than the answer is worth, and they may not be here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from vitpose_cli.assembly import LabelerOptions, assemble
from vitpose_cli.bench.stages import measure_stages
from vitpose_cli.models.speed import gflop_per_crop, matrix_tflops, network_crops_per_s
from vitpose_cli.models.vitpose import VARIANTS, HeadConfig, ViTPoseConfig
from vitpose_cli.plurals import counted
from vitpose_cli.ranges import check_types

BATCHES = {"cuda": (1, 8, 32, 64, 128)}
BATCHES_ELSEWHERE = (1, 4, 8, 16)
GOOD_ENOUGH = 0.95
"""Of the best rate; a smaller batch that reaches it is preferred."""

NOBODY_FOUND = (
    "Nobody was found in these photos, so the network had nothing to do: what other sizes would do "
    "cannot be told. Give photos with people to --source, or leave it out."
)


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What to measure.

    Attributes:
        labeler: Weights, detector, device, precision.
        sources: Photos and videos to measure on; made up where there are none.
        seconds: How long each rate is measured, at least.
    """

    labeler: LabelerOptions = field(default_factory=LabelerOptions)
    sources: tuple[str, ...] = ()
    seconds: float = 0.5

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ConfigError: Sources are not several paths, or something is of another type.
        """
        check_types(self)


@dataclass(frozen=True, slots=True)
class BatchRate:
    """The network at one size of batches.

    Attributes:
        batch: Crops at once.
        crops_per_s: Crops a second, with the flip test and decoding.
        matrix_share: Of the operations that the machine does in a large matrix product.
    """

    batch: int
    crops_per_s: float
    matrix_share: float


@dataclass(frozen=True, slots=True)
class MachineSpeed:
    """What was measured.

    Attributes:
        weights: As the user called them.
        variant: Their size.
        device: Where the network ran.
        precision: In which number type.
        num_threads: Of the CPU, for one operation.
        flip_test: Whether every crop counts for two.
        gflop_per_crop: Billions of operations of one crop, seen once.
        matrix_tflops: Trillions of operations a second in a large matrix product.
        batches: The network alone.
        num_photos: How many photos were labelled.
        people_per_photo: How many people each of them shows.
        crops_per_photo: How many crops of each of them the network looked at.
        stages: Photos a second of each stage alone; where nobody was found, without those of crops.
        photos_per_s: Of all together.
        limit: The slowest stage.
        sizes: Photos a second, about, by size of the network; empty where nobody was found.
        advice: What to make of it, in sentences.
    """

    weights: str
    variant: str
    device: str
    precision: str
    num_threads: int
    flip_test: bool
    gflop_per_crop: float
    matrix_tflops: float
    batches: tuple[BatchRate, ...]
    num_photos: int
    people_per_photo: float
    crops_per_photo: float
    stages: dict[str, float]
    photos_per_s: float
    limit: str
    sizes: dict[str, float]
    advice: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def bench(options: BenchOptions, say: Callable[[str], None]) -> MachineSpeed:
    """Measure how fast this machine labels.

    Args:
        options: What to measure.
        say: Takes a sentence for the user before each step.

    Raises:
        ConfigError: Options contradict each other or this machine.
        InputError: There is nothing to read in the sources.
        WeightsError: Weights or detector cannot be used.
    """
    assembly = assemble(options.labeler)
    estimator = assembly.estimator
    device, dtype = estimator.options.device, estimator.options.dtype
    say(f"Measuring {assembly.weights_name} on {device}.")
    gflop = gflop_per_crop(estimator.config)
    tflops = matrix_tflops(device, dtype, options.seconds)
    times = 2 if estimator.options.flip_test else 1
    batches = tuple(
        BatchRate(batch, rate, rate * gflop * times / (1e3 * tflops))
        for batch in BATCHES.get(device.type, BATCHES_ELSEWHERE)
        for rate in [network_crops_per_s(estimator.network, batch, options.seconds)]
    )
    say("Measuring the whole way from files to labels.")
    measured = measure_stages(assembly, options.sources)
    variant = estimator.config.variant.name
    stages, sizes = dict(measured.stages), {}
    if measured.crops_per_photo:
        # By crops: the first photos may show too few people for a full batch, or nobody.
        network_s = measured.crops_per_photo / max(each.crops_per_s for each in batches)
        stages.setdefault("network", 1 / network_s)
        overlapping = device.type != "cpu"
        sizes = _sizes(variant, gflop, 1 / measured.photos_per_s, network_s, overlapping)
    slowest = min(stages, key=stages.__getitem__)
    return MachineSpeed(
        weights=assembly.weights_name,
        variant=variant,
        device=_device_name(device),
        precision=str(dtype).removeprefix("torch."),
        num_threads=torch.get_num_threads(),
        flip_test=estimator.options.flip_test,
        gflop_per_crop=gflop,
        matrix_tflops=tflops,
        batches=batches,
        num_photos=measured.num_photos,
        people_per_photo=measured.people_per_photo,
        crops_per_photo=measured.crops_per_photo,
        stages=stages,
        photos_per_s=measured.photos_per_s,
        limit=slowest,
        sizes=sizes,
        advice=_advice(batches, slowest, variant, sizes),
    )


def _sizes(
    variant: str, gflop: float, whole_s: float, network_s: float, overlapping: bool
) -> dict[str, float]:
    """Reckon photos a second for every size, by its operations.

    Args:
        variant: The size that was measured.
        gflop: Its operations for one crop.
        whole_s: Seconds of a photo from file to labels.
        network_s: Of these, what the network takes.
        overlapping: Whether the network runs beside the other stages, or shares their cores.
    """
    found = {variant: 1 / whole_s}
    for name in VARIANTS:
        if name in ("tiny-test", variant):
            continue
        config = ViTPoseConfig(VARIANTS[name], {"main": HeadConfig("classic", 17)})
        its_network_s = network_s * gflop_per_crop(config) / gflop
        rest_s = max(whole_s - network_s, 0.0)
        found[name] = 1 / (max(whole_s, its_network_s) if overlapping else rest_s + its_network_s)
    return {name: found[name] for name in VARIANTS if name in found}  # smallest first


def _advice(
    batches: Sequence[BatchRate], slowest: str, variant: str, sizes: dict[str, float]
) -> tuple[str, ...]:
    """Say what the numbers mean for the choice of weights and batches."""
    best = max(each.crops_per_s for each in batches)
    batch = next(each.batch for each in batches if each.crops_per_s >= GOOD_ENOUGH * best)
    crops = counted(batch, "crop")
    advice = [f"Batches of {crops} are as fast as any; larger ones only take memory."]
    if not sizes:
        return (*advice, NOBODY_FOUND)
    names = list(sizes)
    larger = names[names.index(variant) + 1 :] if variant in names else []
    free = [name for name in larger if sizes[name] >= GOOD_ENOUGH * sizes[variant]]
    if slowest == "network":
        advice.append("The network limits: smaller weights or --no-flip-test label faster.")
    elif free:
        advice.append(f"The network waits for others: weights as large as {free[-1]} cost no time.")
    else:
        advice.append(f"Slower than the network: {slowest}.")
    return tuple(advice)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
