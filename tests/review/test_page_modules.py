"""The modules of the review page: who imports whom, read from the source, and whether all come."""

from __future__ import annotations

import re
from collections.abc import Callable
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

import pytest
from review_cases import SCRIPTS, STATIC, Server

if TYPE_CHECKING:
    from playwright.sync_api import Page

MAX_LINES = 400
IMPORT = re.compile(r"^import \{([^}]+)\} from '\./([\w-]+\.js)';$", re.MULTILINE)
EXPORT = re.compile(r"^export (?:async )?(?:const|let|class|function) ([\w$]+)", re.MULTILINE)
TOP = re.compile(r"^(?:export )?(?:async )?(?:const|let|class|function) ([\w$]+)", re.MULTILINE)
SOURCES = {name: (STATIC / name).read_text(encoding="utf-8") for name in SCRIPTS}


def imported(name: str) -> dict[str, list[str]]:
    """Return the names that a module imports, by the module that they come from."""
    found = IMPORT.findall(SOURCES[name])
    return {module: re.findall(r"[\w$]+", names) for names, module in found}


def test_no_module_is_imported_by_one_that_it_imports() -> None:
    order = list(TopologicalSorter({name: imported(name) for name in SCRIPTS}).static_order())
    assert order[-1] == "review.js"
    assert set(order) == set(SCRIPTS)


def test_every_module_is_part_of_the_page() -> None:
    reached, left = set[str](), ["review.js"]
    while left:
        name = left.pop()
        if name not in reached:
            reached.add(name)
            left += imported(name)
    assert reached == set(SCRIPTS)
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    assert re.findall(r'<script[^>]*src="([^"]+)"', page) == ["review.js"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_module_is_small_and_uses_what_it_imports(name: str) -> None:
    source = SOURCES[name]
    assert source.count("\n") < MAX_LINES
    assert source.startswith("// ")
    assert len(IMPORT.findall(source)) == len(re.findall(r"^import\b|\bimport\(", source, re.M))
    own = IMPORT.sub("", source)
    for names in imported(name).values():
        for each in names:
            assert re.search(rf"(?<![\w$]){re.escape(each)}(?![\w$])", own), each


def test_whatever_is_exported_is_imported_and_has_one_home() -> None:
    wanted = {
        (module, each)
        for name in SCRIPTS
        for module, names in imported(name).items()
        for each in names
    }
    offered = {(name, each) for name in SCRIPTS for each in EXPORT.findall(SOURCES[name])}
    assert offered == wanted
    homes = [each for name in SCRIPTS for each in TOP.findall(SOURCES[name])]
    assert sorted(homes) == sorted(set(homes))


def test_a_browser_gets_every_module_once(server: Server, new_page: Callable[..., Page]) -> None:
    page = new_page(server.url)
    fetched = page.evaluate("performance.getEntriesByType('resource').map((one) => one.name)")
    assert sorted(name for name in fetched if name.endswith(".js")) == [
        server.url + name for name in SCRIPTS
    ]
