"""The colours of people and keypoints in other programs: left blue, right orange, as we draw them.

The centre, which we draw in white, is grey, as those programs have white lists of labels.
"""

from __future__ import annotations

from collections.abc import Mapping

from vitpose_cli.pose.keypoints import Side

PERSON = "#009e73"
BY_SIDE: Mapping[Side, str] = {"left": "#0072b2", "right": "#d55e00", "centre": "#777777"}
