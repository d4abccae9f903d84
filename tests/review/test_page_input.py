"""The review page in a real browser: fingers, and keyboards of other scripts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from page_cases import on_b, opened, painted, saved, screen_place
from review_cases import running

if TYPE_CHECKING:
    from playwright.sync_api import Page

Place = tuple[float, float]

WRIST = 10


def test_two_fingers_zoom_and_move_no_keypoint(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder) as server:
        page = on_b(new_page(server.url, has_touch=True))
        before = server.frame("b.jpg")
        touches = page.context.new_cdp_session(page)

        def touch(kind: str, *fingers: Place) -> None:
            points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(fingers)]
            touches.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        def scale() -> float:
            painted(page)
            return float(page.get_attribute("#overlay", "data-scale") or 0)

        x, y = screen_place(page, server, "b.jpg", WRIST)
        whole = scale()
        touch("touchStart", (x, y))
        touch("touchMove", (x + 15, y))
        touch("touchStart", (x + 15, y), (x + 95, y))
        touch("touchMove", (x - 25, y), (x + 135, y))
        assert scale() == pytest.approx(2 * whole, rel=0.01)
        touch("touchEnd", (x - 25, y))
        touch("touchMove", (x + 60, y + 20))  # the finger that is left moves nothing, either
        touch("touchEnd")
        assert scale() == pytest.approx(2 * whole, rel=0.01)
        assert server.frame("b.jpg")["version"] == before["version"]

        page.keyboard.press("Shift+z")
        assert scale() == pytest.approx(whole)
        x, y = screen_place(page, server, "b.jpg", WRIST)
        touch("touchStart", (x, y))
        touch("touchMove", (x + 20, y))
        touch("touchEnd")
        page.wait_for_selector("#frame-state[data-state=draft]")
        saved(page)
        moved = server.frame("b.jpg")["people"][0]["keypoints"][WRIST]
        placed = before["people"][0]["keypoints"][WRIST]
        assert moved[0] == pytest.approx(placed[0] + 20 / whole, abs=0.05)


def test_keys_are_the_pictures_after_a_filter_was_set_with_the_mouse(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder) as server:
        page = new_page(server.url)
        opened(page, "a.jpg")
        page.locator("#filter-toggle").click()
        assert page.get_by_role("slider", name="Score below").is_visible()
        page.locator(".chip", has_text="To do").click()
        page.get_by_text("9 of 10 frames").wait_for()
        page.keyboard.press("j")
        opened(page, "b.jpg")
        page.locator("#filter-order").focus()
        page.keyboard.press("ArrowDown")  # with keys it stays where it is
        page.keyboard.press("k")
        page.wait_for_timeout(200)
        assert page.get_attribute("#frame-name", "title") == "b.jpg"
        place = page.locator("#filter-score").bounding_box()
        assert place is not None
        page.mouse.click(place["x"] + 0.9 * place["width"], place["y"] + place["height"] / 2)
        page.keyboard.press("j")
        page.wait_for_selector("#frame-name:not([title='b.jpg'])")


@pytest.mark.parametrize(("accept", "undo"), [("ф", "я"), ("α", "ζ")])
def test_keys_are_where_they_are_in_other_scripts(
    run_folder: Path, new_page: Callable[..., Page], accept: str, undo: str
) -> None:
    with running(run_folder) as server:
        page = new_page(server.url)
        opened(page, "a.jpg")
        keyboard = page.context.new_cdp_session(page)

        def press(key: str, code: str, modifiers: int = 0) -> None:
            fields = {"key": key, "code": code, "modifiers": modifiers}
            keyboard.send("Input.dispatchKeyEvent", {"type": "keyDown", **fields})
            keyboard.send("Input.dispatchKeyEvent", {"type": "keyUp", **fields})

        press(accept, "KeyA")
        opened(page, "b.jpg")
        saved(page)
        assert server.frame("a.jpg")["row"]["state"] == "accepted"
        press(undo, "KeyZ", modifiers=2)
        opened(page, "a.jpg")
        saved(page)
        assert server.frame("a.jpg")["row"]["state"] == "draft"
