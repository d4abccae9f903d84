"""Our weights files: .safetensors with a header that says which network the weights are of.

Writing, reading the header alone, and strict loading. Layouts of others are translated in
`key_maps`, once, when they are converted; here one layout exists. A configuration file beside the
weights was refused because the two get separated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, PlainSerializer, TypeAdapter, ValidationError
from torch import Tensor

from vitpose_cli.errors import ConfigError, InputError, WeightsError
from vitpose_cli.faults import fault_texts
from vitpose_cli.models.attention import AttentionConfig
from vitpose_cli.models.experts import fold_experts
from vitpose_cli.models.key_maps import listed, tensor_faults
from vitpose_cli.models.patches import resize_position_table
from vitpose_cli.models.tensor_files import read_metadata, read_state, write_tensors
from vitpose_cli.models.vitpose import VARIANTS, HeadConfig, HeadKind, ViTPose, ViTPoseConfig
from vitpose_cli.models.weights_files import METADATA_KEY
from vitpose_cli.pose.geometry import Alignment, Region
from vitpose_cli.pose.keypoints import KEYPOINT_SETS, KeypointSet

FORMAT = 1
"""Version of the header; a file with a higher one is refused."""

POSITION_TABLE = "encoder.pos_embed"


def _named(value: object) -> object:
    """Return the built-in set of a name; leave the fields of any other set to validation."""
    if not isinstance(value, str):
        return value
    if value not in KEYPOINT_SETS:
        raise ValueError(f"there is no keypoint set {value!r}")
    return KEYPOINT_SETS[value]


def _name_or_fields(keypoint_set: KeypointSet) -> str | dict[str, Any]:
    """Return the name of a built-in set, the fields of any other."""
    built_in = KEYPOINT_SETS.get(keypoint_set.name) == keypoint_set
    if built_in:
        return keypoint_set.name
    fields = asdict(keypoint_set)
    del fields["stated"]  # of the files that it learnt from: the next ones say it anew
    return fields


@dataclass(frozen=True, slots=True)
class HeadHeader:
    """One decoder, and what its heatmaps mean.

    Attributes:
        kind: "classic" or "simple".
        keypoint_set: What the heatmaps show; in the file the name of a built-in set, or all the
            fields of any other.
        alignment: How its training crops and heatmaps were aligned; decoding follows.
        expert: The expert of its data set, where the encoder has experts.
        blob_sigma: Standard deviation of the blobs that it was taught to draw, map px.
        region: What of a frame it was shown.
    """

    kind: HeadKind
    keypoint_set: Annotated[KeypointSet, BeforeValidator(_named), PlainSerializer(_name_or_fields)]
    alignment: Alignment
    expert: int = 0
    blob_sigma: float = 2.0
    region: Region = "fitted"


@dataclass(frozen=True, slots=True)
class CheckpointHeader:
    """What a weights file says about itself.

    Attributes:
        variant: Name of the size, a key of `VARIANTS`.
        heads: Decoders by name.
        input_wh: Width and height of the crops, px.
        source: Where the weights come from, in words or as an address.
        licence: Licence of the weights, an SPDX identifier where there is one.
        patch_shift: See `ViTPoseConfig`, as the four below.
        stride: Input pixels per token.
        layer_norm_eps: Epsilon of all layer norms.
        attention: Which tokens attend to which.
        num_experts: Experts of every feed-forward layer; 0 for a plain encoder.
        knowledge_token: Whether a token that a teacher has learnt stands beside the patches.
        format: Version of this header.
    """

    variant: str
    heads: Mapping[str, HeadHeader]
    input_wh: tuple[int, int]
    source: str
    licence: str
    patch_shift: bool = False
    stride: Literal[16, 8] = 16
    layer_norm_eps: float = 1e-6
    attention: AttentionConfig = field(default_factory=AttentionConfig)
    num_experts: int = 0
    knowledge_token: bool = False
    format: int = FORMAT

    @property
    def keypoint_sets(self) -> dict[str, KeypointSet]:
        """What each head shows, by the head's name."""
        return {name: head.keypoint_set for name, head in self.heads.items()}

    def config(self) -> ViTPoseConfig:
        """Return the configuration of the network.

        Raises:
            WeightsError: The variant is not one of ours.
        """
        if self.variant not in VARIANTS:
            raise WeightsError(
                f"The weights are of an unknown variant {self.variant!r}.",
                f"Known are {', '.join(VARIANTS)}; a newer release may know it.",
            )
        return ViTPoseConfig(
            variant=VARIANTS[self.variant],
            heads={
                name: HeadConfig(head.kind, head.keypoint_set.num_keypoints, head.expert)
                for name, head in self.heads.items()
            },
            input_wh=self.input_wh,
            patch_shift=self.patch_shift,
            stride=self.stride,
            layer_norm_eps=self.layer_norm_eps,
            attention=self.attention,
            num_experts=self.num_experts,
            knowledge_token=self.knowledge_token,
        )


class LoadedViTPose(ViTPose):
    """A network with the weights of a file.

    Attributes:
        header: The file's header, true of this network: its input size and its heads.
    """

    def __init__(self, header: CheckpointHeader) -> None:
        super().__init__(header.config())
        self.header = header


