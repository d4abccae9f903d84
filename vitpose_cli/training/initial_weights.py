"""The weights that a training starts from: found, fetched, or converted with all they hold.

A published file of several keypoint sets is taken whole here, with every head and every expert of
ViTPose+, where labelling would take one of them: what is learnt decides which are wanted.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vitpose_cli.models.without_compiler  # noqa: F401 - first, so that it has an effect

import timm
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from vitpose_cli.errors import WeightsError, is_out_of_memory
from vitpose_cli.models.backbones import backbone_variant
from vitpose_cli.models.catalog import resolve_weights
from vitpose_cli.models.checkpoint import CheckpointHeader, read_header
from vitpose_cli.models.key_maps import recognise
from vitpose_cli.models.safe_load import read_tensors
from vitpose_cli.models.tensor_files import write_tensors
from vitpose_cli.models.vitpose import VARIANTS

_TIMM = "timm:"
_TIMM_HINT = "See timm.list_pretrained('vit_*patch16*')"


@dataclass(frozen=True, slots=True)
class InitialWeights:
    """Weights to start from.

    Attributes:
        path: Their file.
        header: What it says of itself; None of another project's backbone.
    """

    path: Path
    header: CheckpointHeader | None

    @property
    def variant(self) -> str:
        """The size of the network.

        Raises:
            WeightsError: It is none of ours.
        """
        if self.header is not None:
            return self.header.variant
        return backbone_variant(self.path).name


@contextmanager
def opened_initial_weights(weights: str) -> Iterator[InitialWeights]:
    """Yield what `weights` names: a catalog name, a file of anybody, or `timm:NAME`.

    Raises:
        WeightsError: The weights cannot be found, fetched or read.
    """
    if not weights.startswith(_TIMM):
        yield _of_file(weights)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "backbone.safetensors"
        write_tensors(file, _timm_tensors(weights.removeprefix(_TIMM)), {})
        yield InitialWeights(file, None)


def input_wh_of(weights: str) -> tuple[int, int] | None:
    """Return the input size that weights were made for, px; None where they do not say.

    Raises:
        WeightsError: The weights cannot be found, fetched or read.
    """
    header = None if weights.startswith(_TIMM) else _of_file(weights).header
    return None if header is None else header.input_wh


def _of_file(weights: str) -> InitialWeights:
    """Find the file that `weights` names; foreign pose weights are converted on the way."""
    path = Path(weights)
    if path.is_file():
        layout = recognise(read_tensors(path))
        if layout is not None and layout.heads is None:
            return InitialWeights(path, None)
    ours = resolve_weights(weights, whole=True)
    return InitialWeights(ours, read_header(ours, backbone=True))


def _timm_tensors(name: str) -> dict[str, Tensor]:
    """Return the tensors of a pretrained network of timm's.

    Raises:
        WeightsError: There is no such network, it cannot be downloaded, or it is none of ours.
    """
    try:
        network = timm.create_model(name, pretrained=True)
    except (RuntimeError, OSError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        raise WeightsError(
            f"timm has no weights {name!r} for us: {error}.",
            f"{_TIMM_HINT}; a download needs a network.",
        ) from error
    if not isinstance(network, VisionTransformer):
        raise WeightsError(f"{name} is no plain vision transformer.", f"{_TIMM_HINT}.")
    _check_attention_heads(name, network)
    tensors: dict[str, Tensor] = network.state_dict()
    return tensors


def _check_attention_heads(name: str, network: Any) -> None:
    """Refuse a network whose tensors would fit, cut into other attention heads."""
    theirs = network.blocks[0].attn.num_heads
    for variant in VARIANTS.values():
        alike = (variant.embed_dim, variant.depth) == (network.embed_dim, len(network.blocks))
        if alike and variant.num_heads != theirs:
            raise WeightsError(
                f"{name} has {theirs} attention heads where ViTPose's {variant.name} has "
                f"{variant.num_heads}: its weights would fit and mean something else.",
                "Take another size, or weights of MAE for ViTPose's own.",
            )
