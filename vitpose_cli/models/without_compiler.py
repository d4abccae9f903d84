"""Imported before whatever imports timm or torchvision, this spares loading PyTorch's compiler.

A third of the time to the first label. A call would have to stand between imports; the package
itself must not import torch, because `vitpose weights list` needs none.
"""

from vitpose_cli.models.late_compiler import import_without_compiler

import_without_compiler("torchvision", "timm.models.vision_transformer")
