from html.parser import HTMLParser
from pathlib import Path

import pytest

from vitpose_cli.training.checkpoints import RunFolder
from vitpose_cli.training.metrics import MetricsFile, read_metrics
from vitpose_cli.training.report import write_report


def test_a_report_of_an_unmeasured_run_is_whole(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.config.write_text("seed: 1 # <script>", encoding="utf-8")
    metrics = MetricsFile(folder.metrics, keep=None)
    for stage, step, loss in ((0, 5, 1.0), (0, 10, float("nan")), (1, 5, 0.1)):
        metrics.append(
            {
                "kind": "train",
                "stage": stage,
                "step": step,
                "loss": loss,
                "lr": 1e-3,
                "gradient_norm": 1.0,
                "people_per_s": 10.0,
                "memory_mib": 7,
            }
        )
    write_report(folder, None)
    page = folder.report.read_text(encoding="utf-8")
    assert "15 steps; last loss 0.1" in page
    assert "<script>" not in page

    links: list[str] = []

    class Checker(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            links.extend(value or "" for name, value in attrs if name in ("src", "href"))

    checker = Checker()
    checker.feed(page)
    assert all(link.startswith("data:") for link in links)


def test_a_report_says_when_the_weights_were_best(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.config.write_text("seed: 1", encoding="utf-8")
    for aps, when in (((0.5, 0.25), "before the first step"), ((0.25, 0.5), "after step 5")):
        metrics = MetricsFile(folder.metrics, keep=None)
        place = {"stage": 0, "lr": 1e-3, "gradient_norm": 1.0, "people_per_s": 9.0}
        metrics.append({"kind": "train", "step": 5, "loss": 1.0, "memory_mib": 7, **place})
        for step, ap in zip((0, 5), aps, strict=True):
            sources = {"1 people": {"AP": ap}}
            line = {"kind": "validation", "stage": 0, "step": step, "AP": ap, "sources": sources}
            metrics.append(line)
        write_report(folder, 0.5)
        assert f"best AP 0.500 {when}; last AP" in folder.report.read_text(encoding="utf-8")


def test_metrics_are_cut_where_a_run_goes_on_and_a_torn_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    metrics = MetricsFile(path, keep=None)
    for stage, step in ((0, 1), (0, 2), (1, 1), (1, 2)):
        metrics.append({"stage": stage, "step": step})
    with path.open("ab") as stream:
        stream.write(b'{"stage": 1, "st')
    MetricsFile(path, keep=(1, 1))
    assert [(one["stage"], one["step"]) for one in read_metrics(path)] == [(0, 1), (0, 2), (1, 1)]
    MetricsFile(path, keep=None)
    assert read_metrics(path) == []


@pytest.mark.parametrize("text", ["", "\n", "{}\n"])
def test_odd_metrics_files_are_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(text)
    assert read_metrics(path) == ([{}] if text == "{}\n" else [])
