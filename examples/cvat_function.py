"""ViTPose inside of CVAT: labels every frame of a task, or the open frame at a click.

    pip install vitpose-cli cvat-cli
    cvat-cli --server-host app.cvat.ai task auto-annotate 137 --function-file cvat_function.py \
        -p weights=str:tiny -p detector=str:dfine-s

The task needs the labels that `vitpose export --format cvat` writes to labels.json, of which
attributes and drawing are not used here. What a person corrects comes back with `vitpose import`.
For an agent that answers clicks: `cvat-cli function create-native vitpose --function-file ...`.
"""

from __future__ import annotations

import cvat_sdk.auto_annotation as cvataa
import numpy as np
import PIL.Image
import PIL.ImageOps
from cvat_sdk import models

from vitpose_cli.assembly import LabelerOptions, assemble
from vitpose_cli.labeler import Labeler
from vitpose_cli.media.frames import Frame, FrameKey

PERSON = 0


class ViTPose:
    """A detection function of CVAT that gives skeletons."""

    def __init__(self, options: LabelerOptions) -> None:
        """Load the network and the detector once."""
        assembly = assemble(options)
        self._labeler = Labeler(assembly.detector, assembly.estimator, assembly.weights_hash)
        keypoint_set = assembly.estimator.keypoint_set
        self.spec = cvataa.DetectionFunctionSpec(
            labels=[
                cvataa.skeleton_label_spec(
                    keypoint_set.category,
                    PERSON,
                    [cvataa.keypoint_spec(name, k) for k, name in enumerate(keypoint_set.names)],
                )
            ]
        )

    def detect(
        self, context: cvataa.DetectionFunctionContext, image: PIL.Image.Image
    ) -> list[models.LabeledShapeRequest]:
        """Return a skeleton for everybody in a frame; keypoints without a label are outside."""
        upright = PIL.ImageOps.exif_transpose(image).convert("RGB")
        frame = Frame(FrameKey(context.frame_name or "frame"), np.asarray(upright))
        (record,) = self._labeler.label([frame])
        people = record.instances
        if people is None:
            return []
        wanted = people.select(people.scores >= (context.conf_threshold or 0))
        return [
            cvataa.skeleton(
                PERSON,
                elements=[
                    cvataa.keypoint(k, [float(x), float(y)], outside=v == 0, occluded=v == 1)
                    for k, ((x, y), v) in enumerate(zip(points, visibility, strict=True))
                ],
            )
            for points, visibility in zip(wanted.keypoints, wanted.visibility.tolist(), strict=True)
        ]


def create(
    weights: str = "tiny",
    detector: str | None = None,
    keypoint_set: str | None = None,
    device: str = "auto",
    keypoint_threshold: float = 0.3,
) -> ViTPose:
    """Return the function; CVAT's command line passes `-p name=type:value` on to here."""
    return ViTPose(
        LabelerOptions(
            weights=weights,
            detector=detector,
            keypoint_set=keypoint_set,
            device=device,
            keypoint_threshold=keypoint_threshold,
        )
    )
