"""The knowledge token (ViTPose, arXiv 2204.12484, section 3.4): learnt by one, given to others.

One token beside the patches is all that a frozen teacher learns; frozen itself, it then stands
beside the student's patches, in training and in labelling. The paper does not say how the token of
a teacher of width 1024 gets into a student of width 768; here it goes through pixels, see
`fitted_token`. A projection that is learnt with the student was refused: it could turn the one
token into any other, and nothing of the teacher's would be left.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from vitpose_cli.errors import ConfigError, WeightsError
from vitpose_cli.models.catalog import resolve_weights
from vitpose_cli.models.checkpoint import load_model, read_header
from vitpose_cli.models.tensor_files import read_state
from vitpose_cli.models.vitpose import ViTPose
from vitpose_cli.training.network import Network, same_network

TOKEN = "encoder.knowledge_token"
"""Its name in weights files."""

_SMALLEST = 1e-3
"""Patterns of pixels that a patch embedding lets through weaker than this, relative to the
strongest, are taken for lost."""


def teacher_with_token(weights: str, input_wh: tuple[int, int]) -> Network:
    """Return a whole network with a random token; all else is as in its file.

    Raises:
        ConfigError: A window of its attention has no place for a token.
        WeightsError: It cannot be found, read or matched.
    """
    model = load_model(resolve_weights(weights), input_wh=input_wh)
    token = torch.empty(1, 1, model.config.variant.embed_dim)
    nn.init.trunc_normal_(token, std=0.02)
    header = replace(model.header, source=f"vitpose train, a knowledge token for {weights}")
    return with_token(Network(model, header), token)


def with_token(network: Network, token: Tensor) -> Network:
    """Return a network with the knowledge token (1, 1, D) beside its patches, frozen."""
    header = replace(network.header, knowledge_token=True)
    config = replace(network.model.config, knowledge_token=True)
    model = same_network(network.model, config).train()
    model.set_grad_checkpointing(network.model.encoder.grad_checkpointing)
    model.load_state_dict(network.model.state_dict() | {TOKEN: token})
    return replace(network, model=model, header=header)


def learn_token_alone(model: ViTPose) -> list[nn.Module]:
    """Let nothing but the token learn; return the modules to keep in evaluation mode: all."""
    if not model.config.knowledge_token:
        raise ConfigError("The network has no knowledge token.", "Set task: token.")
    model.requires_grad_(False)
    model.encoder.knowledge_token.requires_grad_(True)
    return [model]


def fitted_token(path: Path, student: ViTPose) -> Tensor:
    """Bring the token in a teacher's file to the width of a student.

    A token of the teacher's is read as the patch of pixels that its patch embedding would have made
    it of, and that patch is embedded by the student: with embeddings `x -> A x + c`, where c holds
    the bias and the mean of the position table, the student's token is c_s + r A_s A_t+ (t - c_t),
    A_t+ being the pseudo-inverse. The factor r keeps its length relative to that of patches of
    white noise, |A|_F. Between networks of the same embedding the token stays what it is.

    Args:
        path: Weights made by `task: token`, or the folder of that run.
        student: Whose patch embedding is already that it starts from.

    Returns:
        (1, 1, D) float32.

    Raises:
        WeightsError: The file cannot be read, or has no token.
    """
    file = resolve_weights(path)
    if not read_header(file).knowledge_token:
        raise WeightsError(
            f"{path} has no knowledge token.", "Learn one first: `vitpose train` with task: token."
        )
    theirs, ours = read_state(file), student.state_dict()
    (their_matrix, their_origin), (matrix, origin) = _embedding(theirs), _embedding(ours)
    offset = theirs[TOKEN].double().flatten() - their_origin
    pixels = torch.linalg.pinv(their_matrix, rtol=_SMALLEST) @ offset
    moved = matrix @ pixels
    length = offset.norm() * matrix.norm() / their_matrix.norm()
    token: Tensor = (origin + moved * length / moved.norm()).float()
    return token[None, None]


def _embedding(state: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return how a network embeds patches: a matrix (D, 768) and an offset (D,), float64."""
    matrix = state["encoder.patch_embed.proj.weight"].double().flatten(1)
    bias = state["encoder.patch_embed.proj.bias"].double()
    return matrix, bias + state["encoder.pos_embed"].double().mean(dim=(0, 1))
