"""What a training run may be told of its people: where they come from, how their crops change.

As in `training.config`, defaults are the published recipe, and only shapes and meanings are here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from vitpose_cli.config import (
    AtLeastOne,
    Count,
    NotNegative,
    Number,
    Positive,
    Probability,
    StrictModel,
    Whole,
)
from vitpose_cli.errors import ConfigError
from vitpose_cli.split import Group
from vitpose_cli.subjects import Subjects

CropSide = Annotated[Whole, Field(ge=16, le=8192)]
"""A side of a kept crop, px: no input has a shorter one."""


def _not_tiny(value: float) -> float:
    """Refuse shares of an epoch after whose number of epochs numbers end."""
    if 0 < value < 1e-6:
        raise ValueError("should be 0, or greater than or equal to 1e-06")
    return value


def _expression(pattern: str) -> str:
    """Refuse what is no regular expression."""
    try:
        Subjects(pattern, "subject")
    except ConfigError as error:
        raise ValueError(error.message) from error
    return pattern


Repeat = Annotated[Number, Field(ge=0, le=10_000), AfterValidator(_not_tiny)]
"""How often an epoch shows somebody; memory holds a number for each time."""
SizeFactor = Annotated[Number, Field(ge=0.01, le=100)]
"""How a region is scaled: beyond, one cannot tell its sides apart, or its pixels."""


class SourceOptions(StrictModel):
    """What every source of labelled people has."""

    repeat: Repeat = 1.0
    """How often an epoch shows each person; a fraction shows a random part. Validation looks at
    everybody once."""
    human_weight: NotNegative = 1.0
    """The loss weight of keypoints that a person placed or confirmed."""
    model_weight: NotNegative = 0.3
    """The loss weight of keypoints that a network placed, times their score."""
    min_score: Probability = 0.0
    """Keypoints of a network that score below it give no loss."""
    split: tuple[Probability, Probability] = (0.0, 1.0)
    """Take only photos (of a pack: crops) whose name hashes into [from, to): a split that stays as
    it is when photos are added. Train on [0.1, 1], validate on [0, 0.1]. A video is taken as a
    whole, since its frames are alike."""
    limit: AtLeastOne | None = None
    """Take at most this many photos, spread evenly over the source."""

    @model_validator(mode="after")
    def _check_split(self) -> SourceOptions:
        if self.split[0] >= self.split[1]:
            raise ValueError(f"split takes nothing: {list(self.split)}; give [from, to]")
        return self


class CocoSource(SourceOptions):
    """A COCO-keypoint file with its photos, or with frames of videos."""

    kind: Literal["coco"]
    """`coco`: a COCO-keypoint file with its photos. `pack`: person crops, ready cut."""
    annotations: Path
    """The annotation file, of any project; a labelling run; or a glob of shards."""
    images: Path
    """The folder that the file names in it are relative to; photos and videos."""
    boxes: Path | None = None
    """For validation: boxes of a detector (COCO results or annotations); default: the truth's."""
    split_by: Group = "video"
    """What `split` takes as a whole: a `video`, or a `folder`, as frames of one that were written
    as photos."""
    subject: Annotated[str, AfterValidator(_expression)] | None = None
    """Instead of `split_by`: a regular expression for names, such as P[0-9]+. Frames in which it
    finds the same text stay together, as with `vitpose split --subject`."""
    include: Literal["all", "human", "reviewed"] = "all"
    """Of a labelling run: everything, people that a person edited, or all people of frames that a
    person has looked at."""

    @model_validator(mode="after")
    def _check_wholes(self) -> CocoSource:
        if self.subject is not None and self.split_by != "video":
            raise ValueError("split_by and subject exclude each other; give one of them")
        return self


class PackSource(SourceOptions):
    """A pack: person crops, ready cut, with their keypoints, in one .npz file."""

    kind: Literal["pack"]
    """`pack`."""
    path: Path
    """The .npz file."""
    keypoint_set: str = "coco"
    """What the keypoints are."""
    context: Annotated[Number, Field(gt=0, le=10)] = 1.5
    """How much larger the crops are than the region the network sees."""
    repeat_of: dict[Whole, Repeat] = Field(default_factory=dict)
    """`repeat` for the people of one `source` number of the pack; 0 leaves them out, in validation
    too."""


