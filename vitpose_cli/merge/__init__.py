"""Several sets of labels as one, in a file or a run folder."""
