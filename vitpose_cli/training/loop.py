"""A training run from its configuration to its report.

Stage by stage, step by step: batches ahead, a step, a line now and then, a measurement, a
checkpoint. Everything that is random is a function of the seed and the step's number, and nothing
but `Stage` has a memory; so a run that was killed goes on with the bits it would have had.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import distributed

import vitpose_cli.models.without_compiler  # noqa: F401 - first, so that it has an effect
from vitpose_cli.errors import ConfigError
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.images import ImageSink
from vitpose_cli.models.checkpoint import save_checkpoint
from vitpose_cli.models.masked import MaskedAutoencoder
from vitpose_cli.pose.heatmaps import HeatmapCodec
from vitpose_cli.runtime import seed_everything
from vitpose_cli.training.batches import Batch, Batches, Course, Lessons
from vitpose_cli.training.checkpoints import Position, RunFolder, RunState
from vitpose_cli.training.config import TrainConfig
from vitpose_cli.training.data import (
    Material,
    OpenedData,
    check_missing,
    learnt_from,
    load_material,
    open_data,
)
from vitpose_cli.training.distill import open_lessons
from vitpose_cli.training.fingerprints import DataFingerprint, check_same_read, check_same_sources
from vitpose_cli.training.metrics import Line, Meter, MetricsFile, Observer, Several, Silence
from vitpose_cli.training.network import Network
from vitpose_cli.training.notes import opening_notes
from vitpose_cli.training.optim import Schedule, trainable_size
from vitpose_cli.training.plan import activation_bytes
from vitpose_cli.training.process import (
    Placement,
    check_memory,
    explained_memory,
    machine_memory_bytes,
    process_group,
    stop_asked,
)
from vitpose_cli.training.report import write_report
from vitpose_cli.training.sheets import Image, hidden_sheet, sample_sheet
from vitpose_cli.training.sizes import check_sizes
from vitpose_cli.training.stage import Stage
from vitpose_cli.training.start import first_network, next_network, with_input_sizes
from vitpose_cli.training.teachers import open_teachers
from vitpose_cli.training.tensorboard import TensorBoard
from vitpose_cli.training.validate import Validator, mean_ap

MEASUREMENTS = 10
"""How often a stage is measured at most when nobody said."""

MAX_SKIPPED = 20
"""So many steps in a row without a finite gradient are no accident; fp16 needs 16 to find its
scale."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run has come to.

    Attributes:
        weights: The file to label with.
        best: Its mean AP; None where nothing was measured.
        report: The report to look at.
    """

    weights: Path
    best: float | None
    report: Path


def train(config: TrainConfig, output: Path, observer: Observer) -> Outcome:
    """Train as `config` says, or go on with a run that was interrupted.

    Args:
        config: The run.
        output: Its folder.
        observer: Who is told what happens; of several processes, of the first alone.

    Raises:
        ConfigError: The options cannot be meant, or the network has diverged.
        InputError: Files cannot be read or written, or a step does not fit into memory.
        WeightsError: The weights to start from cannot be used.
        KeyboardInterrupt: The run was interrupted; its state is saved.
    """
    folder = RunFolder(output)
    placement = Placement.of(config)
    config = folder.as_begun(with_input_sizes(config))
    torch.backends.cudnn.benchmark = True  # sizes never change within a stage
    with process_group(placement):
        return _Run(config, folder, observer, placement).go()


def build_codec(network: Network, head: str, blob_sigma: float) -> HeatmapCodec:
    """Return how the heatmaps of a head are drawn and read."""
    shape, own = network.model.config, network.header.heads.get(head)
    alignment = own.alignment if own else "udp"  # of pre-training, which draws no heatmaps
    return HeatmapCodec(shape.input_wh, shape.map_wh, alignment, blob_sigma)


class _Run:
    """One process's part in a run; it knows how far the run is."""

    def __init__(
        self,
        config: TrainConfig,
        folder: RunFolder,
        observer: Observer,
        placement: Placement,
    ) -> None:
        self._config = config
        self._folder = folder
        self._observer: Observer = observer if placement.leads else Silence()
        self._placement = placement
        self._leads = placement.leads
        self._position = Position()
        self._num_skipped = 0
        self._learnt_from: DataFingerprint | None = None

    def go(self) -> Outcome:
        """Train all stages that are not done."""
        config, folder = self._config, self._folder
        if self._leads:
            folder.open(config)
            self._observer = Several(self._observer, TensorBoard.open(folder.events))
        data = open_data(config.data, labelled=config.task != "pretrain")
        seed_everything(config.seed)
        network = first_network(config, data.keypoint_sets, data.learnt_sets)
        for note in opening_notes(config, data, network):
            self._observer.note(note)
        saved = folder.load_state()
        state = None
        if saved is None:
            for source in (*data.train, *data.validation):
                check_sizes(source.frames)
        else:
            self._position, state = saved.position, saved.stage
            self._check_sources(saved, data)
            self._observer.note(
                f"Going on with stage {self._position.stage + 1}, after step {self._position.step}."
            )
        if self._leads:
            kept = (self._position.stage, self._position.step) if saved else None
            self._metrics = MetricsFile(folder.metrics, keep=kept, measured=self._position.measured)
        device, threads = self._placement.device, config.data.threads
        teachers = open_teachers(config.distill, data.learnt_sets, self._placement, threads)
        inputs_wh = [stage.input_wh for stage in config.stages]
        inputs_wh += [teacher.codec.input_wh for teacher in teachers.values()]
        observer = self._observer
        material = load_material(
            data, inputs_wh, device, folder.cache, observer.prepare, observer.note
        )
        self._learnt_from = learnt_from(data, material)
        if saved is not None and saved.data is not None:
            check_same_read(
                saved.data.read,
                self._learnt_from.read,
                allow_missing=config.data.allow_missing,
            )
        lessons = open_lessons(
            config.distill, teachers, material, device, folder.cache, self._observer.note
        )
        for number in range(len(config.stages)):
            if number > 0:
                network = self._following(network, number)
            if number < self._position.stage:
                continue
            courses = self._courses(number, network, material, lessons)
            network = self._train_stage(number, network, courses, data, state)
            state = None
        if self._leads:
            write_report(folder)
        return Outcome(folder.weights, self._position.best, folder.report)

    def _check_sources(self, saved: RunState, data: OpenedData) -> None:
        """Refuse to go on with other data than the run was begun with."""
        if saved.data is None:
            return
        now = [source.fingerprint for source in data.train]
        allowed = data.options.allow_missing
        for note in check_same_sources(saved.data.sources, now, allow_missing=allowed):
            self._observer.note(note)

    def _courses(
        self,
        number: int,
        network: Network,
        material: Mapping[str, Material],
        lessons: Mapping[str, Lessons],
    ) -> list[Course]:
        """Return what each head learns from in stage `number`."""
        sigma = self._config.stages[number].loss.blob_sigma
        return [
            Course(
                head, own.people, own.crops, build_codec(network, head, sigma), lessons.get(head)
            )
            for head, own in material.items()
        ]

    def _following(self, network: Network, number: int) -> Network:
        """Return the network of stage `number`, from that of the stage before it."""
        before, stage = self._config.stages[number - 1 : number + 1]
        seed_everything(self._config.seed + number)
        fresh = before.loss.kind != stage.loss.kind
        return next_network(network, stage.input_wh, fresh_heads=fresh)

    def _train_stage(
        self,
        number: int,
        network: Network,
        courses: Sequence[Course],
        data: OpenedData,
        state: dict[str, Any] | None,
    ) -> Network:
        """Train one stage to its end and return what it has made of `network`."""
        config = self._config
        options = config.stages[number]
        batches = Batches(
            courses,
            options,
            config.augmentation,
            (config.seed, number),
            self._placement.device,
            num_patches=network.num_patches if config.task == "pretrain" else 0,
        )
        schedule = Schedule.of_stage(options, config.optimizer, batches.steps_per_epoch)
        stage = Stage(network, config, number, schedule, self._placement)
        learning, total = trainable_size(stage.model)
        self._observer.note(f"Stage {number + 1}: {learning:,} of {total:,} parameters learn.")
        self._check_memory(number, stage)
        if state is None:
            self._position = Position(number, 0, self._position.best)
        else:
            stage.load_state_dict(state)
        validators = self._validators(network, data) if options.loss.kind == "mse" else []
        self._learn(stage, batches, validators)
        return stage.network

    def _check_memory(self, number: int, stage: Stage) -> None:
        """Refuse what a CPU's memory cannot hold; a GPU says so itself."""
        total_bytes = machine_memory_bytes()
        if self._placement.device.type != "cpu" or total_bytes is None:
            return
        size = stage.options.batch_size // stage.options.accumulate
        kept_bytes = activation_bytes(
            stage.model, size, self._placement.device, self._placement.dtype
        )
        check_memory(number, stage.options, kept_bytes, total_bytes)

    def _validators(self, network: Network, data: OpenedData) -> list[Validator]:
        if not self._leads:
            return []
        validators = [
            Validator(
                source,
                head := source.frames.people.keypoint_set.name,
                build_codec(network, head, 2.0),
                self._config.validation,
            )
            for source in data.validation
        ]
        for one in validators:
            check_missing(one.source, one.failures, data.options)
            if one.failures:
                self._observer.note(
                    f"{one.source.truth.path}: {len(one.failures):,} photos cannot be read and are "
                    f"measured as black ones, as {one.failures[0].key}."
                )
        return validators

    def _learn(self, stage: Stage, batches: Batches, validators: list[Validator]) -> None:
        """Take all steps of a stage that are not done."""
        config, total = self._config, stage.schedule.num_steps
        every = self._steps_between_measurements(total, batches.steps_per_epoch)
        start = self._position.step
        ahead = iter(batches.ahead(start, total, self._placement.process))
        meter = Meter()
        with stop_asked() as asked:
            if validators and not self._position.measured:
                self._measure_saved(stage, validators)
            for step in range(start, total):
                with explained_memory(self._position.stage, stage.options):
                    began_s = time.perf_counter()
                    passes = next(ahead)
                    meter.wait_s += time.perf_counter() - began_s
                    loss, norm = stage.step(step, passes)
                meter.add(loss, norm, stage.options.batch_size)
                done, last = step + 1, step + 1 == total
                if step == 0 or (last and passes[0].order is not None):
                    self._draw_samples(stage, passes[0])
                self._position = replace(self._position, step=done)
                if last or done % config.log_every == 0:
                    self._log(stage, done / batches.steps_per_epoch, meter)
                    meter = Meter()
                with meter.paused():
                    due = last or done % every == 0
                    if due or done % config.checkpoint_every == 0 or asked():
                        self._keep(stage, meter, validators if due else [], last=last)
                if asked():
                    raise KeyboardInterrupt

    def _steps_between_measurements(self, total: int, steps_per_epoch: float) -> int:
        options = self._config.validation
        if options.every_steps is not None:
            return options.every_steps
        if options.every_epochs is not None:
            return max(1, round(options.every_epochs * steps_per_epoch))
        return math.ceil(total / MEASUREMENTS)

    def _log(self, stage: Stage, epoch: float, meter: Meter) -> None:
        """Write a line of metrics, and stop where nothing is learnt any more."""
        numbers = meter.numbers(self._placement.device)
        if self._placement.process.world_size > 1:
            whole = torch.tensor(numbers["loss"], device=self._placement.device)
            distributed.all_reduce(whole)
            numbers["loss"] = whole.item()
        rate = stage.schedule.rate(self._position.step - 1)
        self._write(
            {"kind": "train", **self._place(), "epoch": round(epoch, 4), "lr": rate} | numbers
        )
        self._num_skipped = self._skipped(meter)
        if self._num_skipped >= MAX_SKIPPED:
            raise ConfigError(
                f"The last {self._num_skipped} steps had no finite gradient: the network has "
                "diverged.",
                "Lower the learning rate, or warm up longer, in another folder; nothing was saved "
                "in this one since the first of them.",
            )

    def _skipped(self, meter: Meter) -> int:
        """Return how many steps, up to the last one, had no finite gradient."""
        skips = meter.skips()
        return skips[::-1].index(False) if False in skips else len(skips) + self._num_skipped

    def _keep(self, stage: Stage, meter: Meter, validators: list[Validator], *, last: bool) -> None:
        """Save, and measure, unless it may be rubbish: a last good state must not be replaced."""
        if self._skipped(meter) and not last:
            return
        if validators:
            self._measure_saved(stage, validators)
        else:
            self._save(stage)

    def _measure_saved(self, stage: Stage, validators: list[Validator]) -> None:
        """Measure what is saved, so that whatever ends a measurement takes no step away."""
        self._position = replace(self._position, measured=False)
        self._save(stage)
        self._measure(stage, validators)
        self._position = replace(self._position, measured=True)
        self._save(stage)

    def _measure(self, stage: Stage, validators: list[Validator]) -> None:
        """Measure on all sources, and keep the weights if they are the best."""
        model = stage.evaluating()
        device, dtype = self._placement.device, self._placement.dtype
        results = [validator.measure(model, device, dtype) for validator in validators]
        stage.learning()
        for number, (validator, result) in enumerate(zip(validators, results, strict=True)):
            self._draw(f"worst-{number + 1}.jpg", validator.worst(result))
        ap = mean_ap(results)
        names = [validator.source.truth.path.stem for validator in validators]
        sources = {
            f"{number + 1} {name}": dict(result.evaluation.coco)
            for number, (name, result) in enumerate(zip(names, results, strict=True))
        }
        self._write({"kind": "validation", **self._place(), "AP": ap, "sources": sources})
        if self._position.best is None or ap > self._position.best:
            self._position = replace(self._position, best=ap)
            self._save_weights(stage, self._folder.best)

    def _save(self, stage: Stage) -> None:
        if self._leads:
            self._folder.save_state(self._position, stage.state_dict(), self._learnt_from)
            self._save_weights(stage, self._folder.last)

    def _save_weights(self, stage: Stage, path: Path) -> None:
        network = stage.network
        save_checkpoint(path, network.weights, network.header)

    def _draw_samples(self, stage: Stage, batch: Batch) -> None:
        """Draw what the network is shown, and in pre-training what it makes of it."""
        name = f"samples-{self._position.stage + 1}.jpg"
        model = stage.network.model
        if isinstance(model, MaskedAutoencoder):
            self._draw(name, hidden_sheet(batch, model))
        else:
            self._draw(name, sample_sheet(batch))

    def _draw(self, name: str, picture: Image) -> None:
        if self._leads:
            ImageSink(self._folder.pictures).write(Frame(FrameKey(name), picture))

    def _place(self) -> dict[str, int]:
        return {"stage": self._position.stage, "step": self._position.step}

    def _write(self, line: Line) -> None:
        if self._leads:
            self._metrics.append(line)
            self._observer.line(line)
