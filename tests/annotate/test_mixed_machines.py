"""One run on machines of different kinds: what goes on, and what is said where it does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from launcher import Launcher
from runs import save_boxes, save_photos, save_weights

WITH_BF16, WITHOUT = "processor_computes_in_bf16", "processor_lacks_bf16"


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    boxes = save_boxes(tmp_path / "boxes.json", save_photos(tmp_path / "photos", 3))
    weights = save_weights(tmp_path / "weights.safetensors")
    return [
        "annotate", str(tmp_path / "photos"), "-o", str(tmp_path / "run"), "-w", str(weights),
        "--boxes", str(boxes), "--no-flip-test", "--device", "cpu",
    ]  # fmt: skip


def test_a_run_in_fp32_goes_on_where_more_is_to_be_had(
    launcher: Launcher, command: list[str]
) -> None:
    assert launcher.run(*command, fault=WITHOUT).returncode == 0
    refused = launcher.run(*command, fault=WITH_BF16)
    assert refused.returncode == 2
    assert "was made in fp32, and this machine takes bf16 by itself" in refused.stderr
    assert "Go on with --precision fp32" in refused.stderr
    followed = launcher.run(*command, "--precision", "fp32", fault=WITH_BF16)
    assert followed.returncode == 0, followed.stderr


def test_a_run_in_bf16_is_not_sent_into_a_dead_end(launcher: Launcher, command: list[str]) -> None:
    assert launcher.run(*command, "--worker", "1/2", fault=WITH_BF16).returncode == 0
    refused = launcher.run(*command, "--worker", "2/2", fault=WITHOUT)
    assert refused.returncode == 2
    assert "was made in bf16, and this machine takes fp32 by itself" in refused.stderr
    assert "on a machine that computes in bf16" in refused.stderr
    assert "start runs with --precision fp32" in refused.stderr
    assert "Use the same options" not in refused.stderr
    anew = [*command, "--precision", "fp32"]
    assert launcher.run(*anew, "--overwrite", fault=WITHOUT).returncode == 0
    assert launcher.run(*anew, "--worker", "2/2", fault=WITH_BF16).returncode == 0


def test_a_precision_that_was_given_is_a_difference_like_any_other(
    launcher: Launcher, command: list[str]
) -> None:
    assert launcher.run(*command, fault=WITH_BF16).returncode == 0
    refused = launcher.run(*command, "--precision", "fp32", fault=WITH_BF16)
    assert "precision: was bf16, now fp32" in refused.stderr
