"""What the tests of the review page do in a browser."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from review_cases import Server

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route


def saved(page: Page) -> None:
    page.wait_for_selector("#save-state[data-kind=saved]")


def opened(page: Page, name: str) -> None:
    page.wait_for_selector(f"#frame-name[title={json.dumps(name, ensure_ascii=False)}]")


def on_b(page: Page) -> Page:
    """Go on from the first frame, a.jpg, to the next."""
    page.keyboard.press("j")
    opened(page, "b.jpg")
    return page


def hold_back(page: Page, address: str) -> list[Route]:
    """Let the next request of this address wait; it is in the list once the page has made it."""
    waiting: list[Route] = []
    page.route(address, lambda route: waiting.append(route), times=1)
    return waiting


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
