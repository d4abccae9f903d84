"""The Python door: weights loaded once, then people for any picture, photo or video.

What `vitpose annotate` does without its run folder. It is the one class meant to be imported from
the package itself, `from vitpose_cli import PoseLabeler`; docs/python.md shows more.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.assembly import LabelerOptions, assemble
from vitpose_cli.errors import InputError
from vitpose_cli.labeler import Labeler
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.source import open_source
from vitpose_cli.models.boxes_file import BoxesFile
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.records.as_documented import as_documented
from vitpose_cli.records.record import FrameRecord


class PoseLabeler:
    """A detector and a pose network, loaded and ready.

    Attributes:
        keypoint_set: What the keypoints are: names, edges, flip pairs.
    """

    def __init__(
        self,
        weights: str | Path = "tiny",
        *,
        detector: str | None = None,
        boxes: str | Path | None = None,
        keypoint_set: str | None = None,
        device: str = "auto",
        flip_test: bool = True,
    ) -> None:
        """Load everything, as `vitpose annotate` does by options of the same names.

        For all other options, see `with_options`.

        Args:
            weights: Catalog name or file.
            detector: Catalog name, file, folder, Hugging Face id or `whole-image`; None takes the
                one that ships with the tool.
            boxes: COCO annotations or results whose boxes are used instead of a detector.
            keypoint_set: The head to use of weights that have several.
            device: auto, cpu, cuda, cuda:N or mps.
            flip_test: Average with the mirrored crop: better, and twice the work.

        Raises:
            ConfigError: Options contradict each other or this machine.
            InputError: The boxes file cannot be used.
            WeightsError: Weights or detector cannot be found, read or matched.
        """
        self._load(
            LabelerOptions(
                weights=str(weights),
                detector=detector,
                boxes=None if boxes is None else Path(boxes),
                keypoint_set=keypoint_set,
                device=device,
                flip_test=flip_test,
            )
        )

    @classmethod
    def with_options(cls, options: LabelerOptions) -> PoseLabeler:
        """Load what `options` say.

        Raises:
            ConfigError, InputError, WeightsError: As the constructor.
        """
        labeler = cls.__new__(cls)
        labeler._load(options)
        return labeler

    def label(self, *sources: str | Path) -> Iterator[FrameRecord]:
        """Yield a record for each photo and each frame of each video, decoding ahead.

        A record has a `key` (text of it: the file name), `instances` (arrays of boxes, keypoints
        and scores, in px) and the picture's `size_wh`; or an `error`, and these are None.
        Keypoints outside of the picture have visibility 0 and boxes end at its border, as in the
        document of `annotate`.

        Args:
            sources: Folders, files, globs, `@list.txt`.

        Raises:
            InputError: Sources are no paths or cannot be used, a boxes file names none of them, or
                nothing can be read any more where they lie, as on a share whose server is gone.
        """
        wrong = next((each for each in sources if not isinstance(each, str | Path)), None)
        if wrong is not None:
            raise InputError(
                f"A source is a path, not {type(wrong).__name__}.", "Of a list: label(*paths)."
            )
        source = open_source([str(each) for each in sources])
        if isinstance(self._labeler.detector, BoxesFile):
            self._labeler.detector.check(source.media)
        yield from map(as_documented, self._labeler.label(source.frames()))

    def people(self, image: NDArray[np.uint8]) -> Instances:
        """Return the people in one picture, at whose border their boxes end.

        Keypoints outside of it have visibility 0.

        Args:
            image: (H, W, 3) uint8 RGB, upright. OpenCV's pictures are BGR: `image[:, :, ::-1]`.

        Raises:
            InputError: It is something else, boxes come from a file, or the detector failed on it.
        """
        if isinstance(self._labeler.detector, BoxesFile):
            raise InputError(
                "Boxes of a file belong to named photos, and a picture has no name.",
                "Use label(), or give a detector.",
            )
        given = np.asarray(image)
        if given.dtype != np.uint8 or given.ndim != 3 or given.shape[2] != 3 or not given.size:
            raise InputError(
                f"The picture is {given.dtype} {given.shape}, expected uint8 (H, W, 3).",
                "Give RGB from 0 to 255, rows first.",
            )
        frame = Frame(FrameKey("picture"), np.require(given, requirements=["C", "W"]))
        (record,) = map(as_documented, self._labeler.label([frame]))
        if record.instances is None:
            raise InputError(f"The picture cannot be labelled: {record.error}")
        return record.instances

    def _load(self, options: LabelerOptions) -> None:
        assembly = assemble(options)
        self.keypoint_set: KeypointSet = assembly.estimator.keypoint_set
        self._labeler = Labeler(
            assembly.detector,
            assembly.estimator,
            assembly.weights_hash,
            detect_every=options.detect_every,
        )
