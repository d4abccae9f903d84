"""Photos cut to parts of bodies, and what is measured on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import save_weights, vitpose
from training_cases import annotation, picture_of, pose_in, write_coco

from vitpose_cli.errors import InputError
from vitpose_cli.evaluate.body_cuts import BodyCuts, CutPhotos, cut_bodies
from vitpose_cli.evaluate.evaluated_labels import evaluate_results
from vitpose_cli.media.frames import Frame, FrameFailure, FrameKey
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.pose.parts import BODY_PARTS, BodyPart
from vitpose_cli.records.coco import CocoDocument

COCO = keypoint_set("coco")
BOX = (20.0, 10.0, 100.0, 150.0)
"""Of the one person: 80 x 140 px, so that margins are 14 px."""


def document(*people: dict[str, Any]) -> CocoDocument:
    chosen = people or (annotation(1, BOX, area=5000),)
    images = [{"id": 1, "file_name": "a/1.png", "width": 120, "height": 160}]
    return CocoDocument(Path("x.json"), {}, tuple(images), (COCO.to_category(),), chosen)


def names_shown(cuts: BodyCuts) -> list[set[str]]:
    return [
        {name for name, v in zip(COCO.names, one["keypoints"][2::3], strict=True) if v}
        for one in cuts.document.annotations
    ]


def test_the_upper_half_ends_below_the_lowest_upper_keypoint() -> None:
    cuts = cut_bodies(document(), "upper")
    (cut,) = cuts.by_photo["a/1.png"]
    # Wrists are at 10 + 0.5 * 140 = 80, the margin is 0.1 * 140 = 14; hips at 82.8 are inside.
    assert cut.window == (20, 10, 100, 94)
    assert str(cut.key) == "a/1.png#1-upper"
    (shown,) = names_shown(cuts)
    assert shown == set(COCO.names[:13])
    (person,) = cuts.document.annotations
    assert person["bbox"] == [0, 0, 80, 84]
    assert person["area"] == 5000  # of the whole person
    assert person["num_keypoints"] == 13
    nose = pose_in(BOX)[0] - (20, 10)
    assert person["keypoints"][:3] == pytest.approx([*nose, 2])
    assert person["keypoints"][-3:] == [0, 0, 0]


def test_sides_are_those_of_the_picture() -> None:
    (left,), (right,) = (names_shown(cut_bodies(document(), part)) for part in ("left", "right"))
    # Seen from the front, a person's left is at the right.
    assert {"right_wrist", "right_elbow", "right_shoulder"} <= left
    assert {"left_wrist", "left_elbow", "left_shoulder"} <= right
    assert "left_wrist" not in left
    assert "right_wrist" not in right


def test_every_limb_is_a_photo_of_its_own() -> None:
    cuts = cut_bodies(document(), "limb")
    assert len(cuts.document.images) == 4
    shown = names_shown(cuts)
    for limb, parts in (("arm", ("wrist", "elbow")), ("leg", ("ankle", "knee"))):
        for side in ("left", "right"):
            whole = {f"{side}_{part}" for part in parts}
            assert sum(whole <= each for each in shown) == 1, limb


def test_whoever_cannot_be_cut_is_left_out() -> None:
    face = annotation(2, BOX)
    face["keypoints"][15:] = [0] * 36
    crowd = annotation(3, BOX, iscrowd=1)
    people = ({**one, "image_id": 1, "area": 1.0} for one in (annotation(1, BOX), face, crowd))
    cuts = cut_bodies(document(*people), "upper")
    assert [cut.key.media for cut in cuts.by_photo["a/1.png"]] == ["a/1.png#1-upper"]
    with pytest.raises(InputError, match="'lower'"):
        cut_bodies(document({**face, "image_id": 1, "area": 1.0}), "lower")


def test_windows_end_with_the_photo() -> None:
    beyond = {**annotation(1, (-10.0, -20.0, 130.0, 170.0)), "area": 1.0}
    for part in BODY_PARTS:
        for cuts in cut_bodies(document(beyond), part).by_photo.values():
            for cut in cuts:
                x0, y0, x1, y1 = cut.window
                assert 0 <= x0 < x1 <= 120
                assert 0 <= y0 < y1 <= 160


class Photo:
    """One photo, or none."""

    def __init__(self, whole: bool = True) -> None:
        image = np.asarray(picture_of(pose_in(BOX)))
        key = FrameKey("a/1.png")
        self.photo = Frame(key, image) if whole else FrameFailure(key, "damaged")
        self.expected = 1

    def frames(self, skip: Any = ()) -> Any:
        yield self.photo

    def read(self, key: FrameKey) -> Any:
        return self.photo


@pytest.mark.parametrize("part", BODY_PARTS)
def test_pixels_and_labels_move_alike(part: BodyPart) -> None:
    cuts = cut_bodies(document(), part)
    frames = list(CutPhotos(Photo(), cuts).frames())
    assert len(frames) == len(cuts.document.annotations)
    for frame, person in zip(frames, cuts.document.annotations, strict=True):
        assert isinstance(frame, Frame)
        assert list(frame.size_wh) == person["bbox"][2:]
        points = np.reshape(person["keypoints"], (-1, 3))
        for x, y, seen in points:
            if seen:  # keypoints are drawn red, the rest is dark
                assert frame.image[round(y), round(x), 0] > 60


def test_a_damaged_photo_fails_in_every_cut() -> None:
    cuts = cut_bodies(document(), "limb")
    source = CutPhotos(Photo(whole=False), cuts)
    frames = list(source.frames())
    assert [frame.error for frame in frames if isinstance(frame, FrameFailure)] == ["damaged"] * 4
    skipped = list(source.frames(skip={frames[0].key}))
    assert len(skipped) == 3


def test_a_known_distance_gives_the_known_ap() -> None:
    cuts = cut_bodies(document(), "upper")
    (person,) = cuts.document.annotations
    points = np.reshape(person["keypoints"], (-1, 3)).copy()
    points[:, 2] = 1.0
    # Each keypoint at its own distance, so that exp(-d² / (2 s² (2 sigma)²)) = 0.72 for all.
    sigmas = 2 * COCO.sigmas
    points[:, 0] += np.sqrt(-np.log(0.72) * 2 * 5000) * sigmas
    result = {"image_id": 1, "keypoints": points.ravel().tolist(), "score": 0.9}
    found = evaluate_results(cuts.document, [result])
    # OKS 0.72 passes the thresholds 0.5, 0.55, 0.6, 0.65 and 0.7 of ten. Keypoints that were cut
    # off do not count, wherever the network puts them.
    assert found.coco["AP"] == pytest.approx(0.5, abs=1e-6)
    assert found.keypoints[-1].count == 13
    assert found.keypoints[-1].oks == pytest.approx(0.72, abs=1e-3)


def test_the_command_measures_cuts(tmp_path: Path) -> None:
    write_coco(tmp_path, 3)
    save_weights(tmp_path / "w.safetensors")
    common = ["evaluate", "-a", "people.json", "-i", "images", "-w", "w.safetensors", "--json"]
    done = vitpose(*common, "--truncate", "limb", "--no-flip-test", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["truncate"] == "limb"
    assert found["num_people"] == found["num_images"] == found["num_predicted"] == 12
    assert found["num_failed"] == 0
    for wrong in (["--truncate", "head"], ["--truncate", "upper", "--detector", "whole-image"]):
        refused = vitpose(*common, *wrong, cwd=tmp_path)
        assert refused.returncode == 2
        assert "--truncate" in refused.stderr
