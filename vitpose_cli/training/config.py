"""What a training run may be told: the classes behind the YAML file.

The defaults are the published recipe of ViTPose on COCO (single task, classic decoder), so that an
option that is absent from a file means "as in the paper". Only shapes and meanings are here; what
an option does is in the module that takes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

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
from vitpose_cli.models.attention import AttentionPattern
from vitpose_cli.training.data_options import AugmentationOptions, DataOptions

Precision = Literal["auto", "fp32", "bf16", "fp16"]
Decay = Annotated[Number, Field(ge=0, lt=1)]
Ratio = Annotated[Number, Field(gt=0, le=1)]
LearningRate = Annotated[Number, Field(gt=0, le=10)]
InputSide = Annotated[Whole, Field(ge=16, le=4096)]
BlobSigma = Annotated[Number, Field(ge=0.1, le=100)]

_OF_A_TOKEN = {"weights", "variant", "activation_checkpointing"}
"""The options of a network that `task: token` has a use for."""


class AttentionOptions(StrictModel):
    """Which tokens attend to which; see `models.attention`."""

    pattern: AttentionPattern | None = None
    """The kind of attention; default: that of the weights with its windows, else full."""
    window_wh: tuple[Count, Count] = (8, 8)
    """Width and height of a window, patches."""


class ModelOptions(StrictModel):
    """The network, and what it starts from."""

    variant: Literal["tiny-test", "tiny", "small", "base", "large", "huge"] | None = None
    """tiny-test, tiny, small, base, large or huge; may be left out where `weights` say it."""
    weights: str | None = None
    """Start from this: a catalog name, a weights file of ours or of another project, an MAE or
    ImageNet file, or `timm:NAME`. Left out: from scratch."""
    head: Literal["classic", "simple"] | None = None
    """The decoder; default: that of the weights where they know the keypoints, else classic.
    Another kind starts anew."""
    patch_shift: bool | None = None
    """The 2 px shift of the published weights; default: that of the weights, else no shift; with
    stride 8 there is none."""
    stride: Literal[8, 16] | None = None
    """Pixels from patch to patch, 8 or 16; 8 gives features of 1/8 of the input. Default: that of
    the weights, else 16."""
    attention: AttentionOptions = AttentionOptions()
    """The kind of attention."""
    experts: bool = False
    """ViTPose+: a quarter of the channels that every feed-forward layer makes comes from a part of
    its own for each keypoint set, so that data sets disturb each other less."""
    drop_path: Probability | None = None
    """Stochastic depth of the last block; default: that of the variant."""
    initialisation: Literal["default", "mimetic"] = "default"
    """How an encoder without weights starts. `mimetic` (attention as in trained networks, a
    sine-cosine position table) learns several times faster from little data."""
    activation_checkpointing: bool = False
    """Compute every block twice and keep less in memory."""
    licence: str = "unknown"
    """Licence of the weights you make; stands in their header."""


class FreezeOptions(StrictModel):
    """What does not learn."""

    attention: bool = False
    """Attention and the norm before it, of every block."""
    ffn: bool = False
    """Feed-forward layers and the norm before them, of every block; patch and position embedding
    too, as in the original repository."""
    blocks: Annotated[Whole, Field(ge=0)] = 0
    """Patch and position embedding and this many first blocks."""
    encoder: bool = False
    """Everything but the heads."""


class EmaOptions(StrictModel):
    """A moving average of the weights; it is what is validated and saved."""

    decay: Annotated[Number, Field(gt=0, lt=1)] = 0.9998
    """Share of the old average at each step, once warm."""
    warmup: bool = True
    """Forget faster in the beginning: min(decay, 1 - (1 + step)^-2/3)."""


class OptimizerOptions(StrictModel):
    """AdamW or Muon with layer-wise decay, and the schedule of its rate."""

    kind: Literal["adamw", "muon"] = "adamw"
    """`adamw`, as in the paper; or `muon`: the matrices of the blocks change by orthogonalised
    steps as large as AdamW's, all else by AdamW. Learns faster from scratch."""
    lr: LearningRate = 5e-4
    """Peak learning rate."""
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """AdamW's betas."""
    weight_decay: NotNegative = 0.1
    """Weight decay; none for biases, norms and the position table."""
    layer_decay: Ratio | None = None
    """The rate of a layer relative to the one above it; default: that of the variant."""
    clip_norm: Positive = 1.0
    """Longest gradient (L2)."""
    warmup_steps: Annotated[Whole, Field(ge=0)] = 500
    """Steps of linear warm-up at the start of each stage, at most a fifth of it."""
    warmup_ratio: Ratio = 0.001
    """The rate of the first of them, relative to the peak."""
    schedule: Literal["step", "cosine", "constant"] = "step"
    """How the rate falls within a stage: step, cosine or constant."""
    milestones: tuple[NotNegative, ...] | None = None
    """With step: when the rate falls, in the stage's unit (epochs or steps); default: after 170/210
    and 200/210 of the stage, as in the paper."""
    gamma: Ratio = 0.1
    """With step: by which factor it falls."""
    final_ratio: Probability = 0.01
    """With cosine: the last rate, relative to the peak."""


