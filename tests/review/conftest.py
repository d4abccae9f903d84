"""Servers that the tests of a file share, and windows of a browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from review_cases import Server, make_run, running

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server over a run of its own."""
    run = make_run(tmp_path_factory.mktemp("review"))
    with running(run, "--reviewer", "anna") as running_server:
        yield running_server


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """Return a fresh run."""
    return make_run(tmp_path)


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a window; what it complains about fails the test."""
    complaints: list[str] = []
    contexts = []

    def open_page(url: str, **options: Any) -> Page:
        contexts.append(browser.new_context(**({"viewport": None} | options)))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)  # on a busy machine, too: it only ends what hangs
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: note(message.type, message.text))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.goto(url)
        page.wait_for_selector(".row[aria-selected=true]")
        page.wait_for_selector("#frame-name:not(:empty)")
        return page

    def note(kind: str, text: str) -> None:
        expected = "ERR_CONNECTION" in text or re.search("status of (403|409|422|507)", text)
        if kind == "error" and not expected:
            complaints.append(text)

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
