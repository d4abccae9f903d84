"""The script for a GPU runs from end to end on a machine that has none."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from runs import program

ROOT = Path(__file__).parent.parent.parent
SCRIPT = ROOT / "benchmarks" / "gpu.py"


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return program(SCRIPT, "--device", "cpu", "--quick", *arguments)


def test_every_section_comes_through(tmp_path: Path) -> None:
    done = run("--out", tmp_path / "gpu.json")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text())
    modes = found["correctness"]["modes"]
    assert {"fp32", "fp32 flip"} <= modes.keys()
    for name, mode in modes.items():
        assert mode["every_slot_its_own_crop"]
        assert mode["finite"]
        if name.startswith("fp32"):  # in bf16 the flat heatmaps of random weights have other peaks
            assert mode["shift_px_max"] < 1e-3  # px, one device and one number type
    assert found["correctness"]["device_crops"]["levels_max"] <= 2
    assert found["network"]["tiny-test"]["best"] > 0
    assert found["peers"]["ours over transformers fp32"] > 0
    assert {"160x120, 3 people", "160x120, 3 people, flip test"} <= found["pipeline"].keys()
    assert "video" in done.stdout


def test_a_section_that_fails_leaves_its_traceback_and_the_others(tmp_path: Path) -> None:
    broken, out = tmp_path / "broken.py", tmp_path / "gpu.json"
    broken.write_text(
        f"import sys\nsys.path.insert(0, {str(SCRIPT.parent)!r})\n"
        "import gpu\n"
        "def fail(setting): raise ValueError('no such card')\n"
        "gpu.SECTIONS['network'] = fail\n"
        "raise SystemExit(gpu.main())\n"
    )
    arguments = ("--device", "cpu", "--quick", "--only", "network,matrix", "--out", out)
    done = program(broken, *arguments)
    assert done.returncode == 1
    found = json.loads(out.read_text())
    assert "no such card" in found["network"]["error"]
    assert found["matrix"]["fp32_tflops"] > 0
    assert "network: FAILED, ValueError: no such card" in done.stdout
