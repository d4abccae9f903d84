"""The weights in the folder of a training run, for whoever labels with them or learns on.

What else is in the folder is `training.checkpoints`' business.
"""

from __future__ import annotations

from pathlib import Path

CONFIG = "config.yaml"
BEST = "best.safetensors"
LAST = "last.safetensors"


def is_training_run(folder: Path) -> bool:
    """Whether a folder is that of a training run."""
    return (folder / CONFIG).exists()


def trained_weights(folder: Path) -> Path:
    """Return the file of a training run to label with: the best, or the last if none is."""
    best = folder / BEST
    return best if best.exists() else folder / LAST
