"""Write what the documentation takes from the program: `docs/cli.md`, tables, the tree of the code.

python docs/generate.py           write
python docs/generate.py --check   only say whether anything would change (exit 1)
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

ROOT = Path(__file__).parent.parent
_OTHER_FOLDERS = (
    "weights/         The weights that ship, and how they were made",
    "examples/        Photos to try the program on, free of rights",
    "benchmarks/      How fast, and with how much memory, measured by whoever runs them",
    "docs/            Commands, formats, decisions, changes",
    "tests/           The package's own folders again",
)


def cli_page() -> str:
    """Return docs/cli.md: every command with its text and options, as `--help` has them."""
    from typer.main import get_command

    from vitpose_cli.cli.app import app

    parts = ["# Commands", "Generated from the program by `python docs/generate.py`."]
    parts += _sections(get_command(app), "vitpose")
    return "\n\n".join(parts) + "\n"


def _sections(command: Any, name: str) -> Iterator[str]:
    """Yield the sections of a command and of the commands below it."""
    yield f"## {name}"
    yield _text(command)
    from vitpose_cli.cli.help import sections

    if not hasattr(command, "commands"):
        hints = get_type_hints(command.callback)
        for title, options in sections(command.params).items():
            head = "argument" if title == "Arguments" else "option"
            if title not in ("Arguments", "Options"):
                yield f"{title}:"
            rows = [f"| {head} | meaning | default |", "|---|---|---|"]
            yield "\n".join(rows + [_row(each, hints[each.name]) for each in options])
    for below, each in sorted(getattr(command, "commands", {}).items()):
        yield from _sections(each, f"{name} {below}")


def _row(option: Any, hint: Any) -> str:
    """Return the table row of an option or argument, of a parameter of the type `hint`."""
    from vitpose_cli.cli.help import limits, shown_default, spelled

    default = shown_default(option)
    names = ", ".join(f"`{each}`" for each in spelled(option, hint)).replace("|", "\\|")
    meaning = (option.help or "").replace("|", "\\|")
    if known := limits(option):
        meaning += f" [{known}]"
    return f"| {names} | {meaning} | {f'`{default}`' if default else ''} |"


def _text(command: Any) -> str:
    """Return what a command says of itself, with its examples as a block."""
    text, _, examples = inspect.cleandoc(command.help or "").partition("\n\nExample")
    lines = [line.strip() for line in examples.splitlines()[1:]]
    return "\n".join([text, "", "```sh", *lines, "```"] if lines else [text])


def weights_table() -> str:
    """Return the table of published weights, from the catalog."""
    from vitpose_cli.models.catalog import load_catalog

    catalog = load_catalog()
    rows = [
        "| weights | size | head | download | keypoint sets and published accuracy | licence |",
        "|---|---|---|---|---|---|",
    ]
    for name, model in catalog.pose.items():
        aps = ", ".join(
            f"{each} {file.accuracy:.1f}" if file.accuracy is not None else each
            for each, file in model.keypoint_sets.items()
        )
        sizes = sorted({file.size_mb for file in model.keypoint_sets.values()})
        about = (
            model.variant,
            model.head,
            f"{'-'.join(map(str, sizes[:: len(sizes) - 1 or 1]))} MB",
        )
        rows.append(f"| `{name}` | {' | '.join(about)} | {aps} | {model.licence} |")
    return "\n".join(rows)


def detector_table() -> str:
    """Return the table of detectors, from the catalog."""
    from vitpose_cli.models.catalog import load_catalog

    rows = ["| detector | download | COCO box AP | licence |", "|---|---|---|---|"]
    for name, model in load_catalog().detectors.items():
        rows.append(f"| `{name}` | {model.size_mb} MB | {model.box_ap:.1f} | {model.licence} |")
    return "\n".join(rows)


def tree() -> str:
    """Return the tree of the code: what each part is, in its own first words."""
    package = ROOT / "vitpose_cli"
    modules = [path for path in package.glob("*.py") if not path.stem.startswith("__")]
    packages = [path.parent for path in package.glob("*/__init__.py")]
    lines = ["```text", "vitpose_cli/"]
    for path in [*sorted(packages), *sorted(modules)]:
        name = f"{path.name}/" if path.is_dir() else path.name
        source = path / "__init__.py" if path.is_dir() else path
        text = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
        first_line = text.partition("\n")[0]
        lines.append(f"  {name:<14} {first_line.removesuffix('.')}")
    return "\n".join([*lines, *_OTHER_FOLDERS, "```"])


def options_table() -> str:
    """Return the table of every option of a training run, from the configuration's classes."""
    from vitpose_cli.config import config_reference
    from vitpose_cli.training.config import TrainConfig

    rows = ["| option | default | meaning |", "|---|---|---|"]
    for path, default, meaning in config_reference(TrainConfig):
        words = " ".join(meaning.split()).replace("|", "\\|")
        rows.append(f"| `{path}` | {f'`{default}`' if default else ''} | {words} |")
    return "\n".join(rows)


def signals_table() -> str:
    """Return the table of every measure of doubt, from the measures themselves."""
    from vitpose_cli.pose.signals import SIGNALS

    rows = ["| signal | unit and range | doubtful | weight | source |", "|---|---|---|---|---|"]
    for name, signal in SIGNALS.items():
        about = (signal.unit, signal.doubtful, f"{signal.weight:g}", signal.source)
        rows.append(f"| `{name}` | {' | '.join(about)} |")
    return "\n".join(rows)


def with_table(text: str, name: str, table: str) -> str:
    """Return `text` with what stands between the marks of `name` replaced."""
    begin, end = f"<!-- {name} -->\n", f"\n<!-- end {name} -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    if not after:
        raise SystemExit(f"A page has no marks for {name!r}")
    return before + begin + table + end + after


def pages() -> dict[Path, str]:
    """Return every generated file with its text."""
    docs = ROOT / "docs"
    tables = {
        "weights.md": {"weights": weights_table(), "detectors": detector_table()},
        "code.md": {"tree": tree()},
        "training.md": {"options": options_table()},
        "select.md": {"signals": signals_table()},
    }
    found = {docs / "cli.md": cli_page()}
    for name, of_page in tables.items():
        text = (docs / name).read_text(encoding="utf-8")
        for mark, table in of_page.items():
            text = with_table(text, mark, table)
        found[docs / name] = text
    return found


def main() -> None:
    """Write, or check, every page."""
    stale = [
        path
        for path, text in pages().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if "--check" in sys.argv[1:]:
        for path in stale:
            sys.stdout.write(f"{path.relative_to(ROOT)} is stale; run python docs/generate.py\n")
        sys.exit(1 if stale else 0)
    for path in stale:
        path.write_text(pages()[path], encoding="utf-8")


if __name__ == "__main__":
    main()
