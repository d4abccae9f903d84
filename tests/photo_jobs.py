"""A labelling job of photos alone, for tests of whole runs of `vitpose annotate`."""

from __future__ import annotations

from pathlib import Path

from annotate_jobs import Job
from runs import save_boxes, save_photos, save_weights, vitpose

NUM_PHOTOS = 70  # three chunks, the last of them short


def make_photo_job(folder: Path) -> Job:
    """Make the photos, and label them."""
    names = save_photos(folder / "photos", NUM_PHOTOS)
    job = Job(
        folder / "photos",
        save_boxes(folder / "boxes.json", names),
        save_weights(folder / "weights.safetensors"),
        folder / "run",
    )
    done = vitpose(*job.arguments(job.run))
    assert done.returncode == 0, done.stderr
    return job
