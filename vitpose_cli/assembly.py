"""From names and files to a ready labeler: weights, detector, device and precision resolved.

Every command that labels takes its options through here, so that `annotate` and `evaluate` mean
the same by the same words.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vitpose_cli.errors import ConfigError
from vitpose_cli.labeler import Labeler
from vitpose_cli.models.catalog import resolve_weights
from vitpose_cli.models.checkpoint import load_model, weights_hash
from vitpose_cli.models.detectors import DetectorOptions, WholeImage, open_detector
from vitpose_cli.models.estimator import EstimatorOptions, PoseEstimator, default_batch_size
from vitpose_cli.runtime import resolve_device, resolve_precision

WHOLE_IMAGE_POSE_THRESHOLD = 0.3
"""A whole photo taken as one box holds a person only if its mean keypoint score reaches this."""
