"""What a pass keeps in memory for its backward half, found without computing it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from vitpose_cli.models.masked import MaskedAutoencoder
from vitpose_cli.models.vitpose import ViTPose
from vitpose_cli.training.network import choose_attention, same_network
from vitpose_cli.training.stage import HeadRouter, Parts


def activation_bytes(
    model: ViTPose, batch_size: int, device: torch.device, dtype: torch.dtype
) -> int:
    """Return the bytes that a forward pass keeps for the backward pass.

    Found by running the network on torch's meta device, where tensors have shapes and no numbers,
    and counting what is saved; parameters do not count. Fused attention counts as one operation, as
    on every device but the meta device. In 16 bits it is up to a third more, as autocast keeps some
    results in float32.

    Args:
        model: The network.
        batch_size: Of a pass.
        device: Where it will learn.
        dtype: Number format of the products.
    """
    copy = same_network(model, model.config).to("meta", dtype).train()
    choose_attention(copy, device, dtype)
    copy.set_grad_checkpointing(model.encoder.grad_checkpointing)
    for ours, theirs in zip(copy.parameters(), model.parameters(), strict=True):
        ours.requires_grad_(theirs.requires_grad)
    width, height = model.config.input_wh
    images = torch.empty(batch_size, 3, height, width, dtype=dtype, device="meta")
    with counted_activations(copy) as num_bytes, _FusedAttention():
        if isinstance(copy, MaskedAutoencoder):
            num_patches = copy.encoder.patch_embed.num_patches
            copy(images, torch.empty(batch_size, num_patches, dtype=torch.int64, device="meta"))
        else:
            HeadRouter(copy)(images, _even_parts(tuple(model.config.heads), batch_size))
    return num_bytes()


@contextmanager
def counted_activations(model: ViTPose) -> Iterator[Callable[[], int]]:
    """Count the bytes that what runs in here keeps for its backward pass; yield how many."""
    known = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    saved: dict[int, int] = {}
    kept: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            saved[storage._cdata] = storage.nbytes()
            kept.append(tensor)  # an address must not be used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield lambda: sum(saved.values())


class _FusedAttention(TorchFunctionMode):
    """Compute attention by one operation, which keeps its operands and result and no weights."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = kwargs or {}
        if func is not F.scaled_dot_product_attention:
            return func(*args, **options)
        mask = options.get("attn_mask")
        added = None if mask is None else mask.to(args[0].dtype)
        fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        return fused(*args[:3], attn_mask=added)[0]


def _even_parts(heads: tuple[str, ...], batch_size: int) -> Parts:
    """Share a batch out over the heads."""
    bounds = [number * batch_size // len(heads) for number in range(len(heads) + 1)]
    shares = (
        (head, end - start) for head, (start, end) in zip(heads, pairwise(bounds), strict=True)
    )
    return tuple(share for share in shares if share[1])
