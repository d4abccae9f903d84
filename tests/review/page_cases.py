"""What the tests of the review page do in a browser."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from review_cases import Server

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route


def saved(page: Page) -> None:
    page.wait_for_selector("#save-state[data-kind=saved]")


def opened(page: Page, name: str) -> None:
    page.wait_for_selector(f"#frame-name[title={json.dumps(name, ensure_ascii=False)}]")


def open_row(page: Page, name: str) -> None:
    page.locator(f".row[title^='{name}']").click()
    opened(page, name)


def on_b(page: Page) -> Page:
    """Go on from the first frame, a.jpg, to the next."""
    page.keyboard.press("j")
    opened(page, "b.jpg")
    return page


def hold_back(page: Page, address: str, method: str | None = None) -> list[Route]:
    """Let the next request of this address wait; it is in the list once the page has made it.

    With a method, those of others pass.
    """
    waiting: list[Route] = []

    def hold(route: Route) -> None:
        if waiting or method not in (None, route.request.method):
            route.fallback()
        else:
            waiting.append(route)

    page.route(address, hold)
    return waiting


def held(page: Page, waiting: list[Route]) -> Route:
    """Return the request that `hold_back` lets wait, once the page has made it."""
    until(page, lambda: bool(waiting))
    return waiting[0]


def until(page: Page, has_come: Callable[[], bool]) -> None:
    """Wait for what is soon the case, while the page goes on."""
    deadline = time.monotonic() + 120
    while not has_come():
        assert time.monotonic() < deadline, f"it has not come:\n{page.inner_text('body')}"
        page.wait_for_timeout(20)


def painted(page: Page) -> None:
    """Wait until the page has painted what was asked of it so far."""
    page.evaluate(
        """async () => {
            for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
        }"""
    )


def lose_edits(page: Page) -> None:
    """Let no edit of a page reach the server."""

    def lose(route: Route) -> None:
        if route.request.method == "POST":
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route("**/api/frames/*", lose)


def screen_place(page: Page, server: Server, name: str, keypoint: int) -> tuple[float, float]:
    """Return where a keypoint of the first person is in the window."""
    x, y = server.frame(name)["people"][0]["keypoints"][keypoint][:2]
    return on_screen(page, x, y)


def on_screen(page: Page, x: float, y: float) -> tuple[float, float]:
    """Return where a place in the picture is in the window."""
    canvas = page.locator("#overlay")
    box = canvas.bounding_box()
    assert box is not None
    view = canvas.evaluate("(canvas) => ({...canvas.dataset})")
    scale = float(view["scale"])
    return box["x"] + x * scale + float(view["x"]), box["y"] + y * scale + float(view["y"])
