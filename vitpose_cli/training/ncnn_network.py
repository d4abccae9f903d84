"""Networks in ncnn's format, read into torch: a text of layers and a file of their numbers.

They then run where everything else does, on a GPU, too, and many crops at once, which ncnn itself,
a runtime for phones, does not. The layers are those of PP-TinyPose (Lite-HRNet); a network with
others is refused by their names. Both files are described in ncnn's wiki, "param and model file
structure" and "operators"; one ncnn blob is consumed by exactly one layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from vitpose_cli.errors import WeightsError
from vitpose_cli.files import reason_of

_MAGIC = "7767517"
_HALF = 0x01306B47
"""Tag of weights stored in half precision; 0 says float32."""

_SIZES = -23300
"""The parameter that lists the sizes of a slice's parts."""

_EVENLY = "-233"
"""A slice's size that means: the same share of what is left for each."""

_Run = Callable[[list[Tensor]], list[Tensor]]


@dataclass(frozen=True, slots=True)
class Layer:
    """One line of a .param file.

    Attributes:
        kind: Its type, such as Convolution.
        name: Its name.
        inputs: The blobs that it takes.
        outputs: The blobs that it makes.
        options: Its parameters by number, as written.
    """

    kind: str
    name: str
    inputs: list[str]
    outputs: list[str]
    options: Mapping[int, str]

    @classmethod
    def of_line(cls, line: str) -> Layer:
        """Read a line; raises ValueError where it is none."""
        kind, name, taken, made, *rest = line.split()
        first, last = int(taken), int(taken) + int(made)
        if len(rest) < last:
            raise ValueError(f"the line of {name} ends too early")
        pairs = (word.split("=", 1) for word in rest[last:])
        options = {int(key): value for key, value in pairs}
        return cls(kind, name, rest[:first], rest[first:last], options)

    def number(self, key: int, default: int = 0) -> int:
        """Return a parameter."""
        return int(float(self.options.get(key, default)))

    def only(self, allowed: Mapping[int, tuple[int, ...]]) -> None:
        """Refuse parameters that are not known.

        Args:
            allowed: The values of each that are, by its number; none where any is.

        Raises:
            WeightsError: A parameter has another value, or is not named.
        """
        for key, value in self.options.items():
            values = allowed.get(key)
            if values is None or (values and self.number(key) not in values):
                raise WeightsError(
                    f"The layer {self.name} ({self.kind}) has the parameter {key}={value}, "
                    "which cannot be read here.",
                    _KNOWN_HINT,
                )


class _Numbers:
    """A .bin file, read from its beginning to its end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def plain(self, count: int) -> NDArray[np.float32]:
        """Return the next float32 numbers."""
        return self._take(count, "<f4").astype(np.float32)

    def tagged(self, count: int) -> NDArray[np.float32]:
        """Return the next weights, which a tag says the format of."""
        tag = int(self._take(1, "<u4")[0])
        if tag not in (0, _HALF):
            raise WeightsError(
                f"Its weights are stored as {tag:#x}, which cannot be read here.",
                "Give the network in float32 or in half precision.",
            )
        if tag == 0:
            return self.plain(count)
        halves = self._take(count + count % 2, "<f2")  # each array ends on four bytes
        return halves[:count].astype(np.float32)

    def end(self) -> None:
        """Say whether something is left; raises ValueError where it is."""
        if self._place != len(self._data):
            raise ValueError(f"{len(self._data) - self._place} bytes belong to no layer")

    def _take(self, count: int, dtype: str) -> NDArray[np.generic]:
        size = count * np.dtype(dtype).itemsize
        if self._place + size > len(self._data):
            raise ValueError("there are fewer numbers than the layers have")
        taken = np.frombuffer(self._data, dtype, count, self._place)
        self._place += size
        return taken


class NcnnModule(nn.Module):
    """A network of ncnn's with one input and one output."""

    def __init__(self, layers: list[Layer], numbers: bytes) -> None:
        """Build its layers.

        Args:
            layers: In the order in which they run.
            numbers: Their weights, in that order.

        Raises:
            ValueError: The two do not fit each other.
            WeightsError: There is a layer that is not known.
        """
        super().__init__()
        unknown = sorted({layer.kind for layer in layers} - _KINDS.keys())
        if unknown:
            raise WeightsError(
                f"It has layers that cannot be read here: {', '.join(unknown)}.", _KNOWN_HINT
            )
        source = _Numbers(numbers)
        self.convolutions = nn.ModuleList()
        self._steps: list[tuple[Layer, _Run]] = []
        inputs = [name for layer in layers if layer.kind == "Input" for name in layer.outputs]
        waiting = set(inputs)
        for layer in layers:
            if layer.kind == "Input":
                continue
            if not waiting.issuperset(layer.inputs):
                raise ValueError(f"{layer.name} takes what no layer before it makes")
            waiting = waiting - set(layer.inputs) | set(layer.outputs)
            run = _KINDS[layer.kind](layer, source)
            if isinstance(run, nn.Module):
                self.convolutions.append(run)
            self._steps.append((layer, run))
        source.end()
        if len(inputs) != 1 or len(waiting) != 1:
            raise ValueError("it has more than one input or output")
        self._input, self._output = inputs[0], waiting.pop()

    def forward(self, pixels: Tensor) -> Tensor:
        """Return what comes out (B, C', H', W') for pixels (B, C, H, W)."""
        blobs = {self._input: pixels}
        for layer, run in self._steps:
            made = run([blobs.pop(name) for name in layer.inputs])
            blobs.update(zip(layer.outputs, made, strict=True))
        return blobs[self._output]


