"""Object detectors of the transformers library: D-FINE, RT-DETR, RT-DETRv2, RF-DETR, DETR, ...

The only importer of transformers. Weights come from a folder; `catalog` downloads. The network and
its post-processing are the library's own. The pre-processing is ours where it can be: it takes the
fastest resampling for each frame, sends bytes to the device, a quarter of what the library would
send, and normalises there. Whether it can be is not read from the processor's many switches but
measured: once, on a noise picture, ours must give what the processor gives; else the processor
itself is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoImageProcessor, AutoModelForObjectDetection
from transformers.utils import logging as transformers_logging

from vitpose_cli.errors import ConfigError, WeightsError, in_short, is_out_of_memory
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.resizing import resize_image
from vitpose_cli.models.detection import (
    DEFAULT_THRESHOLD,
    DetectorOptions,
    detect_by_size,
    detections_of,
    find_classes,
)
from vitpose_cli.pose.instances import Detections

_LOADING_ERRORS = (
    OSError,  # missing files, a config that is no JSON
    ValueError,  # not a detector, code of its own
    KeyError,  # a config without what its kind needs
    TypeError,
    RuntimeError,  # tensors of other shapes
    ImportError,  # a backbone from a library that is not here
    SafetensorError,
)
_MODEL_INPUTS = ("pixel_values", "pixel_mask")


@dataclass(frozen=True, slots=True)
class Preparation:
    """Our own way from a frame to the network's input: resize, scale, shift.

    Attributes:
        size_wh: Width and height of the input, px; frames are stretched to it.
        antialias: Whether shrinking averages over all pixels.
        scale: (3, 1, 1) float32 factors of the grey values, by channel.
        shift: (3, 1, 1) float32, what is added after.
    """

    size_wh: tuple[int, int]
    antialias: bool
    scale: Tensor
    shift: Tensor

    @classmethod
    def equal_to(cls, processor: Any) -> Preparation | None:
        """Return the preparation that does what a transformers image processor does, if any.

        Processors that keep the aspect ratio, pad, or do something else of their own have none.
        """
        size = processor.size
        if not (size.get("height") and size.get("width")):
            return None
        mean, std = torch.zeros(3), torch.ones(3)
        if processor.do_normalize:
            mean, std = torch.tensor(processor.image_mean), torch.tensor(processor.image_std)
        scale = (processor.rescale_factor if processor.do_rescale else 1.0) / std[:, None, None]
        shift = (-mean / std)[:, None, None]
        size_wh = (size["width"], size["height"])
        # Shrunk by 2 and 1.5, noise tells every resampling from every other.
        shape = (size_wh[1] * 2, size_wh[0] * 3 // 2, 3)
        probe = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        wanted = processor(images=[probe], return_tensors="pt")
        if not wanted.get("pixel_mask", torch.ones(1)).all():
            return None
        two_levels = 2 * float(scale.max())
        for antialias in (True, False):
            candidate = cls(size_wh, antialias, scale, shift)
            ours = candidate.normalised(torch.from_numpy(candidate.resized([probe])))
            if ours.shape == wanted["pixel_values"].shape and torch.allclose(
                ours, wanted["pixel_values"], rtol=0, atol=two_levels
            ):
                return candidate
        return None

    def on(self, device: torch.device) -> Preparation:
        """Return the same, to normalise on `device`."""
        return replace(self, scale=self.scale.to(device), shift=self.shift.to(device))

    def resized(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Return images (H, W, 3) as one uint8 batch (B, H, W, 3) of the input's size."""
        return np.stack([resize_image(i, self.size_wh, antialias=self.antialias) for i in images])

    def normalised(self, pixels: Tensor) -> Tensor:
        """Return a uint8 batch (B, H, W, 3) as the network's input (B, 3, H, W), float32."""
        return pixels.permute(0, 3, 1, 2).float().mul_(self.scale).add_(self.shift)