Source = Annotated[CocoSource | PackSource, Field(discriminator="kind")]


class DataOptions(StrictModel):
    """Where the people come from, and how their pixels are kept."""

    train: tuple[Source, ...] = Field(min_length=1)
    """The sources to train on, shown together."""
    validation: tuple[Source, ...] = ()
    """The sources to measure on."""
    cache: Literal["none", "ram", "disk", "device"] = "ram"
    """Where crops of all people are kept ready: `device` is the GPU's memory; `none` cuts them
    from the photos every time (COCO files only)."""
    cache_wh: tuple[CropSide, CropSide] | None = None
    """Size of a kept crop, px; default: 1.25 times the largest input."""
    context: Annotated[Number, Field(ge=1, le=10)] = 1.5
    """How much larger a kept crop is than the region the network sees, so that it can be turned
    and moved."""
    threads: Annotated[Whole, Field(ge=1, le=1024)] = 4
    """Threads that read photos."""
    allow_missing: bool = False
    """Train although more than 1 % of the photos are missing or unreadable."""


class AugmentationOptions(StrictModel):
    """How crops are changed. Geometry as in the original repository; colour is off there."""

    flip: Probability = 0.5
    """How often left and right are mirrored."""
    shift: Probability = 0.3
    """How often the centre is moved."""
    shift_size: Annotated[Number, Field(ge=0, le=10)] = 0.2
    """How far it is moved at most, in x and in y, as a share of the box."""
    scale_std: NotNegative = 0.5
    """The region's size is 1 + this x a normal number."""
    scale_limits: tuple[SizeFactor, SizeFactor] = (0.5, 1.5)
    """What that size is cut to."""
    rotation: Probability = 0.6
    """How often the crop is turned."""
    rotation_std_deg: NotNegative = 40.0
    """The angle is this x a normal number."""
    rotation_limit_deg: NotNegative = 80.0
    """What that angle is cut to, either way."""
    half_body: Probability = 0.3
    """How often only the upper or the lower body is looked at."""
    half_body_keypoints: Count = 9
    """How many labelled keypoints a person needs for that."""
    truncation: Probability = 0.0
    """How often the photo is cut so that a part of the body is left: upper, lower, left, right, or
    a single limb. Outside is black, as outside a photo."""
    brightness: NotNegative = 0.0
    """Standard deviation of an offset, 1 being white."""
    contrast: NotNegative = 0.0
    """Standard deviation of the contrast round 1."""
    saturation: NotNegative = 0.0
    """Standard deviation of the saturation round 1."""
    tint: NotNegative = 0.0
    """Standard deviation of an offset of each colour channel, 1 being white."""
    grey: Probability = 0.0
    """How often the crop loses its colours."""
    erasing: Probability = 0.0
    """How often a rectangle is covered, with one colour or as `erasing_mix` says; tried twice."""
    erasing_size: tuple[Positive, Positive] = (0.08, 0.3)
    """Shortest and longest side of the rectangle, as shares of the crop's."""
    erasing_mix: Probability = 0.0
    """How often what covers it is not one colour but the same place of another crop of the step, so
    that parts of other people lie about (after CutMix, but labels stay)."""
    blend: Probability = 0.0
    """How often another crop of the step shines through (after mixup, but labels stay). Together
    with a teacher that is shown each crop it makes an endless number of pictures of few people
    (Beyer et al., arXiv 2106.05237)."""
    blend_limit: Annotated[Number, Field(gt=0, lt=1)] = 0.5
    """How much of it at most."""

    @model_validator(mode="after")
    def _check(self) -> AugmentationOptions:
        for name in ("scale_limits", "erasing_size"):
            smaller, larger = getattr(self, name)
            if smaller > larger:
                raise ValueError(f"{name} {[smaller, larger]} must be [smaller, larger]")
        return self
