"""Torch modules and their weights: ViTPose, checkpoints, the catalog, detectors."""
