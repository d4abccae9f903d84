"""Torch modules and their weights: ViTPose, checkpoints, the catalog, detectors."""

from vitpose_cli.models.late_compiler import import_without_compiler

# Before any other module here imports them: a third of the time to the first label.
import_without_compiler("torchvision", "timm.models.vision_transformer")
