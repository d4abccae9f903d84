"""What the tests of the review page do in a browser."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page


def saved(page: Page) -> None:
    page.wait_for_selector("#save-state[data-kind=saved]")


def opened(page: Page, name: str) -> None:
    page.wait_for_selector(f"#frame-name[title={json.dumps(name, ensure_ascii=False)}]")
