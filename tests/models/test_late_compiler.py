"""Labelling starts without PyTorch's compiler, and whoever wants it still gets it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from launcher import Launcher
from runs import EXAMPLES
from training_cases import small_run, write_coco


@pytest.fixture
def run(bare_launcher: Launcher, tmp_path: Path) -> Callable[[str], str]:
    """Return what runs code in a process that has loaded torch alone, and returns what it says."""

    def run(code: str) -> str:
        script = tmp_path / "code.py"
        script.write_text(code)
        done = bare_launcher.run(script=script)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


PHOTO = str(EXAMPLES / "astronaut.jpg")


@pytest.mark.parametrize(
    "label",
    [
        "from vitpose_cli import PoseLabeler\n"
        "labeler = PoseLabeler(device='cpu', flip_test=False)\n"
        f"(record,) = labeler.label({PHOTO!r})\n"
        "assert record.instances is not None\n",
        "from vitpose_cli.cli.app import run\n"
        f"assert run(['annotate', {PHOTO!r}, '-o', 'run', '--no-flip-test']) == 0\n",
        "from vitpose_cli.cli.app import run\n"
        f"assert run(['render', {PHOTO!r}, '-o', 'drawn']) == 0\n",
    ],
    ids=["PoseLabeler", "annotate", "render"],
)
def test_labelling_loads_no_compiler(run: Callable[[str], str], tmp_path: Path, label: str) -> None:
    # What torch 2.6 itself imports for its checkpointing, which torchvision uses.
    own = run("import sys, torch.utils.checkpoint\nprint({'sympy'} & set(sys.modules) or '')\n")
    loaded = run(
        f"import os, sys\nos.chdir({str(tmp_path)!r})\n{label}"
        "print(sorted({'torch._dynamo', 'sympy', 'transformers'} & set(sys.modules)))\n"
    )
    assert loaded.splitlines()[-1] == f"[{own.strip().strip('{}')}]"


def test_a_training_plan_loads_no_compiler(run: Callable[[str], str], tmp_path: Path) -> None:
    write_coco(tmp_path)
    (tmp_path / "c.yaml").write_text(json.dumps(small_run(tmp_path)))
    loaded = run(
        "import sys\n"
        "from vitpose_cli.cli.app import run\n"
        f"assert run(['train', '-c', {str(tmp_path / 'c.yaml')!r}, '--dry-run']) == 0\n"
        "print('torch._dynamo' in sys.modules)\n"
    )
    assert loaded.splitlines()[-1] == "False"


def test_the_compiler_can_be_had_afterwards(run: Callable[[str], str]) -> None:
    code = (
        "import torch, vitpose_cli.assembly\n"
        "layer = torch.nn.Linear(3, 2)\n"
        "layer.compile(backend='eager')\n"
        "assert layer(torch.ones(1, 3)).shape == (1, 2)\n"
        "import torch._dynamo.utils\n"
        "print(torch._dynamo.utils.is_compile_supported('cpu'))\n"
    )
    assert run(code).strip() == "True"


def test_a_module_that_needs_more_of_the_compiler_gets_it(
    run: Callable[[str], str], tmp_path: Path
) -> None:
    (tmp_path / "greedy.py").write_text("from torch._dynamo import config")
    code = (
        "import sys\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "from vitpose_cli.models.late_compiler import import_without_compiler\n"
        "import_without_compiler('greedy')\n"
        "print('torch._dynamo' in sys.modules)\n"
    )
    assert run(code).strip() == "True"
