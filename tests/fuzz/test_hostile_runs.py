"""Sources and documents that want more than they may: memory, and files outside of their folder."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import pytest
from runs import save_photos, save_weights, vitpose


def _bomb(side: int) -> bytes:
    """Return a small PNG of many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    pixels = zlib.compress(bytes(side // 8 + 1) * side, 9)
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def test_a_decompression_bomb_is_refused_and_recorded(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    save_photos(photos, 1)
    (photos / "bomb.png").write_bytes(_bomb(24_000))  # 576 million pixels in 70 kB
    (photos / "large.png").write_bytes(_bomb(1_500))
    weights = save_weights(tmp_path / "weights.safetensors")
    done = vitpose(
        "annotate", photos, "-o", tmp_path / "run", "-w", weights, "--detector", "whole-image",
        "--no-flip-test", "--max-pixels", "2000000",
    )  # fmt: skip
    assert done.returncode == 5, done.stderr
    failures = [
        json.loads(line) for line in (tmp_path / "run" / "failures.jsonl").read_text().splitlines()
    ]
    assert [failure["file_name"] for failure in failures] == ["bomb.png", "large.png"]
    assert "24000 x 24000 pixels" in failures[0]["error"]


@pytest.mark.parametrize("name", ["../secret.jpg", "{root}/secret.jpg", "a/../../secret.jpg"])
@pytest.mark.parametrize(
    "command",
    [
        ["render", "photos", "-a", "labels.json", "-o", "out"],
        ["sheet", "labels.json", "--images", "photos", "-o", "out.png"],
        ["export", "labels.json", "-o", "out", "--format", "yolo", "--images", "photos"],
        [
            "evaluate",
            "-a",
            "labels.json",
            "-i",
            "photos",
            "-w",
            "weights.safetensors",
            "--gt-boxes",
        ],
    ],
    ids=lambda command: command[0],
)
def test_no_command_leaves_the_folder_of_photos(
    tmp_path: Path, name: str, command: list[str]
) -> None:
    save_photos(tmp_path / "photos", 1)
    save_weights(tmp_path / "weights.safetensors")
    secret = tmp_path / "secret.jpg"
    secret.write_bytes((tmp_path / "photos" / "b" / "photo 0.jpg").read_bytes())
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    labels = {
        "images": [{"id": 1, "file_name": name.format(root=tmp_path), "width": 120, "height": 90}],
        "annotations": [
            {
                "id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 50, 50], "area": 2500,
                "iscrowd": 0, "keypoints": [20, 20, 2] * 17, "num_keypoints": 17,
            }
        ],
        "categories": [
            {"id": 1, "name": "person", "keypoints": [f"k{number}" for number in range(17)],
             "skeleton": []}
        ],
    }  # fmt: skip
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    done = vitpose(*command, cwd=tmp_path)
    assert done.returncode in (2, 3, 5), (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr
    assert "secret.jpg" in done.stderr  # that is what it is about
    allowed = tmp_path / "out"
    for path in tmp_path.rglob("*"):
        if path.is_file() and not path.is_relative_to(allowed) and path.name != "labels.json":
            assert before.get(path) == path.stat().st_mtime_ns, path
