"""Is a person's time better spent on selected frames? AP after correcting k frames, by choice.

    python benchmarks/select_curve.py GT.json IMAGES [GT.json IMAGES ...] [--weights tiny]
        [--run RUN] [--svg FILE] [--json]

Labels all photos in the boxes of the ground truth, then lets a perfect reviewer correct k of them:
their labels become the ground truth, with a score of 1, as a person's are. AP is that of all photos
together. Frames are chosen by `vitpose select` as it is called without options, by one signal
alone, or at random; the first and the last with several seeds. As a crowded photo takes a person
longer than one with one person, AP is given by people corrected, too.

With --run, labels are taken from a run over the same photos, named relative to the folder that all
photos share.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitpose_cli.annotate.labelling import annotate
from vitpose_cli.annotate.options import AnnotateOptions
from vitpose_cli.assembly import LabelerOptions
from vitpose_cli.charts import Axes, line_chart
from vitpose_cli.evaluate.evaluated_labels import evaluate_results, results_of_people
from vitpose_cli.records.coco import CocoDocument, read_coco
from vitpose_cli.records.run import Run
from vitpose_cli.select.options import SelectOptions
from vitpose_cli.select.selection import select_frames

SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7)
SINGLE = (
    "mean_keypoint_score", "min_keypoint_score", "second_peak_ratio", "peak_width",
    "flip_disagreement", "implausibility", "overlap",
)  # fmt: skip

Choose = Callable[[int, int], list[str]]
"""Takes how many frames and a seed; returns their file names."""


class Study:
    """One set of labels, and what corrections make of their AP."""

    def __init__(self, truth: CocoDocument, run: Path) -> None:
        self.run = run
        self.names = [image["file_name"] for image in truth.images]
        self._truth = truth
        self._ids = {image["file_name"]: image["id"] for image in truth.images}
        people = truth.by_image()
        self._people = {name: people[self._ids[name]] for name in self.names}
        self._labels: dict[int, list[dict[str, Any]]] = {}
        with Run.read(run) as opened:
            for record in opened.records():
                image_id = self._ids.get(str(record.key))
                if image_id is not None and record.instances is not None:
                    self._labels[image_id] = results_of_people(image_id, record.instances)

    def num_people(self, corrected: Iterable[str]) -> int:
        """Return how many people a person looked at."""
        return sum(len(self._people[name]) for name in corrected)

    def average_precision(self, corrected: Iterable[str]) -> float:
        """Return AP where these frames have the labels of the ground truth."""
        fixed = set(corrected)
        results: list[dict[str, Any]] = []
        for name in self.names:
            image_id = self._ids[name]
            if name not in fixed:
                results += self._labels.get(image_id, [])
                continue
            results += [
                {"image_id": image_id, "keypoints": list(person["keypoints"]), "score": 1.0}
                for person in self._people[name]
            ]
        return evaluate_results(self._truth, results).coco["AP"]

    def select(self, **options: Any) -> Choose:
        """Return a choice by `vitpose select` with these options."""

        def choose(count: int, seed: int) -> list[str]:
            with tempfile.TemporaryDirectory() as folder:
                wanted = SelectOptions(
                    self.run, count, Path(folder) / "queue.json", seed=seed, **options
                )
                chosen = select_frames(wanted, report=lambda *_: None, say=lambda _: None).choices
            return [str(choice.key) for choice in chosen]

        return choose

    def at_random(self, count: int, seed: int) -> list[str]:
        """Return frames at random."""
        return [str(name) for name in np.random.default_rng(seed).permutation(self.names)[:count]]

    def curve(self, choose: Choose, seeds: int) -> list[dict[str, float]]:
        """Return AP and people corrected at every budget: means and spread over seeds."""
        start = self.average_precision(())
        points = [{"frames": 0, "people": 0.0, "AP": start, "AP_std": 0.0}]
        for share in SHARES:
            count = round(share * len(self.names))
            chosen = [choose(count, seed) for seed in range(seeds)]
            aps = [self.average_precision(names) for names in chosen]
            people = float(np.mean([self.num_people(names) for names in chosen]))
            points.append(
                {"frames": count, "people": people, "AP": float(np.mean(aps)),
                 "AP_std": float(np.std(aps))}
            )  # fmt: skip
        return points


def merged_truth(pairs: Sequence[tuple[Path, Path]], root: Path, path: Path) -> CocoDocument:
    """Write several ground truths as one, named relative to `root`."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    categories: tuple[Mapping[str, Any], ...] = ()
    for file, folder in pairs:
        document = read_coco(file)
        categories = document.categories
        people = document.by_image()
        for image in document.images:
            name = (folder / image["file_name"]).relative_to(root).as_posix()
            images.append({**image, "id": len(images) + 1, "file_name": name})
            annotations += [
                {**person, "id": len(annotations) + number, "image_id": len(images)}
                for number, person in enumerate(people[image["id"]], start=1)
            ]
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content))
    return read_coco(path)