def save_checkpoint(
    path: Path,
    state: Mapping[str, Tensor],
    header: CheckpointHeader,
    *,
    dtype: torch.dtype | None = None,
) -> None:
    """Write weights and header, so that the file appears whole or not at all.

    Args:
        path: The file, by custom ending in .safetensors; replaced where it exists.
        state: Weights in our layout.
        header: What they are.
        dtype: Storage type of floating-point weights, such as `torch.float16`; as they are by
            default.

    Raises:
        InputError: The file cannot be written.
    """
    metadata = {METADATA_KEY: TypeAdapter(CheckpointHeader).dump_json(header).decode()}
    write_tensors(path, state, metadata, dtype=dtype)


def read_header(path: Path, *, backbone: bool = False) -> CheckpointHeader:
    """Read what a weights file says about itself, without its tensors.

    Args:
        path: The file.
        backbone: Whether a file without a head will do, which can be trained from only.

    Raises:
        WeightsError: The file is missing, damaged, not one of ours, or has no head.
    """
    metadata = read_metadata(path)
    if METADATA_KEY not in metadata:
        raise WeightsError(
            f"{path} carries no vitpose header.",
            f"Weights of other projects are translated by `vitpose weights convert {path}`.",
        )
    try:
        header = TypeAdapter(CheckpointHeader).validate_json(metadata[METADATA_KEY])
        header.config()
    except (ValidationError, ConfigError, InputError) as error:
        faults = str(error).removesuffix(".")
        if isinstance(error, ValidationError):
            faults = fault_texts(error, "header")
        raise WeightsError(
            f"The vitpose header of {path} cannot be read: {faults}.",
            "A newer release may have written it; otherwise convert the weights again.",
        ) from error
    if header.format > FORMAT:
        raise WeightsError(
            f"{path} has header format {header.format}, this release reads up to {FORMAT}.",
            "Install a newer release.",
        )
    if not header.heads and not backbone:
        raise WeightsError(
            f"{path} is a pre-trained backbone: it has no head, and finds no keypoints.",
            "Train from it: `vitpose train` with model.weights.",
        )
    return header


def head_named(header: CheckpointHeader, wanted: str | None, *, of: object, option: str) -> str:
    """Return the name of the head that is meant; where there is one, it need not be named.

    Args:
        header: What the weights are.
        wanted: Its name; None for the only one.
        of: The weights as the user calls them, for the message.
        option: How the user names a head, for the hint.

    Raises:
        ConfigError: There is no such head, or there are several.
    """
    known = ", ".join(header.heads)
    if wanted is None and len(header.heads) > 1:
        raise ConfigError(f"{of} labels several keypoint sets: {known}.", f"Choose one: {option}.")
    name = wanted or next(iter(header.heads))
    if name not in header.heads:
        raise ConfigError(f"{of} has no head {name!r}.", f"It has {known}.")
    return name


def load_model(
    path: Path, *, input_wh: tuple[int, int] | None = None, head: str | None = None
) -> LoadedViTPose:
    """Build the network of a weights file, in float32 and evaluation mode, on the CPU.

    Args:
        path: A weights file of ours.
        input_wh: Another input size, px, multiples of 16; the position table is resampled to it.
        head: The only head to keep; its expert is folded into a plain encoder. All by default.

    Raises:
        ConfigError: The input size is impossible.
        WeightsError: The file is missing, damaged, not one of ours, lacks the head, or its
            tensors do not match its header.
    """
    header = read_header(path)
    state = read_state(path)
    if head is not None:
        header, state = _keep_head(path, header, state, head)
    model = _blank(header)
    _check_match(path, state, model.state_dict())
    if input_wh is not None:
        stored_grid_wh = model.config.grid_wh
        model = _blank(replace(header, input_wh=input_wh))
        state[POSITION_TABLE] = resize_position_table(
            state[POSITION_TABLE].float(), stored_grid_wh, model.config.grid_wh
        )
    model.load_state_dict(
        {key: t.float() if t.is_floating_point() else t for key, t in state.items()}, assign=True
    )
    return model.eval()


def _blank(header: CheckpointHeader) -> LoadedViTPose:
    """Build a network whose weights are still to come, so that none is made up in vain."""
    with torch.device("meta"):
        return LoadedViTPose(header)


def _keep_head(
    path: Path, header: CheckpointHeader, state: dict[str, Tensor], head: str
) -> tuple[CheckpointHeader, dict[str, Tensor]]:
    """Drop the other heads, and the experts along with them."""
    if head not in header.heads:
        raise WeightsError(
            f"{path} has no head {head!r}.", f"It has {', '.join(sorted(header.heads))}."
        )
    kept = header.heads[head]
    if header.num_experts:
        state = fold_experts(state, kept.expert)
    state = {
        key: value
        for key, value in state.items()
        if not key.startswith("heads.") or key.startswith(f"heads.{head}.")
    }
    return replace(header, heads={head: replace(kept, expert=0)}, num_experts=0), state


def _check_match(path: Path, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Compare keys and shapes, and raise one error that lists every difference."""
    faults = tensor_faults(state, expected)
    if faults:
        raise WeightsError(
            f"The tensors of {path} do not match its header:{listed(faults)}",
            "The file was made by other means than `vitpose weights convert`, or edited.",
        )
