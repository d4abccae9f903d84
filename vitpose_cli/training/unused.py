"""Options that were given and do nothing beside the others of the same run.

They are told, not refused: one file often serves several runs, changed by `--set task=pretrain` or
`--set optimizer.schedule=cosine`. What contradicts the rest is refused in `config`.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from vitpose_cli.training.config import DistillOptions, OptimizerOptions, TrainConfig

_OF_LABELS = ("human_weight", "model_weight", "min_score")
"""The options of a source that weigh its keypoints."""


def unused_options(config: TrainConfig) -> list[str]:
    """Return a sentence for each option that differs from its default and does nothing."""
    return [f"{name} does nothing {why}." for name, why in _unused(config)]


def _unused(config: TrainConfig) -> Iterator[tuple[str, str]]:
    """Yield names of options, and where they do nothing."""
    model, data = config.model, config.data
    if config.task == "pretrain":
        yield from _given(model, "model", "with task: pretrain, which makes no heads", "head")
        where = "with task: pretrain, where people have no keypoints"
        half_body = ("half_body",) * bool(config.augmentation.half_body)  # else it was switched off
        names: tuple[str, ...] = (*half_body, "half_body_keypoints", "truncation")
        yield from _given(config.augmentation, "augmentation", where, *names)
        for number, source in enumerate(data.train):
            yield from _given(source, f"data.train.{number}", where, *_OF_LABELS)
        for number, stage in enumerate(config.stages):
            yield from _given(stage.loss, f"stages.{number}.loss", "with task: pretrain")
    else:
        yield from _given(config.pretrain, "pretrain", f"with task: {config.task}")
        for number, stage in enumerate(config.stages):
            if stage.loss.kind == "cross_entropy":
                where = "with kind: cross_entropy"
                yield from _given(stage.loss, f"stages.{number}.loss", where, "foreground")
    if not config.augmentation.erasing:
        sizes = ("erasing_size", "erasing_mix")
        yield from _given(config.augmentation, "augmentation", "with erasing: 0", *sizes)
    if not config.augmentation.blend:
        yield from _given(config.augmentation, "augmentation", "with blend: 0", "blend_limit")
    if model.weights is not None:
        yield from _given(model, "model", "with model.weights", "initialisation")
    if model.attention.pattern in (None, "full"):
        where = "without pattern" if model.attention.pattern is None else "with pattern: full"
        yield from _given(model.attention, "model.attention", where, "window_wh")
    for number, source in enumerate(data.train):
        if source.kind == "coco":
            where = "here: training takes the boxes of the annotations"
            yield from _given(source, f"data.train.{number}", where, "boxes")
    for number, source in enumerate(data.validation):
        where = "here: everybody with keypoints is measured, once and alike"
        yield from _given(source, f"data.validation.{number}", where, "repeat", *_OF_LABELS)
    if not data.validation:
        yield from _given(config.validation, "validation", "without data.validation")
    if data.cache == "none":
        yield from _given(data, "data", "with data.cache: none", "cache_wh", "context")
    if config.distill is not None:
        yield from _unused_in_distillation(config.distill)
    yield from _unused_in_schedule(config.optimizer)


def _unused_in_distillation(options: DistillOptions) -> Iterator[tuple[str, str]]:
    if options.teacher is None:
        names = ("weight", "truth", "looks", "keep", "folder")
        yield from _given(options, "distill", "without distill.teacher", *names)
    elif options.looks == "each":
        yield from _given(options, "distill", "with looks: each", "keep", "folder")


def _unused_in_schedule(options: OptimizerOptions) -> Iterator[tuple[str, str]]:
    where = f"with schedule: {options.schedule}"
    if options.schedule != "step":
        yield from _given(options, "optimizer", where, "milestones", "gamma")
    if options.schedule != "cosine":
        yield from _given(options, "optimizer", where, "final_ratio")


def _given(options: BaseModel, path: str, where: str, *names: str) -> Iterator[tuple[str, str]]:
    """Yield those of some options, or of all, that differ from their defaults."""
    for name in options.model_dump(exclude_defaults=True):
        if not names or name in names:
            yield f"{path}.{name}", where
