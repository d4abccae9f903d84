"""What a part of training is worth: the same run with and without it, over several seeds.

    python benchmarks/training_proofs.py PROOF [--seeds 0 1 2] [--arms N] [--output runs]

PROOF is distillation, token, pretraining, decoder, freezing or attention.

To be run in the folder of the repository, with `data` a link to the folder of the photos. Each arm
and seed is what `vitpose train` makes of a file in benchmarks/training, with the options that
`arms` lists; a run that is done is not run again. The last weights of each are measured on the
file's two validation sources, people who were never trained on, and nothing but what a person
placed counts as truth. Prints a Markdown table: of each arm the mean and the standard deviation
over seeds, and below it the differences to the first arm, seed by seed.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vitpose_cli.config import load_config
from vitpose_cli.models.checkpoint import load_model
from vitpose_cli.pose.heatmaps import HeatmapCodec
from vitpose_cli.training.config import TrainConfig, ValidationOptions
from vitpose_cli.training.loop import train
from vitpose_cli.training.metrics import Silence
from vitpose_cli.training.sources import open_data_source
from vitpose_cli.training.validate import Validator

FILES = Path(__file__).parent / "training"
NUMBERS = ("held out OKS", "held out PCK@0.1", "held out AP", "coco_val OKS", "coco_val PCK@0.1",
           "coco_val AP")  # fmt: skip

PROOFS = ("distillation", "token", "pretraining", "decoder", "freezing", "attention")

TEACHER = "distill={teacher: {ncnn: data/teachers/tinypose_256x192.param}, looks: once, folder: %s}"
LABELLED = (
    "kind: pack, path: data/packs/people_a.npz, split: [0.05, 1], limit: 500, model_weight: 0"
)
UNLABELLED = "kind: pack, path: data/packs/people_b.npz, limit: 1000, model_weight: 1e-6"
FINE = ("model.stride=8", "model.attention.window_wh=[4, 4]")
PATTERNS = ("full", "window", "window+shift", "window+pool", "window+shift+pool")


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to train.

    Attributes:
        name: What the table calls it.
        file: Its configuration.
        changes: Options that differ from the file.
        first: What to train before, once for all seeds; `file` starts from its weights.
        token: Steps for which the network that ships learns a knowledge token before, once for all
            seeds; `file` is given it.
    """

    name: str
    file: str
    changes: tuple[str, ...] = ()
    first: str | None = None
    token: int | None = None


def arms(proof: str, output: Path) -> tuple[Arm, ...]:
    """Return the arms of a proof; the first is the one without."""
    teacher = TEACHER % (output / "heatmaps")
    # The labels of the second source weigh a millionth: they give no loss that could be felt.
    both = f"data.train=[{{{LABELLED}, repeat: 2}}, {{{UNLABELLED}}}]"
    base = "student-base.yaml"
    return {
        "distillation": (
            Arm("plain", "student.yaml", (), base),
            Arm("taught-1000-more", "student.yaml", (teacher, both), base),
            Arm("taught", "student.yaml", (teacher,), base),
        ),
        "token": (
            Arm("plain", "student.yaml", (), base),
            Arm("token", "student.yaml", (), base, token=300),
            Arm("random-token", "student.yaml", (), base, token=1),
        ),
        "pretraining": (
            Arm("scratch", "scratch.yaml"),
            Arm("pretrained", "scratch.yaml", (), "pretrain.yaml"),
        ),
        "decoder": (
            Arm("scratch", "scratch.yaml"),
            Arm("classic", "scratch.yaml", ("model.head=classic",)),
        ),
        "freezing": tuple(
            Arm(name, "scratch.yaml", changes, "pretrain.yaml")
            for name, changes in (
                ("pretrained", ()),
                ("frozen-attention", ("freeze.attention=true",)),
                ("frozen-ffn", ("freeze.ffn=true",)),
            )
        ),
        "attention": tuple(
            Arm(f"fine-{name}", "scratch.yaml", (*FINE, f"model.attention.pattern={name}"))
            for name in PATTERNS
        ),
    }[proof]


def trained(arm: Arm, seed: int, output: Path) -> Path:
    """Train an arm, unless that is done, and return its last weights."""
    changes = [*arm.changes, f"seed={seed}"]
    if arm.first is not None:
        weights = _run(arm.first, [], output / Path(arm.first).stem)
        changes.append(f"model.weights={weights}")
    if arm.token is not None:
        folder = output / f"token-of-{arm.token}"
        teacher = _run("token.yaml", [f"stages.0.steps={arm.token}"], folder)
        changes.append(f"distill.token={teacher}")
    return _run(arm.file, changes, output / f"{arm.name}-{seed}")


def _run(file: str, changes: list[str], folder: Path) -> Path:
    if not (folder / "report.html").exists():
        config = load_config(TrainConfig, FILES / file, [*changes, "data.validation=[]"])
        print(f"{folder} {time.process_time():.0f} s of CPU", file=sys.stderr, flush=True)
        train(config, folder, Silence())
    return folder / "last.safetensors"


def validators(arm: Arm) -> list[Validator]:
    """Cut the crops of the people who are measured on."""
    config = load_config(TrainConfig, FILES / arm.file, ())
    width, height = config.stages[-1].input_wh
    codec = HeatmapCodec((width, height), (width // 4, height // 4), "udp")
    sources = [
        open_data_source(one, config.data.threads, purpose="measuring")
        for one in config.data.validation
    ]
    return [Validator(source, "coco", codec, ValidationOptions()) for source in sources]


def measured(weights: Path, people: list[Validator]) -> list[float | None]:
    """Return `NUMBERS` of some weights."""
    model = load_model(weights)
    numbers: list[float | None] = []
    for validator in people:
        found = validator.find(model, torch.device("cpu"), torch.float32)
        evaluation = validator.evaluate(found)
        whole = evaluation.keypoints[-1]
        numbers += [whole.oks, whole.pck[1], evaluation.coco["AP"]]
    return numbers


def main() -> None:
    """Train all arms with all seeds, one after the other, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("proof", choices=PROOFS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", type=int, help="take the first so many of them")
    parser.add_argument("--output", type=Path, default=Path("runs"))
    options = parser.parse_args()
    compared = arms(options.proof, options.output)[: options.arms]
    weights = [[trained(arm, seed, options.output) for arm in compared] for seed in options.seeds]
    people = validators(compared[0])
    results = np.array([[measured(one, people) for one in row] for row in weights], np.float64)
    print(f"| {len(options.seeds)} seeds | {' | '.join(NUMBERS)} |")
    print("|---" * (1 + len(NUMBERS)) + "|")
    spread = results.std(axis=0, ddof=1) if len(results) > 1 else np.zeros(results.shape[1:])
    for arm, means, deviations in zip(compared, results.mean(axis=0), spread, strict=True):
        cells = (f"{one:.4f} ± {by:.4f}" for one, by in zip(means, deviations, strict=True))
        print(f"| {arm.name} | {' | '.join(cells)} |")
    for number, arm in enumerate(compared[1:], start=1):
        differences = (results[:, number] - results[:, 0]).T
        cells = (", ".join(f"{one:+.4f}" for one in row) for row in differences)
        print(f"| {arm.name} - {compared[0].name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
