"""A network in training, together with what its weights files say of it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vitpose_cli.models.checkpoint import CheckpointHeader
from vitpose_cli.models.masked import MaskedAutoencoder
from vitpose_cli.models.vitpose import ViTPose, ViTPoseConfig


@dataclass(frozen=True, slots=True)
class Network:
    """A network in training.

    Attributes:
        model: The module, in training mode.
        header: What its weights files say.
    """

    model: ViTPose
    header: CheckpointHeader

    @property
    def num_patches(self) -> int:
        """How many patches it cuts a crop into."""
        width, height = self.model.config.grid_wh
        return width * height

    @property
    def weights(self) -> dict[str, Tensor]:
        """The tensors of its weights file: all but the decoder of pre-training."""
        state = self.model.state_dict()
        return {key: value for key, value in state.items() if not key.startswith("decoder.")}


def same_network(model: ViTPose, config: ViTPoseConfig) -> ViTPose:
    """Build a network of the kind of `model`, with weights of its own."""
    if isinstance(model, MaskedAutoencoder):
        return MaskedAutoencoder(config, model.pixels)
    return ViTPose(config)
