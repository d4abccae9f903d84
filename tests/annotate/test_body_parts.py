"""Photos that show a part of a body alone, each taken as one box."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
from runs import EXAMPLES, vitpose


def test_a_body_cut_by_the_photo_is_kept_on_request(tmp_path: Path) -> None:
    photo = cv2.imread(str(EXAMPLES / "camera.jpg"))
    assert photo is not None
    cv2.imwrite(str(tmp_path / "arms.png"), photo[205:])  # few keypoints, and so a low mean
    numbers = {}
    for name, further in {"usual": [], "every": ["--box-threshold", "0"]}.items():
        run = tmp_path / name
        photo_file = tmp_path / "arms.png"
        done = vitpose("annotate", photo_file, "-o", run, "--detector", "whole-image", *further)
        assert done.returncode == 0, done.stderr
        numbers[name] = len(json.loads((run / "annotations.json").read_bytes())["annotations"])
    assert numbers == {"usual": 0, "every": 1}
