"""The pack of further people: who gets into it, and what it says of them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from runs import program

from vitpose_cli.training.packs import Pack

SCRIPT = Path(__file__).parents[2] / "weights" / "recipes" / "pose" / "more_people.py"
SOURCE, PHOTOS = "willow_actions", 6


def make(data: Path, out: Path) -> str:
    """Run the script; return what it prints."""
    done = program(SCRIPT, data, "--out", out)
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_known(path: Path, pack: Pack | None, rows: list[int]) -> None:
    """Write people_b with some of a pack's crops, behind 40 of noise, so that none is held out."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (40, 320, 240, 3), np.uint8)
    pictures = [cv2.imencode(".webp", one)[1].ravel() for one in noise]
    if pack is not None:
        pictures += [pack.blob[pack.offsets[row] : pack.offsets[row + 1]] for row in rows]
    offsets = np.cumsum([0, *map(len, pictures)])
    count = len(pictures)
    np.savez(
        path,
        blob=np.concatenate(pictures),
        offsets=offsets,
        keypoints=np.zeros((count, 17, 4), np.float32),
        source=np.zeros(count, np.int8),
    )


def test_a_pack_holds_who_is_not_known_yet(tmp_path: Path, shared_data: Path) -> None:
    photos = tmp_path / "data" / "people" / SOURCE / "images"
    photos.mkdir(parents=True)
    (tmp_path / "data" / "packs").mkdir()
    (tmp_path / "data" / "teachers").symlink_to(shared_data / "teachers")
    for path in sorted((shared_data / "people" / SOURCE / "images").iterdir())[:PHOTOS]:
        (photos / path.name).symlink_to(path)
    known = tmp_path / "data" / "packs" / "people_b.npz"

    write_known(known, None, [])
    make(tmp_path / "data", tmp_path / "all.npz")
    notes = (tmp_path / "all.teacher.jsonl").read_text().splitlines()
    assert len([json.loads(line) for line in notes]) == PHOTOS
    everybody = Pack.open(tmp_path / "all.npz")
    assert everybody.expected >= PHOTOS
    seen = everybody.keypoints[..., 3] > 0.5
    middle = everybody.keypoints[..., :2][seen]
    assert seen.any(axis=1).mean() > 0.5  # most show somebody whom the teacher is sure of
    assert (middle > 0).all()
    assert (middle < [240, 320]).all()
    assert next(iter(everybody.frames())).image.shape == (320, 240, 3)  # type: ignore[union-attr]

    write_known(known, everybody, [0, 2])
    said = make(tmp_path / "data", tmp_path / "rest.npz")
    assert "2 of them known, 0 photos are held out" in said
    rest = Pack.open(tmp_path / "rest.npz")
    kept = [row for row in range(everybody.expected) if row not in (0, 2)]
    np.testing.assert_array_equal(rest.keypoints, everybody.keypoints[kept])
