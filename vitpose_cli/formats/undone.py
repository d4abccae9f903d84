"""Whether a file lacks what was corrected in a frame before: it would undo that if it were taken.

Files that come back the same way, under one name, may be of one annotator who went on, or of
several who were given the same export. Who goes on has all that was corrected before, or has
changed it once more; in the file of somebody else it is as it was exported.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.formats.people import Comparison
from vitpose_cli.pose.instances import Instances
from vitpose_cli.records.record import FrameRecord


def undoes(before: FrameRecord, now: FrameRecord, file: Comparison, also_now: Comparison) -> bool:
    """Tell whether something that people changed in a frame is in a file as it was before.

    Args:
        before: The labels that were changed, and from which the file was exported.
        now: The labels that they became.
        file: What the file makes of `before`.
        also_now: What the file makes of `now`.
    """
    old, new, theirs = before.instances, now.instances, file.instances
    if old is None or new is None:
        return False
    if set(file.uids).intersection(before.uids).difference(now.uids):
        return True  # somebody who was removed
    if set(now.uids).difference(before.uids, also_now.uids):
        return True  # somebody who was added
    rows = (
        (old, before.uids.index(uid), new, now.uids.index(uid), theirs, file.uids.index(uid))
        for uid in before.uids
        if uid in now.uids and uid in file.uids
    )
    return any(_undoes_person(*each) for each in rows)


def _undoes_person(
    old: Instances, row: int, new: Instances, new_row: int, theirs: Instances, their_row: int
) -> bool:
    """Tell whether anything of a person is in a file as it was, and not as it is now."""
    changed = _differing_keypoints(old, row, new, new_row)
    if (changed & ~_differing_keypoints(old, row, theirs, their_row)).any():
        return True
    if old.track_ids is not None and new.track_ids is not None and theirs.track_ids is not None:
        was, now, then = old.track_ids[row], new.track_ids[new_row], theirs.track_ids[their_row]
        if was != now and was == then:
            return True
    # A box alone: with keypoints it grows by itself.
    is_other_box = not np.array_equal(old.boxes[row], new.boxes[new_row])
    return (
        is_other_box
        and not changed.any()
        and np.array_equal(old.boxes[row], theirs.boxes[their_row])
    )


def _differing_keypoints(
    one: Instances, row: int, other: Instances, other_row: int
) -> NDArray[np.bool_]:
    """Return which keypoints of a person are elsewhere, hidden or shown, (K,)."""
    moved = (one.keypoints[row] != other.keypoints[other_row]).any(axis=1)
    differing: NDArray[np.bool_] = moved | (one.visibility[row] != other.visibility[other_row])
    return differing
