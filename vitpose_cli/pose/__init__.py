"""The mathematics of a pose: keypoint sets, boxes, crops, heatmaps, OKS. numpy and torch only."""