class TransformersDetector:
    """An object detector of the transformers library, ready to find one or a few classes.

    Attributes:
        preparation: Our pre-processing, None where the processor's own is used.
        threshold: Boxes scored below it are dropped.
    """

    def __init__(self, model: Any, processor: Any, options: DetectorOptions, name: str) -> None:
        """Take a model in float32 and its image processor.

        Args:
            model: A transformers model for object detection.
            processor: Its image processor, with `post_process_object_detection`.
            options: How to run it.
            name: What to call it in errors.

        Raises:
            ConfigError: It does not know the wanted classes, or cannot run at the wanted size.
        """
        self.threshold = DEFAULT_THRESHOLD if options.threshold is None else options.threshold
        self._labels = find_classes(model.config.id2label, options.classes, name)
        self._device = options.device
        self._dtype = options.finer_dtype
        self._processor = processor
        self._model = model.eval().to(options.device)
        if options.input_wh is not None:
            processor.size = {"width": options.input_wh[0], "height": options.input_wh[1]}
        preparation = Preparation.equal_to(processor)
        self.preparation = preparation and preparation.on(options.device)
        if options.input_wh is not None:
            self._try(options.input_wh, name)

    @classmethod
    def open(
        cls, folder: Path, options: DetectorOptions, *, name: str | None = None
    ) -> TransformersDetector:
        """Load a detector from a folder as transformers saves it.

        Args:
            folder: Holds config.json, preprocessor_config.json and model.safetensors.
            options: How to run it.
            name: What to call it in errors; the folder by default.

        Raises:
            ConfigError: It does not know the wanted classes, or cannot run at the wanted size.
            WeightsError: It cannot be read, is no detector, or lacks weights.
        """
        name = name or str(folder)
        try:
            with _without_bars():
                model, report = AutoModelForObjectDetection.from_pretrained(
                    folder,
                    dtype=torch.float32,
                    output_loading_info=True,
                    trust_remote_code=False,
                )
            processor = AutoImageProcessor.from_pretrained(folder, trust_remote_code=False)
        except _LOADING_ERRORS as error:
            if is_out_of_memory(error):
                raise
            raise WeightsError(
                f"The detector {name} cannot be loaded: {in_short(error)}",
                "It takes a transformers model for object detection with its config.json, "
                "preprocessor_config.json and model.safetensors.",
            ) from error
        missing = sorted(
            key for key in report["missing_keys"] if not key.endswith("num_batches_tracked")
        )
        if missing:
            raise WeightsError(
                f"The weights of the detector {name} lack {len(missing)} tensors, among them "
                f"{', '.join(missing[:3])}.",
                "Take a checkpoint that was trained for object detection.",
            )
        if not hasattr(processor, "post_process_object_detection"):
            raise WeightsError(
                f"The image processor of {name} ({type(processor).__name__}) reads no boxes.",
                "Take the preprocessor_config.json that belongs to the detector.",
            )
        return cls(model, processor, options, name)

    @torch.inference_mode()
    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return the boxes of each frame; see `Detector`."""
        sizes_wh = [(0, 0) if self.preparation else frame.shown_wh for frame in frames]
        return detect_by_size(frames, sizes_wh, lambda group, _: self._detect(group))

    def _detect(self, frames: list[Frame]) -> list[Detections]:
        """Return the boxes of frames that share a batch."""
        return [
            detections_of(result, self._labels, self.threshold, frame.size_wh)
            for frame, result in zip(frames, self._run(frames), strict=True)
        ]

    def _run(self, frames: list[Frame]) -> list[dict[str, Tensor]]:
        """Return `boxes` (xyxy, frame px), `scores` and `labels` of each frame, on the host."""
        inputs = self._inputs(frames)
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32):
            outputs = self._model(**inputs)
        on_host = SimpleNamespace(
            logits=outputs.logits.float().cpu(), pred_boxes=outputs.pred_boxes.float().cpu()
        )
        results: list[dict[str, Tensor]] = self._processor.post_process_object_detection(
            on_host,
            threshold=self.threshold,
            target_sizes=[frame.image.shape[:2] for frame in frames],
        )
        return results

    def _inputs(self, frames: list[Frame]) -> dict[str, Tensor]:
        """Return the network's inputs, on the device."""
        if self.preparation is None:
            images = [resize_image(frame.image, frame.shown_wh) for frame in frames]
            # Told, because the processor takes a frame 1 or 3 px high for one of channels.
            encoded = self._processor(
                images=images, input_data_format="channels_last", return_tensors="pt"
            )
            return {key: encoded[key].to(self._device) for key in _MODEL_INPUTS if key in encoded}
        pixels = torch.from_numpy(self.preparation.resized([frame.image for frame in frames]))
        if self._device.type == "cuda":
            pixels = pixels.pin_memory()
        pixels = pixels.to(self._device, non_blocking=True)
        return {"pixel_values": self.preparation.normalised(pixels)}

    def _try(self, input_wh: tuple[int, int], name: str) -> None:
        """Run a black picture, so that a size which the network cannot take is told at once."""
        try:
            with torch.inference_mode():
                self._run([Frame(FrameKey(""), np.zeros((*input_wh[::-1], 3), np.uint8))])
        except (RuntimeError, ValueError) as error:
            if is_out_of_memory(error):
                raise
            raise ConfigError(
                f"The detector {name} cannot run at {input_wh[0]}x{input_wh[1]} px: {error}",
                "Take another size, mostly a multiple of 32, or leave it out.",
            ) from error


@contextmanager
def _without_bars() -> Iterator[None]:
    """Keep transformers from drawing a bar for what takes no time."""
    were_on = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if were_on:
            transformers_logging.enable_progress_bar()