class LossOptions(StrictModel):
    """What is made small."""

    kind: Literal["mse", "cross_entropy"] = "mse"
    """`mse`: squared error of the heatmaps. `cross_entropy`: each map as one choice among its
    pixels; learns faster from scratch, but its maps carry no score, so an mse stage must follow."""
    weight: Positive = 1.0
    """Factor of the loss; matters to the gradient's cut only."""
    foreground: NotNegative = 0.0
    """With mse: a pixel counts 1 + this x its target, against the mass of background."""
    blob_sigma: BlobSigma = 2.0
    """Standard deviation of the target's blob, heatmap px; with task: token it is that which each
    head was taught."""


class StageOptions(StrictModel):
    """One stretch of training; each starts from the last one's weights with a fresh optimiser."""

    input_wh: tuple[InputSide, InputSide] = (192, 256)
    """Width and height of the network's input, px; the position table is interpolated. Default:
    that of `model.weights` where their file says it, else 192 x 256."""
    epochs: Annotated[Number, Field(gt=0, le=1e6)] | None = None
    """Its length, in passes over the data; either this or `steps`."""
    steps: Count | None = None
    """Its length, in steps."""
    batch_size: Count = 512
    """People in one step, over all GPUs."""
    accumulate: Count = 1
    """Split a step's people into this many passes; a classic decoder has batch statistics of each
    pass."""
    lr: LearningRate | None = None
    """Peak learning rate; default: the optimiser's."""
    loss: LossOptions = LossOptions()
    """What is made small."""

    @model_validator(mode="after")
    def _check(self) -> StageOptions:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give either epochs or steps")
        if any(side % 16 for side in self.input_wh):
            raise ValueError(f"input_wh {list(self.input_wh)} must be multiples of 16")
        return self


class NcnnTeacher(StrictModel):
    """A heatmap network in ncnn's format, of the layers that PP-TinyPose has."""

    ncnn: Path
    """The `.param` file; the `.bin` file lies beside it."""
    input_wh: tuple[InputSide, InputSide] = (192, 256)
    """Width and height of its input, px; RGB, normalised as ViTPose's."""
    keypoint_set: str = "coco"
    """What its heatmaps show."""
    alignment: Literal["udp", "classic"] = "classic"
    """How crops and heatmaps are aligned."""
    blob_sigma: BlobSigma = 2.0
    """Standard deviation of its blobs, heatmap px."""


def _way_to_name(teacher: object) -> str:
    """Return which type of a teacher is meant, so that only what is wrong with that one is told."""
    return "NcnnTeacher" if isinstance(teacher, (dict, NcnnTeacher)) else "str"


_Teacher = Annotated[
    Annotated[str, Tag("str")] | Annotated[NcnnTeacher, Tag("NcnnTeacher")],
    Discriminator(_way_to_name),
]


class DistillOptions(StrictModel):
    """Learn from another network, too (ViTPose, section 3.4)."""

    teacher: _Teacher | None = None
    """Whose heatmaps to learn from: a catalog name, a weights file, or an outside network."""
    weight: Positive = 1.0
    """Factor of the loss against the teacher's heatmaps."""
    truth: NotNegative = 1.0
    """Factor of the loss against the labels; 0 learns from the teacher alone."""
    token: Path | None = None
    """Weights made by `task: token`, or the folder of that run; the student gets their knowledge
    token, frozen."""
    looks: Literal["each", "once"] = "each"
    """`each`: the teacher is shown every crop that the student is shown, as in the paper. `once`:
    it is shown everybody's plain crop, and its heatmaps follow the crop as that is turned, scaled
    and mirrored; costs one pass of the teacher over the people."""
    keep: Literal["ram", "disk", "device"] = "ram"
    """With `looks: once`: where the heatmaps are kept while training."""
    folder: Path | None = None
    """With `looks: once`: write the heatmaps here, where other runs on the same people find them;
    default: nowhere, and in the run's folder with `keep: disk`."""


class PretrainOptions(StrictModel):
    """Masked autoencoding: hide patches of crops and let the network draw them."""

    masked: Annotated[Number, Field(gt=0, lt=1)] = 0.75
    """Share of the patches that are hidden."""
    decoder_dim: Annotated[Whole, Field(ge=1, le=4096)] | None = None
    """Channels of the decoder, a multiple of 32; default: two thirds of the encoder's."""
    decoder_depth: Annotated[Whole, Field(ge=1, le=100)] = 2
    """Blocks of the decoder, which is thrown away in the end."""
    normalise: bool = True
    """Ask for the pixels of a patch relative to their mean and deviation."""


