"""Label people and animals with ViTPose: photos and videos in, COCO-keypoint files out."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitpose_cli.pose_labeler import PoseLabeler

__all__ = ["PoseLabeler", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the labeler when it is first asked for: torch takes seconds to load."""
    if name == "PoseLabeler":
        from vitpose_cli.pose_labeler import PoseLabeler

        return PoseLabeler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
