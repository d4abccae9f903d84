"""The review page in a real browser: what happens while something is being dragged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from page_cases import on_b, on_screen, opened, painted, saved, screen_place
from review_cases import PHOTOS, Server, running

if TYPE_CHECKING:
    from playwright.sync_api import Page

WRIST = 10


@pytest.fixture
def begun(run_folder: Path, new_page: Callable[..., Page]) -> Any:
    """Yield a page on b.jpg whose wrist is being dragged by (20, 10), its server, and the scale."""
    with running(run_folder) as server:
        page = on_b(new_page(server.url))
        x, y = screen_place(page, server, "b.jpg", WRIST)
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 10, y + 5)
        page.mouse.move(x + 20, y + 10)
        yield page, server, float(page.get_attribute("#overlay", "data-scale") or 0)


def wrist(server: Server) -> list[float]:
    point: list[float] = server.frame("b.jpg")["people"][0]["keypoints"][WRIST]
    return point


def test_a_key_counts_that_is_pressed_while_a_keypoint_is_dragged(begun: Any) -> None:
    page, server, scale = begun
    x, y = wrist(server)[:2]
    page.keyboard.press("1")
    page.mouse.up()
    saved(page)
    moved = wrist(server)
    assert moved[2:] == [1, 1.0]
    assert moved[:2] == pytest.approx([x + 20 / scale, y + 10 / scale], abs=0.05)


def test_a_drag_goes_on_after_a_key(begun: Any) -> None:
    page, server, scale = begun
    start = screen_place(page, server, "b.jpg", WRIST)
    x, y = wrist(server)[:2]
    page.keyboard.press("v")
    page.mouse.move(start[0] + 40, start[1] + 30)
    page.mouse.up()
    saved(page)
    moved = wrist(server)
    assert moved[2] == 1
    assert moved[:2] == pytest.approx([x + 40 / scale, y + 30 / scale], abs=0.05)


def test_what_is_dragged_belongs_to_the_decision(begun: Any) -> None:
    page, server, scale = begun
    x, y = wrist(server)[:2]
    page.keyboard.press("a")
    opened(page, PHOTOS[3])
    page.mouse.up()
    saved(page)
    assert server.frame("b.jpg")["row"]["state"] == "fixed"
    assert wrist(server)[:2] == pytest.approx([x + 20 / scale, y + 10 / scale], abs=0.05)


def test_escape_drops_a_drag_and_a_person_who_is_deleted_is_not_dragged_on(begun: Any) -> None:
    page, server, _ = begun
    before = server.frame("b.jpg")
    page.keyboard.press("Escape")
    page.mouse.up()
    assert server.frame("b.jpg")["version"] == before["version"]
    x, y = screen_place(page, server, "b.jpg", WRIST)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 20, y)
    page.keyboard.press("Shift+Delete")
    page.mouse.move(x + 40, y)
    page.mouse.up()
    saved(page)
    assert server.frame("b.jpg")["people"] == []


def test_the_wheel_leaves_a_dragged_keypoint_under_the_pointer(begun: Any) -> None:
    page, server, _ = begun
    x, y = screen_place(page, server, "b.jpg", WRIST)
    page.mouse.move(x + 30, y + 20)
    page.mouse.wheel(0, -300)
    painted(page)
    page.mouse.move(x + 35, y + 20)
    page.mouse.up()
    saved(page)
    assert screen_place(page, server, "b.jpg", WRIST) == pytest.approx((x + 35, y + 20), abs=1.5)


@pytest.mark.parametrize("by", ["wheel", "key"])
def test_zooming_goes_together_with_moving_the_picture(
    by: str, run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder) as server:
        page = new_page(server.url)
        opened(page, "a.jpg")
        whole = float(page.get_attribute("#overlay", "data-scale") or 0)
        x, y = on_screen(page, 30, 30)
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 20, y)
        if by == "wheel":
            page.mouse.wheel(0, -300)
        else:
            page.keyboard.press("+")
            page.keyboard.press("+")
        painted(page)
        page.mouse.move(x + 30, y + 10)
        page.mouse.up()
        painted(page)
        assert on_screen(page, 30, 30) == pytest.approx((x + 30, y + 10), abs=1.5)
        assert float(page.get_attribute("#overlay", "data-scale") or 0) > 1.3 * whole


def test_a_box_begins_where_it_was_begun_whatever_is_zoomed_meanwhile(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder) as server:
        page = new_page(server.url)
        opened(page, "a.jpg")
        before = server.frame("a.jpg")["people"]
        page.keyboard.press("b")
        x, y = on_screen(page, 20, 20)
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 20, y + 20)
        page.mouse.wheel(0, -300)
        painted(page)
        page.mouse.move(x + 60, y + 60)
        page.mouse.up()
        saved(page)
        drawn = server.frame("a.jpg")["people"][len(before)]
        assert drawn["box"][:2] == pytest.approx([20, 20], abs=0.2)


def test_a_click_places_the_keypoint_that_is_asked_for_wherever_others_would_be(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder) as server:
        page = new_page(server.url)
        opened(page, "a.jpg")
        number = len(server.frame("a.jpg")["people"])
        page.keyboard.press("b")
        page.mouse.move(*on_screen(page, 10, 10))
        page.mouse.down()
        page.mouse.move(*on_screen(page, 50, 70))
        page.mouse.up()
        saved(page)
        points = server.frame("a.jpg")["people"][number]["keypoints"]
        ghosts = [tuple(point[:2]) for point in points]
        # At its own usual place, at that of another one, and on a handle of the box.
        places = [ghosts[0], ghosts[WRIST], (30, 70)]
        for place in places:
            page.mouse.click(*on_screen(page, *place))
        x, y = on_screen(page, *ghosts[15])  # who is dragged is another one all the same
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 10, y + 10)
        page.mouse.up()
        saved(page)
        points = server.frame("a.jpg")["people"][number]["keypoints"]
        assert [at for at, point in enumerate(points) if point[2]] == [0, 1, 2, 15]
        for point, place in zip(points, places, strict=False):
            assert point[:2] == pytest.approx(place, abs=0.6)


def test_a_click_on_a_ghost_labels_nothing_where_no_keypoint_is_asked_for(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder) as server:
        page = on_b(new_page(server.url))
        before = server.frame("b.jpg")
        points = before["people"][0]["keypoints"]
        ghost = next(at for at, point in enumerate(points) if not point[2])
        place = screen_place(page, server, "b.jpg", ghost)
        page.keyboard.press("g")
        page.mouse.click(*place)
        page.locator("#hint", has_text="Click where the").wait_for()  # only now it is asked for
        saved(page)
        assert server.frame("b.jpg") == before
        page.mouse.click(*place)
        saved(page)
        assert server.frame("b.jpg")["people"][0]["keypoints"][ghost][2] == 2


def test_who_is_out_of_sight_is_not_dragged(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder) as server:
        page = new_page(server.url, viewport={"width": 1280, "height": 720})
        page.locator(".row", has_text="#?%41.png").click()
        opened(page, PHOTOS[2])
        people = server.frame(PHOTOS[2])["people"]
        canvas = page.locator("#overlay").bounding_box()
        assert canvas is not None
        left, middle = canvas["x"], canvas["y"] + canvas["height"] / 2
        rightmost = max(on_screen(page, *person["box"][2:])[0] for person in people)
        page.keyboard.down(" ")
        page.mouse.move(rightmost, middle)
        page.mouse.down()
        page.mouse.move(left - 5, middle)
        page.mouse.up()
        page.keyboard.up(" ")
        painted(page)
        for person in people:  # their numbers would be at the left border, were they shown
            x, y = left + 12, on_screen(page, *person["box"][:2])[1] - 10
            page.mouse.move(x, y)
            page.mouse.down()
            page.mouse.move(x + 40, y)
            page.mouse.move(x, y)
            page.mouse.move(x + 5, y)
            page.mouse.up()
        assert page.locator(".person[aria-pressed=true]").count() == 0
        assert server.frame(PHOTOS[2])["people"] == people
