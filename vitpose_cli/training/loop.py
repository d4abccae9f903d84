"""A training run from its configuration to its report.

Stage by stage, step by step: batches ahead, a step, a line now and then, a measurement, a
checkpoint. Everything that is random is a function of the seed and the step's number, and nothing
but `Stage` has a memory; so a run that was killed goes on, on a CPU, with the bits it would have
had.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from vitpose_cli.plurals import counted
from vitpose_cli.runtime import seed_everything
from vitpose_cli.training.activations import activation_bytes
from vitpose_cli.training.agreement import Beginning, check_alike, check_begun, check_read
from vitpose_cli.training.batches import Batches
from vitpose_cli.training.checkpoints import Position, RunFolder
from vitpose_cli.training.chronicle import Chronicle
from vitpose_cli.training.compilation import explained_compilation
from vitpose_cli.training.config import TrainConfig
from vitpose_cli.training.courses import Course, Lessons
from vitpose_cli.training.data import Material, OpenedData, learnt_from, load_material
from vitpose_cli.training.distill import open_lessons
from vitpose_cli.training.divergence import SkippedSteps
from vitpose_cli.training.fingerprints import DataFingerprint
from vitpose_cli.training.measurement import Measurement, comparison, steps_between_measurements
from vitpose_cli.training.memory import check_pass, explained_memory, pass_size, too_large_step
from vitpose_cli.training.metrics import Meter, Observer, read_metrics
from vitpose_cli.training.network import Network, with_blobs
from vitpose_cli.training.opening import open_run, opening_notes
from vitpose_cli.training.optim import Schedule, trainable_size
from vitpose_cli.training.process import (
    Placement,
    gathered,
    leader_first,
    process_group,
    stop_asked,
)
from vitpose_cli.training.report import write_report
from vitpose_cli.training.sheets import batch_sheet
from vitpose_cli.training.sizes import check_sizes
from vitpose_cli.training.stage import Stage
from vitpose_cli.training.start import next_network, with_input_sizes
from vitpose_cli.training.teachers import Teacher, open_teachers, seen_inputs_wh, teacher_notes


@dataclass(frozen=True, slots=True)
class TrainSummary:
    """What a run has come to.

    Attributes:
        weights: The file to label with.
        best: Its mean AP; None where nothing was measured.
        report: The report to look at.
    """

    weights: Path
    best: float | None
    report: Path


def train(config: TrainConfig, output: Path, observer: Observer) -> TrainSummary:
    """Train as `config` says, or go on with a run that was interrupted.

    Args:
        config: The run.
        output: Its folder.
        observer: Who is told what happens; of several processes, of the first alone.

    Raises:
        ConfigError: The options cannot be meant, or had here, or the network has diverged.
        InputError: Files cannot be read or written, or a step does not fit into memory.
        WeightsError: The weights to start from cannot be used.
        KeyboardInterrupt: The run was interrupted; its state is saved.
    """
    folder = RunFolder(output)
    placement = Placement.of(config)
    config = with_input_sizes(config)
    with process_group(placement), explained_compilation():
        return _Run(config, folder, observer, placement).go()


class _Run:
    """One process's part in a run."""

    def __init__(
        self,
        config: TrainConfig,
        folder: RunFolder,
        observer: Observer,
        placement: Placement,
    ) -> None:
        self._config = config
        self._folder = folder
        self._placement = placement
        self._chronicle = Chronicle(folder, observer, leads=placement.leads)
        self._state: dict[str, Any] | None = None  # of the stage to go on with, till it has it
        self._skipped = SkippedSteps(scaled=placement.dtype == torch.float16)

    def go(self) -> TrainSummary:
        """Train all stages that are not done."""
        with self._folder.held(self._config) if self._chronicle.leads else nullcontext():
            # Nobody writes before what killed runs have left is gone.
            gathered(None, self._placement.process)
            return self._train()

    def _train(self) -> TrainSummary:
        config = self._config
        seed_everything(config.seed)
        data, network = open_run(config)
        # Of several heads each reads its part of a batch, whose size is seldom the same again.
        torch.backends.cudnn.benchmark = len(data.learnt_sets) <= 1
        chronicle, folder = self._chronicle, self._folder
        chronicle.tell(opening_notes(config, data, network))
        teachers = open_teachers(
            config.distill, data.learnt_sets, self._placement, compiled=config.compile
        )
        chronicle.tell(teacher_notes(config.distill, data.learnt_sets, teachers))
        begun = self._resume(data, network, teachers)
        material = self._read_photos(data, teachers, begun)
        device, cache = self._placement.device, folder.cache
        lessons = open_lessons(config.distill, teachers, material, device, cache, chronicle.note)
        self._train_stages(network, data, material, lessons)
        best = chronicle.position.best
        if chronicle.leads:
            write_report(folder, best)
            chronicle.tell(comparison(read_metrics(folder.metrics), best))
        return TrainSummary(folder.weights, best, folder.report)

    def _resume(
        self, data: OpenedData, network: Network, teachers: Mapping[str, Teacher]
    ) -> DataFingerprint | None:
        """Take up the run that is there, if one is; return what it learnt from."""
        saved = self._folder.load_state()
        if saved is None:
            for source in (*data.train, *data.validation):
                check_sizes(source.frames)
        else:
            self._state = saved.stage
            check_begun(saved, data, network, teachers, self._chronicle.note)
        self._chronicle.take_up(saved)
        return None if saved is None else saved.data

    def _read_photos(
        self,
        data: OpenedData,
        teachers: Mapping[str, Teacher],
        begun: DataFingerprint | None,
    ) -> Mapping[str, Material]:
        """Read all photos, which must be those of the beginning, and of the other processes."""
        unread: list[str] = []
        chronicle = self._chronicle
        in_turn = leader_first(self._placement.process)  # it alone tells the user how far it is
        with in_turn if self._config.data.cache == "disk" else nullcontext():
            material = load_material(
                data,
                seen_inputs_wh(self._config.stages, teachers),
                self._placement.device,
                self._folder.cache,
                chronicle.prepare,
                unread.append,
            )
        chronicle.tell(unread)
        known = learnt_from(data, material, teachers)
        own = Beginning(known, tuple(unread), chronicle.position)
        check_alike(own, self._placement.process)
        if begun is not None:
            check_read(begun, known, self._config.data)
        chronicle.learns_from(known, begun)
        return material

    def _train_stages(
        self,
        network: Network,
        data: OpenedData,
        material: Mapping[str, Material],
        lessons: Mapping[str, Lessons],
    ) -> None:
        """Train all stages that are not done, one from the other."""
        for number, options in enumerate(self._config.stages):
            if number > 0:
                network = self._following(network, number)
            if number < self._chronicle.position.stage:
                continue
            if self._config.task != "token":  # there, heads stay what they are
                network = with_blobs(network, material, options.loss.blob_sigma)
            courses = _courses(network, material, lessons)
            network = self._train_stage(number, network, courses, data)

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
        taught = [course.head for course in courses]
        schedule = Schedule.of_stage(options, config.optimizer, batches.steps_per_epoch)
        stage = Stage(network, config, number, schedule, self._placement, taught)
        chronicle = self._chronicle
        size = "{:,} of {:,} parameters learn".format(*trainable_size(stage.model))
        length = counted(schedule.num_steps, "step")
        chronicle.note(f"Stage {number + 1}: {size}, in {length}.")
        self._check_memory(number, stage)
        measurement = Measurement((), self._placement)
        if options.loss.kind == "mse":
            measurement = Measurement.open(
                network, data, config.validation, self._placement, chronicle.note
            )
        if self._state is None:
            compared = number == 0 and measurement.knows(network)
            best = chronicle.position.best
            chronicle.position = Position(number, 0, best, measured=not compared)
        else:
            stage.load_state_dict(self._state)
            self._state = None
            chronicle.note(chronicle.position.sentence(len(config.stages), schedule.num_steps))
            chronicle.save_missing(stage)
        self._learn(stage, batches, measurement)
        return stage.network

    def _check_memory(self, number: int, stage: Stage) -> None:
        """Refuse a stage a pass of which the memory of a CPU cannot hold."""
        placement = self._placement
        if placement.device.type == "cpu":
            size = pass_size(stage.options, placement.process.world_size)
            kept_bytes = activation_bytes(stage.model, size, placement.device, placement.dtype)
            check_pass(number, stage.options, kept_bytes, placement)

    def _learn(self, stage: Stage, batches: Batches, measurement: Measurement) -> None:
        """Take all steps of a stage that are not done."""
        config, chronicle, total = self._config, self._chronicle, stage.schedule.num_steps
        every = steps_between_measurements(config.validation, total, batches.steps_per_epoch)
        number, start = chronicle.position.stage, chronicle.position.step
        process = self._placement.process
        ahead = iter(batches.ahead(start, total, process))
        too_large = too_large_step(number, stage.options, process.world_size)
        with stop_asked(process) as asked:
            if measurement and not chronicle.position.measured:
                self._measure_saved(stage, measurement, asked)
            meter = Meter()
            for step in range(start, total):
                with explained_memory(too_large):
                    began_s = time.perf_counter()
                    passes = next(ahead)
                    meter.wait_s += time.perf_counter() - began_s
                    loss, norm = stage.step(step, passes)
                meter.add(loss, norm, stage.options.batch_size)
                done, last = step + 1, step + 1 == total
                if step == 0 or (last and passes[0].order is not None):
                    sheet = batch_sheet(passes[0], stage.network.model)
                    chronicle.draw(f"samples-{number + 1}.jpg", sheet)
                chronicle.position = replace(chronicle.position, step=done)
                if last or step == 0 or done % config.log_every == 0:
                    self._log(stage, done / batches.steps_per_epoch, meter)
                    meter = Meter()
                stopping = asked()
                with meter.paused():
                    due = last or done % every == 0
                    if due or done % config.checkpoint_every == 0 or stopping:
                        save = partial(chronicle.save, stage)
                        if due and measurement:
                            save = partial(self._measure_saved, stage, measurement, asked)
                        self._keep(save, meter, last=last)
                if stopping:
                    break
            if asked():  # perhaps only while the last step was measured and saved
                # Whoever leaves first has torchrun end the others, who may still be saving.
                gathered(None, process)
                raise KeyboardInterrupt

    def _log(self, stage: Stage, epoch: float, meter: Meter) -> None:
        """Write a line of metrics, and stop where nothing is learnt any more."""
        done, schedule = self._chronicle.position.step, stage.schedule
        numbers = meter.numbers(self._placement.device, schedule.num_steps - done)
        if self._placement.process.world_size > 1:
            whole = torch.tensor(numbers["loss"], device=self._placement.device)
            distributed.all_reduce(whole)
            numbers["loss"] = whole.item()
        rate = schedule.rate(done - 1)
        self._chronicle.write("train", epoch=round(epoch, 4), lr=rate, **numbers)
        self._skipped.close(meter, done if done == schedule.num_steps else None)

    def _keep(self, save: Callable[[], None], meter: Meter, *, last: bool) -> None:
        """Save unless it may be rubbish: a last good state must not be replaced."""
        if last or not self._skipped.up_to(meter):
            save()

    def _measure_saved(
        self, stage: Stage, measurement: Measurement, asked: Callable[[], bool]
    ) -> None:
        """Measure what is saved, so that whatever ends a measurement takes no step away."""
        chronicle = self._chronicle
        chronicle.position = replace(chronicle.position, measured=False)
        chronicle.save(stage)
        found = measurement.find(stage, asked)
        for number, picture in enumerate(measurement.pictures(found)):
            chronicle.draw(f"worst-{number + 1}.jpg", picture)
        if chronicle.leads:
            chronicle.write_measured(stage, measurement.score(found))
        chronicle.position = replace(chronicle.position, measured=True)
        chronicle.save(stage)


def _courses(
    network: Network, material: Mapping[str, Material], lessons: Mapping[str, Lessons]
) -> list[Course]:
    """Return what each head learns from in a stage."""
    return [
        Course(head, own.people, own.crops, network.codec(head), lessons.get(head))
        for head, own in material.items()
    ]