def people_needed(points: Sequence[Mapping[str, float]], wanted: float) -> float:
    """Return how many people must be corrected until AP is `wanted`, between two budgets."""
    aps = [point["AP"] for point in points]
    return float(np.interp(wanted, aps, [point["people"] for point in points]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pairs", type=Path, nargs="+", metavar="GT IMAGES")
    parser.add_argument("--weights", default="tiny")
    parser.add_argument("--run", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--svg", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    files = [path.resolve() for path in options.pairs]
    pairs = list(zip(files[::2], files[1::2], strict=True))
    root = Path(os.path.commonpath([folder for _, folder in pairs]))
    with tempfile.TemporaryDirectory() as scratch:
        truth = merged_truth(pairs, root, Path(scratch) / "truth.json")
        run = options.run
        if run is None:
            run = Path(scratch) / "run"
            labeler = LabelerOptions(weights=options.weights, boxes=truth.path)
            sources = tuple(str(folder) for _, folder in pairs)
            annotate(AnnotateOptions(sources, run, labeler), lambda *_: None, lambda _: None)
        study = Study(truth, run)
        curves = {
            "selected": study.curve(study.select(), options.seeds),
            "at random": study.curve(study.at_random, options.seeds),
        }
        alone = {"random_share": 0.0, "empty_share": 0.0, "diversity": 0.0}
        curves["most doubtful alone"] = study.curve(study.select(**alone), 1)
        for signal in SINGLE:
            curves[signal] = study.curve(study.select(by=signal, **alone), 1)
        halfway = (curves["at random"][0]["AP"] + 1) / 2
        needed = {name: people_needed(points, halfway) for name, points in curves.items()}
        report = {
            "photos": len(study.names),
            "people": study.num_people(study.names),
            "halfway_AP": halfway,
            "people_to_halfway": needed,
            "curves": curves,
        }
    if options.svg:
        shown = {
            name: [(point["frames"], point["AP"]) for point in curves[name]]
            for name in ("selected", "at random")
        }
        axes = Axes("photos corrected", "AP of all photos", size_wh=(640, 320))
        options.svg.write_text(line_chart(shown, axes) + "\n", encoding="utf-8")
    if options.json:
        print(json.dumps(report, indent=2))
        return
    print(f"{report['photos']} photos, {report['people']} people; AP after correcting k photos")
    budgets = [point["frames"] for point in curves["selected"]]
    print(
        f"{'k =':>22}", *(f"{budget:>6}" for budget in budgets), "  people to AP", f"{halfway:.3f}"
    )
    for name, points in curves.items():
        print(
            f"{name:>22}", *(f"{point['AP']:6.3f}" for point in points),
            f"  {needed[name]:.0f}",
        )  # fmt: skip
    spread = " ".join(f"{point['AP_std']:6.3f}" for point in curves["at random"])
    print(f"{'(spread at random)':>22} {spread}")


if __name__ == "__main__":
    main()