def read_network(param: Path) -> NcnnModule:
    """Read a .param file and the .bin file beside it.

    Raises:
        WeightsError: They are missing or damaged, or have layers that are not known.
    """
    try:
        text = param.read_text(encoding="utf-8", errors="replace")
        numbers = param.with_suffix(".bin").read_bytes()
    except OSError as error:
        raise WeightsError(
            f"Cannot read the network {error.filename}: {reason_of(error)}.",
            "Give the .param file; the .bin file lies beside it.",
        ) from error
    try:
        magic, _, *lines = text.splitlines() or [""]
        if magic.strip() != _MAGIC:
            raise ValueError("it does not begin with 7767517")
        return NcnnModule([Layer.of_line(line) for line in lines if line.strip()], numbers)
    except (ValueError, OverflowError) as error:
        raise WeightsError(
            f"{param} cannot be read as an ncnn network: {error}.",
            "Copy both of its files again.",
        ) from error
    except WeightsError as error:
        raise WeightsError(f"{param} cannot be used. {error.message}", error.hint) from error


class _Convolution(nn.Module):
    """A convolution with what may follow it."""

    def __init__(self, layer: Layer, numbers: _Numbers) -> None:
        super().__init__()
        sizes = range(8) if layer.kind == "ConvolutionDepthWise" else range(7)  # 7 are the groups
        layer.only({**dict.fromkeys(sizes, ()), 9: (0, 1)})
        out, side = layer.number(0), layer.number(1)
        weights = numbers.tagged(layer.number(6)).reshape(out, -1, side, side)
        bias = numbers.plain(out) if layer.number(5) else np.zeros(out, np.float32)
        self.weight = nn.Parameter(torch.from_numpy(weights), requires_grad=False)
        self.bias = nn.Parameter(torch.from_numpy(bias), requires_grad=False)
        self.stride, self.padding = layer.number(3, 1), layer.number(4)
        self.dilation, self.groups = layer.number(2, 1), layer.number(7, 1)
        self.rectified = layer.number(9) == 1

    def forward(self, blobs: list[Tensor]) -> list[Tensor]:
        found = F.conv2d(
            blobs[0], self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )
        return [F.relu(found) if self.rectified else found]


def _rectifier(layer: Layer, numbers: _Numbers) -> _Run:
    layer.only({0: (0,)})
    return lambda blobs: [F.relu(blobs[0])]


def _sum(layer: Layer, numbers: _Numbers) -> _Run:
    layer.only({0: (0,), 1: (0,)})
    return lambda blobs: [blobs[0] + blobs[1]]


def _concatenation(layer: Layer, numbers: _Numbers) -> _Run:
    layer.only({0: (0,)})
    return lambda blobs: [torch.cat(blobs, dim=1)]


def _copies(layer: Layer, numbers: _Numbers) -> _Run:
    count = len(layer.outputs)
    return lambda blobs: blobs * count


def _parts(layer: Layer, numbers: _Numbers) -> _Run:
    layer.only({1: (0,), _SIZES: ()})
    count, *sizes = layer.options.get(_SIZES, "0").split(",")
    if int(count) != len(layer.outputs) or set(sizes) != {_EVENLY}:
        raise ValueError(f"{layer.name} cuts unevenly")

    def run(blobs: list[Tensor]) -> list[Tensor]:
        return list(blobs[0].chunk(len(layer.outputs), dim=1))

    return run


def _reshaping(layer: Layer, numbers: _Numbers) -> _Run:
    layer.only({0: (), 1: (), 2: ()})
    width, height, channels = (layer.number(key, -1) for key in (0, 1, 2))
    return lambda blobs: [blobs[0].reshape(-1, channels, height, width)]


def _transposition(layer: Layer, numbers: _Numbers) -> _Run:
    layer.only({0: (2,)})
    return lambda blobs: [blobs[0].transpose(1, 2)]


def _resizing(layer: Layer, numbers: _Numbers) -> _Run:
    layer.only({0: (1, 2), 1: (), 2: (), 3: (), 4: (), 6: (0, 1)})
    nearest, size = layer.number(0) == 1, (layer.number(3), layer.number(4))
    scale = tuple(float(layer.options.get(key, 1)) for key in (2, 1))
    aligned = None if nearest else layer.number(6) == 1
    how = {"size": size} if all(size) else {"scale_factor": scale}
    mode = "nearest" if nearest else "bilinear"
    return lambda blobs: [F.interpolate(blobs[0], **how, mode=mode, align_corners=aligned)]


_KINDS: dict[str, Callable[[Layer, _Numbers], _Run]] = {
    "BinaryOp": _sum,
    "Concat": _concatenation,
    "Convolution": _Convolution,
    "ConvolutionDepthWise": _Convolution,
    "Input": _copies,
    "Interp": _resizing,
    "Permute": _transposition,
    "ReLU": _rectifier,
    "Reshape": _reshaping,
    "Slice": _parts,
    "Split": _copies,
}

_KNOWN_HINT = f"Known are the layers of PP-TinyPose: {', '.join(sorted(_KINDS))}."
