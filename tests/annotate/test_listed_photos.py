"""Photos of a list that come and go, while the list and the command stay as they are."""

from __future__ import annotations

import json
from pathlib import Path

from launcher import Launcher
from runs import save_boxes, save_photos, save_weights


def names_in(run: Path, file: str) -> list[str]:
    """Return what the document, or the list of failures, of a run is about."""
    text = (run / file).read_text()
    if file == "annotations.json":
        return [image["file_name"] for image in json.loads(text)["images"]]
    return [json.loads(line)["file_name"] for line in text.splitlines()]


def test_a_photo_that_is_gone_is_a_failure_until_it_comes_back(
    launcher: Launcher, tmp_path: Path
) -> None:
    names = save_photos(tmp_path, 6)
    weights = save_weights(tmp_path / "weights.safetensors")
    photos, run = tmp_path / "photos.txt", tmp_path / "run"
    photos.write_text("".join(f"{name}\n" for name in names))
    command: list[str | Path] = ["annotate", f"@{photos}", "-o", run, "-w", weights]
    command += ["--boxes", save_boxes(tmp_path / "boxes.json", names)]
    first, second = tmp_path / names[0], tmp_path / names[1]
    away = tmp_path / "away"

    first.rename(away)
    done = launcher.run(*command)
    assert done.returncode == 5, done.stderr
    assert names_in(run, "annotations.json") == names[1:]
    assert names_in(run, "failures.jsonl") == names[:1]

    second.unlink()  # whose labels are there, and stay
    assert launcher.run(*command).returncode == 5
    assert names_in(run, "annotations.json") == names[1:]

    away.rename(first)
    done = launcher.run(*command)
    assert done.returncode == 0, done.stderr
    assert names_in(run, "annotations.json") == names
    assert names_in(run, "failures.jsonl") == []

    for name in names:
        (tmp_path / name).unlink(missing_ok=True)
    refused = launcher.run(*command)
    assert refused.returncode == 3
    assert f"6 of 6 paths in {photos} do not exist" in refused.stderr
