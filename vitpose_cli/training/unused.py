"""Options that were given and do nothing beside the others of the same run.

They are told, not refused: one file often serves several runs, changed by `--set task=pretrain` or
`--set optimizer.schedule=cosine`. What contradicts the rest is refused in `config`.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from vitpose_cli.training.config import DistillOptions, TrainConfig

_OF_SPLITS = ("split_by", "subject")
"""The options of a source that say what `split` takes as a whole."""

_OF_LABELS = ("human_weight", "model_weight", "min_score")
"""The options of a source that weigh its keypoints."""

_OF_CHANCES = {
    "shift": ("shift_size",),
    "rotation": ("rotation_std_deg", "rotation_limit_deg"),
    "half_body": ("half_body_keypoints",),
    "erasing": ("erasing_size", "erasing_mix"),
    "blend": ("blend_limit",),
}
"""The options of what is done to some crops, by that which says to how many."""


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
    yield from _unused_in_augmentation(config)
    if model.weights is not None:
        yield from _given(model, "model", "with model.weights", "initialisation")
    if model.attention.pattern in (None, "full"):
        where = "without pattern" if model.attention.pattern is None else "with pattern: full"
        yield from _given(model.attention, "model.attention", where, "window_wh")
    for number, source in enumerate(data.train):
        if source.kind == "coco":
            where = "here: training takes the boxes of the annotations"
            yield from _given(source, f"data.train.{number}", where, "boxes")
    for part, sources in (("train", data.train), ("validation", data.validation)):
        for number, source in enumerate(sources):
            if source.split == (0, 1):
                yield from _given(source, f"data.{part}.{number}", "without split", *_OF_SPLITS)
    for number, source in enumerate(data.validation):
        where = "here: everybody with keypoints is measured, once and alike"
        yield from _given(source, f"data.validation.{number}", where, "repeat", *_OF_LABELS)
    if not data.validation:
        yield from _given(config.validation, "validation", "without data.validation")
    if data.cache == "none":
        yield from _given(data, "data", "with data.cache: none", "cache_wh", "context")
    if config.distill is not None:
        yield from _unused_in_distillation(config.distill)
    if config.freeze.encoder:
        yield from _unused_in_still_encoder(config)
    yield from _unused_in_schedule(config)
    yield from _milestones_never_reached(config)


def _unused_in_augmentation(config: TrainConfig) -> Iterator[tuple[str, str]]:
    options = config.augmentation
    for chance, names in _OF_CHANCES.items():
        told = chance == "half_body" and config.task == "pretrain"
        if not getattr(options, chance) and not told:
            yield from _given(options, "augmentation", f"with {chance}: 0", *names)


def _unused_in_still_encoder(config: TrainConfig) -> Iterator[tuple[str, str]]:
    """Yield what changes how an encoder learns, beside one that does not learn."""
    where = "with freeze.encoder: true"
    yield from _given(config.freeze, "freeze", where, "attention", "ffn", "blocks")
    yield from _given(config.model, "model", where, "drop_path", "activation_checkpointing")
    yield from _given(config.optimizer, "optimizer", where, "kind", "layer_decay")


def _unused_in_distillation(options: DistillOptions) -> Iterator[tuple[str, str]]:
    if options.teacher is None:
        names = ("weight", "truth", "looks", "keep", "folder")
        yield from _given(options, "distill", "without distill.teacher", *names)
    elif options.looks == "each":
        yield from _given(options, "distill", "with looks: each", "keep", "folder")


def _unused_in_schedule(config: TrainConfig) -> Iterator[tuple[str, str]]:
    options = config.optimizer
    if all(stage.lr is not None for stage in config.stages):
        yield from _given(options, "optimizer", "where every stage has an lr of its own", "lr")
    if not options.warmup_steps:
        yield from _given(options, "optimizer", "with warmup_steps: 0", "warmup_ratio")
    where = f"with schedule: {options.schedule}"
    if options.schedule != "step":
        yield from _given(options, "optimizer", where, "milestones", "gamma")
    if options.schedule != "cosine":
        yield from _given(options, "optimizer", where, "final_ratio")


def _milestones_never_reached(config: TrainConfig) -> Iterator[tuple[str, str]]:
    """Yield the milestones that lie behind the end of every stage, in its epochs or steps."""
    longest = max(stage.steps or stage.epochs or 0 for stage in config.stages)
    for mark in config.optimizer.milestones or ():
        if config.optimizer.schedule == "step" and mark >= longest:
            yield f"optimizer.milestones: {mark:g}", "beyond the end of every stage"


def _given(options: BaseModel, path: str, where: str, *names: str) -> Iterator[tuple[str, str]]:
    """Yield those of some options, or of all, that differ from their defaults."""
    for name in options.model_dump(exclude_defaults=True):
        if not names or name in names:
            yield f"{path}.{name}", where
