"""Label people and animals with ViTPose: photos and videos in, COCO-keypoint files out."""

__version__ = "0.1.0"
