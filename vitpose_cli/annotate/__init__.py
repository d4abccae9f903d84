"""From sources to a run folder: one process, one of several workers, or a Ray cluster's actors."""
