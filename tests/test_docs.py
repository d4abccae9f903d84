"""The documentation says what the program does."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vitpose_cli.cli.app import command_line
from vitpose_cli.records.folder import QUEUE

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted(ROOT.glob("examples/*.sh")),
]
_BLOCK = re.compile(r"^```(?:sh|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[str]:
    """Return the lines of a page that call the program, continued lines joined."""
    text = page.read_text(encoding="utf-8")
    blocks = [text] if page.suffix == ".sh" else _BLOCK.findall(text)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip().startswith("vitpose ")]


EVERY = [(page.name, line) for page in PAGES for line in commands(page)]


def test_commands_were_found() -> None:
    assert len(EVERY) >= 4
    assert {name for name, _ in EVERY} >= {"README.md"}


@pytest.mark.parametrize(("page", "line"), EVERY)
def test_every_command_that_the_documentation_shows_exists(page: str, line: str) -> None:
    words = shlex.split(line.split(" |")[0].split(" >")[0], comments=True)[1:]
    command: Any = command_line()
    while hasattr(command, "commands"):
        assert words, f"{page}: {line}"
        assert words[0] in command.commands, f"{page}: {line}"
        command = command.commands[words.pop(0)]
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    used = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert used <= known | {"--help"}, f"{page}: {line}"


def anchors(page: Path) -> set[str]:
    """Return what links may name within a page, as GitHub spells its headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [page for page in PAGES if page.suffix == ".md"], ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        where = (page.parent / name).resolve() if name else page
        assert where.exists(), target
        assert not anchor or anchor in anchors(where), target


def test_queues_are_read_where_select_writes_them() -> None:
    pages = [page.read_text(encoding="utf-8") for page in PAGES if page.suffix == ".md"]
    used = re.findall(r"--(?:queue|only) ([^\s`]*queue[^\s`]*)", "\n".join(pages))
    assert len(used) >= 6
    assert {*used} == {f"photos.vitpose/{QUEUE}"}


def test_generated_pages_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate.py", "--check"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_commands_page_says_what_options_take() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for option in ("order worst\\|best\\|sampled", "refresh model", "columns N", "val SHARE"):
        assert f"`--{option}`" in text
    assert "`--preview`" in text, "a flag takes nothing"
