"""Window attention against naive loops over single tokens."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from timm.layers import Attention
from torch import Tensor

from vitpose_cli.errors import ConfigError
from vitpose_cli.models.attention import AttentionConfig, AttentionPattern, WindowAttention

DIM, HEADS = 16, 2
TOLERANCE = 1e-5  # float32 softmax in another order


@pytest.fixture(name="full")
def full_attention() -> Any:
    torch.manual_seed(0)
    attention = Attention(DIM, num_heads=HEADS, qkv_bias=True)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return attention


def cells(size: int, window: int, shift: int) -> list[list[int]]:
    """Cut one axis into the runs of positions that lie in one (shifted) window, borders short."""
    starts = sorted({0, *range(shift or window, size, window)})
    return [
        list(range(start, stop))
        for start, stop in zip(starts, [*starts[1:], size], strict=True)
        if stop > start
    ]


def naive(full: Any, tokens: Tensor, grid_wh: tuple[int, int], options: dict[str, Any]) -> Tensor:
    """Attend token by token: own (shifted) window, plus the mean token of every plain window."""
    width, height = grid_wh
    window_w, window_h = (
        min(window, grid) for window, grid in zip(options["window_wh"], grid_wh, strict=True)
    )
    shifted = options.get("shifted", False)
    shift_w = window_w // 2 if shifted and window_w < width else 0
    shift_h = window_h // 2 if shifted and window_h < height else 0
    context = [
        tokens[:, [row * width + column for row in rows for column in columns]].mean(1)
        for rows in cells(height, window_h, 0)
        for columns in cells(width, window_w, 0)
    ]
    out = torch.empty_like(tokens)
    head_dim = DIM // HEADS
    for rows in cells(height, window_h, shift_h):
        for columns in cells(width, window_w, shift_w):
            own = [row * width + column for row in rows for column in columns]
            seen = [tokens[:, index] for index in own]
            seen += context if options.get("pooled") else []
            _, keys, values = full.qkv(torch.stack(seen, 1)).split(DIM, -1)
            for index in own:
                query = full.qkv(tokens[:, index])[:, None, :DIM]
                for head in range(HEADS):
                    part = slice(head * head_dim, (head + 1) * head_dim)
                    logits = (query[..., part] * keys[..., part]).sum(-1) * head_dim**-0.5
                    out[:, index, part] = (logits.softmax(1)[..., None] * values[..., part]).sum(1)
    return full.proj(out)  # type: ignore[no-any-return]


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize(
    ("grid_wh", "window_wh"),
    [
        ((6, 4), (3, 2)),
        ((4, 8), (4, 4)),  # one window across: no shift along x
        ((5, 7), (3, 4)),  # padded on both axes
        ((7, 3), (2, 8)),  # padded, and a window larger than the grid
    ],
)
@torch.no_grad()
def test_windows_equal_a_loop_over_tokens(
    full: Any, grid_wh: tuple[int, int], window_wh: tuple[int, int], shifted: bool, pooled: bool
) -> None:
    tokens = torch.randn(2, grid_wh[0] * grid_wh[1], DIM)
    options: dict[str, Any] = {"window_wh": window_wh, "shifted": shifted, "pooled": pooled}
    attention = WindowAttention(full, grid_wh=grid_wh, **options)
    expected = naive(full, tokens, grid_wh, options)
    torch.testing.assert_close(attention(tokens), expected, rtol=0, atol=TOLERANCE)


@torch.no_grad()
def test_a_window_of_the_grids_size_is_full_attention(full: Any) -> None:
    tokens = torch.randn(3, 24, DIM)
    attention = WindowAttention(full, grid_wh=(4, 6), window_wh=(4, 6), shifted=True)
    torch.testing.assert_close(attention(tokens), full(tokens), rtol=0, atol=TOLERANCE)


@torch.no_grad()
def test_shifting_and_pooling_carry_information_between_windows(full: Any) -> None:
    tokens = torch.randn(1, 64, DIM)
    changed = tokens.clone()
    changed[:, -1] += 1.0
    reached = {}
    for kind in ("plain", "shifted", "pooled"):
        attention = WindowAttention(
            full,
            grid_wh=(8, 8),
            window_wh=(4, 4),
            shifted=kind == "shifted",
            pooled=kind == "pooled",
        )
        moved = (attention(changed) - attention(tokens)).abs().amax((0, 2)) > 0
        reached[kind] = int(moved.sum())
    assert reached == {"plain": 16, "shifted": 4, "pooled": 64}


def test_gradients_flow_and_stay_finite_with_padding(full: Any) -> None:
    tokens = torch.randn(2, 35, DIM, requires_grad=True)
    attention = WindowAttention(full, grid_wh=(5, 7), window_wh=(3, 4), shifted=True, pooled=True)
    attention(tokens).square().sum().backward()
    for value in (tokens, *full.parameters()):
        assert value.grad is not None
        assert value.grad.isfinite().all()
        assert value.grad.abs().sum() > 0


def kinds(pattern: AttentionPattern, depth: int = 12) -> str:
    """Spell the blocks of a pattern: F full, w window, s shifted, p pooled, b both."""
    config = AttentionConfig(pattern, (2, 2))
    spelled = ""
    for block in range(depth):
        full = Attention(DIM, num_heads=HEADS, qkv_bias=True)
        attention = config.build(full, block=block, depth=depth, grid_wh=(4, 4))
        if attention is full:
            spelled += "F"
            continue
        shifted = any(attention.shift_hw)
        spelled += {(0, 0): "w", (1, 0): "s", (0, 1): "p", (1, 1): "b"}[shifted, attention.pooled]
    return spelled


def test_patterns_of_blocks() -> None:
    assert {pattern: kinds(pattern) for pattern in get_args(AttentionPattern)} == {
        "full": "FFFFFFFFFFFF",
        "window": "wwwwwwwwwwww",
        "window+shift": "wswswswswsws",
        "window+pool": "pppppppppppp",
        "window+shift+pool": "pbpbpbpbpbpb",
        "full-every-quarter+window": "wwFwwFwwFwwF",
    }
    assert kinds("full-every-quarter+window", depth=4) == "FFFF"


def test_kinds_share_their_weights(full: Any) -> None:
    windowed = WindowAttention(full, grid_wh=(5, 7), window_wh=(3, 4), shifted=True, pooled=True)
    assert windowed.state_dict().keys() == full.state_dict().keys()


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(ConfigError, match="holds no patch"):
        AttentionConfig("window", (8, 0))