class ValidationOptions(StrictModel):
    """How the network is measured while it learns."""

    every_epochs: Positive | None = None
    """Epochs from one measurement to the next; default: at most ten in a stage, one of them at its
    end. Weights that know the keypoints are measured before the first step, too."""
    every_steps: AtLeastOne | None = None
    """The same in steps."""
    flip_test: bool = True
    """Average with the mirrored crop."""
    batch_size: Count = 64
    """People in one pass."""

    @model_validator(mode="after")
    def _check(self) -> ValidationOptions:
        if self.every_epochs is not None and self.every_steps is not None:
            raise ValueError("give either every_epochs or every_steps; the other one is null")
        return self


class TrainConfig(StrictModel):
    """A training run."""

    task: Literal["pose", "pretrain", "token"] = "pose"
    """`pose`: learn heatmaps. `pretrain`: learn an encoder from people without labels. `token`:
    learn nothing but a knowledge token for the network `model.weights`, for `distill.token`."""
    seed: Annotated[Whole, Field(ge=0, le=2**53)] = 0
    """Everything random follows from it and from the number of the step."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    precision: Precision = "auto"
    """Number format of the network's products: auto, fp32, bf16 or fp16."""
    compile: bool = False
    """Let torch.compile fuse the network, and a teacher that looks at each crop; pays from some
    minutes on."""
    model: ModelOptions
    """The network."""
    data: DataOptions
    """The people."""
    augmentation: AugmentationOptions = AugmentationOptions()
    """How crops are changed."""
    optimizer: OptimizerOptions = OptimizerOptions()
    """How weights are changed."""
    ema: EmaOptions | None = None
    """A moving average of the weights; default: none."""
    freeze: FreezeOptions = FreezeOptions()
    """What does not learn."""
    pretrain: PretrainOptions = PretrainOptions()
    """With `task: pretrain`: what is asked."""
    distill: DistillOptions | None = None
    """Another network to learn from; default: none."""
    stages: tuple[StageOptions, ...] = Field(default=(StageOptions(epochs=210),), min_length=1)
    """The stretches of training, as for progressive resolution."""
    validation: ValidationOptions = ValidationOptions()
    """How the network is measured."""
    log_every: AtLeastOne = 50
    """Steps from one line of metrics to the next; the first and last of a stage have one, too."""
    checkpoint_every: AtLeastOne = 1000
    """Steps from one checkpoint to the next; one is also written at each validation."""

    @model_validator(mode="after")
    def _check(self) -> TrainConfig:
        if self.stages[-1].loss.kind != "mse":
            raise ValueError("the last stage's loss must be mse: other maps carry no score")
        if self.task == "pretrain" and (self.data.validation or self.distill):
            raise ValueError("task: pretrain measures no poses; leave out data.validation, distill")
        if self.task == "pretrain" and self.model.experts:
            raise ValueError(
                "task: pretrain makes no experts; leave out model.experts, and give it in the run "
                "that starts from these weights"
            )
        if self.task == "pretrain" and self.freeze.encoder:
            raise ValueError("task: pretrain learns an encoder; leave out freeze.encoder")
        if self.task == "token" and (self.model.weights is None or self.distill):
            raise ValueError("task: token needs model.weights, the teacher, and no distill")
        losses = {stage.loss.kind for stage in self.stages}
        if self.task == "token" and losses != {"mse"}:
            raise ValueError(
                "task: token leaves the heads as they are, which give no cross_entropy maps; leave "
                "out stages with loss.kind: cross_entropy"
            )
        ignored = self._kept_by_token() if self.task == "token" else []
        if ignored:
            raise ValueError(
                "task: token leaves all but the token as it is in model.weights; leave out "
                + ", ".join(ignored)
            )
        if self.distill and self.distill.teacher is None and self.distill.token is None:
            raise ValueError("distill names nobody to learn from; give it a teacher or a token")
        if self.data.cache == "none" and any(one.kind == "pack" for one in self.data.train):
            raise ValueError("data.cache: none cannot be had with packs, which are crops already")
        return self

    def _kept_by_token(self) -> list[str]:
        """Return the options of network and maps that were given and are not for `task: token`."""
        model = self.model.model_dump(exclude_defaults=True)
        given = {
            "model": model.keys() - _OF_A_TOKEN,
            "freeze": self.freeze.model_dump(exclude_defaults=True).keys(),
        }
        blobs = [
            f"stages.{number}.loss.blob_sigma"
            for number, stage in enumerate(self.stages)
            if "blob_sigma" in stage.loss.model_dump(exclude_defaults=True)
        ]
        told = [f"{part}.{name}" for part, names in given.items() for name in sorted(names)]
        return told + blobs
