"""The script that counts what of damage in videos is noticed."""

from __future__ import annotations

from pathlib import Path

from runs import program
from video_cases import Video, write_video

ROOT = Path(__file__).parent.parent.parent
SCRIPT = ROOT / "benchmarks" / "damaged_videos.py"


def run(*arguments: str | Path) -> list[str]:
    done = program(SCRIPT, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def cells(row: str) -> list[list[int]]:
    """Return the counts of each kind of damage: unnoticed, late, wrong."""
    return [[int(word) for word in each.split() if word.isdigit()] for each in row.split("|")[2:-1]]


def test_what_is_noticed_and_what_is_not_come_apart() -> None:
    small = ("--seeds", "2", "--pictures", "16")
    head, _, mpeg4 = run("--only", "MPEG-4 in AVI", *small)
    assert head == "| of 4 files each | zeros | noise | lost |"
    assert mpeg4.startswith("| MPEG-4 in AVI |")
    assert cells(mpeg4)[:2] == [[0, 0, 0]] * 2
    (huffyuv,) = run("--only", "HuffYUV", *small)[2:]
    assert cells(huffyuv)[:2] == [[4, 0, 1]] * 2


def test_a_clip_of_ones_own(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "mine.mp4", Video(num=12, noise=True))
    (row,) = run("--seeds", "2", clip)[2:]
    assert row.startswith("| mine.mp4 |")
    assert cells(row)[0][0] == 0


def test_what_looking_for_holes_costs() -> None:
    lines = run("--timing", "--rounds", "1", "--pictures", "12", "--only", "HEVC in MKV")
    assert [line.split()[3] for line in lines] == ["units", "blocks"]
