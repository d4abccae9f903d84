"""The review page in a real browser: what a person does with mouse and keys, and what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from page_cases import on_b, on_screen, opened, saved, screen_place
from review_cases import HTML_NAME, PHOTOS, running

if TYPE_CHECKING:
    from playwright.sync_api import Page

RIGHT_WRIST = 10


@pytest.fixture
def queue(run_folder: Path) -> Path:
    """Return a queue of three photos of the run, the last of them first."""
    images = [
        {"id": 1, "file_name": PHOTOS[2], "reasons": ["left wrist scores 0.12", "<b>bold</b>"]},
        {"id": 2, "file_name": PHOTOS[3]},
        {"id": 3, "file_name": "b.jpg"},
    ]
    path = run_folder.parent / "queue.json"
    path.write_text(json.dumps({"images": images, "annotations": [], "categories": []}))
    return path


def drag(page: Page, start: tuple[float, float], by: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + by[0] / 2, start[1] + by[1] / 2)
    page.mouse.move(start[0] + by[0], start[1] + by[1])


def test_a_queue_is_worked_through(
    run_folder: Path, queue: Path, new_page: Callable[..., Page]
) -> None:
    first = PHOTOS[2]
    with running(run_folder, "--queue", queue, "--reviewer", "anna") as server:
        page = new_page(server.url)
        opened(page, first)
        assert page.locator(".row").count() == 3
        assert page.locator("#reasons li").all_inner_texts() == [
            "left wrist scores 0.12",
            "<b>bold</b>",
        ]

        # Drag a keypoint: it is where the mouse let it go, labelled by a person.
        page.locator(".person").first.click()
        before = server.frame(first)["people"][0]["keypoints"][RIGHT_WRIST]
        start = screen_place(page, server, first, RIGHT_WRIST)
        scale = float(page.get_attribute("#overlay", "data-scale") or 0)
        drag(page, start, (24, -18))
        page.mouse.up()
        saved(page)
        dragged = server.frame(first)
        point = dragged["people"][0]["keypoints"][RIGHT_WRIST]
        assert point[0] == pytest.approx(before[0] + 24 / scale, abs=0.05)
        assert point[1] == pytest.approx(before[1] - 18 / scale, abs=0.05)
        assert point[2:] == [2, 1.0]
        assert dragged["row"]["state"] == "draft"

        # Visible to hidden, with the key and with the inspector.
        page.keyboard.press("v")
        saved(page)
        assert server.frame(first)["people"][0]["keypoints"][RIGHT_WRIST][2] == 1
        page.locator(".seen-toggle").nth(RIGHT_WRIST).click()
        saved(page)
        assert server.frame(first)["people"][0]["keypoints"][RIGHT_WRIST][2] == 0

        # Accepting what was changed by hand makes it fixed, and opens the next frame.
        page.keyboard.press("a")
        opened(page, PHOTOS[3])
        saved(page)
        assert server.frame(first)["row"]["state"] == "fixed"
        page.wait_for_selector(f"#progress-text:text-is({'1 of 3'!r})")
        assert page.locator(".row .row-name").nth(1).text_content() == HTML_NAME
        assert page.locator("img[onerror]").count() == 0

        # An untouched one is accepted; undo goes back to the frame that was decided.
        page.keyboard.press("a")
        opened(page, "b.jpg")
        page.keyboard.press("u")
        opened(page, PHOTOS[3])
        page.keyboard.press("u")
        opened(page, first)
        for wanted in (1, 2):
            page.keyboard.press("u")
            saved(page)
            assert server.frame(first)["people"][0]["keypoints"][RIGHT_WRIST][2] == wanted
        page.keyboard.press("u")
        saved(page)
        assert server.frame(first)["people"][0]["keypoints"][RIGHT_WRIST] == before
        page.keyboard.press("Shift+U")
        saved(page)
        assert server.frame(first)["people"][0]["keypoints"][RIGHT_WRIST] == point

        # The server dies while the mouse is down.
        drag(page, screen_place(page, server, first, RIGHT_WRIST), (-30, 20))
        server.kill()
        page.mouse.up()
        page.wait_for_selector("#save-state[data-kind=failed]")
        assert "kept here" in page.inner_text("#banner")
        page.keyboard.press("b")
        page.wait_for_selector("#hint:visible")
        assert "kept here" in page.inner_text("#banner")  # it takes no place from what is wrong
        page.keyboard.press("Escape")
        lost = page.evaluate(
            "(() => { const key = Object.keys(localStorage).find((key) => key.includes('.png'));"
            " return JSON.parse(localStorage.getItem(key)); })()"
        )["people"][0]["keypoints"][RIGHT_WRIST]

    with running(run_folder, "--queue", queue, port=server.port) as restarted:
        found = restarted.frame(first)["people"][0]["keypoints"][RIGHT_WRIST]
        assert found == point  # what was answered is on the disk
        page.locator("#banner", has_text="of an earlier review").wait_for()
        again = page.context.new_page()  # the old page knows only the old link
        again.goto(restarted.url)
        again.locator("#toast", has_text="is saved now").wait_for()
        found = restarted.frame(first)["people"][0]["keypoints"][RIGHT_WRIST]
        assert found[:2] == pytest.approx(lost[:2], abs=0.01)
        assert restarted.frame(PHOTOS[3])["row"]["state"] == "draft"


def test_everything_can_be_done_with_keys(run_folder: Path, new_page: Callable[..., Page]) -> None:
    with running(run_folder) as server:
        page = new_page(server.url)
        opened(page, "a.jpg")  # nobody is there

        def press(*keys: str) -> None:
            for key in keys:
                page.keyboard.press(key)
            saved(page)

        press("b", "Enter")
        (added,) = server.frame("a.jpg")["people"]
        assert [point[2] for point in added["keypoints"]] == [0] * 17
        x0, y0, x1, y1 = added["box"]
        press("e", "Shift+ArrowRight")  # a corner of the box: its ghosts go with it
        (resized,) = server.frame("a.jpg")["people"]
        assert resized["box"] == pytest.approx([x0 + 10, y0, x1, y1], abs=0.02)
        for before, after in zip(added["keypoints"], resized["keypoints"], strict=True):
            share = (before[0] - x0) / (x1 - x0)
            assert after[0] == pytest.approx(x0 + 10 + share * (x1 - x0 - 10), abs=0.02)
        added = resized
        press(".", "2", ".", "1", "Shift+ArrowRight", "ArrowDown")
        nose, eye = server.frame("a.jpg")["people"][0]["keypoints"][:2]
        assert (nose[2], eye[2]) == (2, 1)
        assert eye[:2] == pytest.approx(
            [added["keypoints"][1][0] + 10, added["keypoints"][1][1] + 1], abs=0.02
        )
        press("Shift+S")
        points = server.frame("a.jpg")["people"][0]["keypoints"]
        assert points[2] == eye
        press("Escape", "ArrowRight")  # the whole person
        assert server.frame("a.jpg")["people"][0]["box"][0] == pytest.approx(added["box"][0] + 1)

        press("j")
        opened(page, "b.jpg")
        press("c")  # the person of a.jpg is not here yet, unless somebody stands there
        copied = "#people-title:text-is('People · 2'), #toast:has-text('here already')"
        page.wait_for_selector(copied, state="attached")
        saved(page)
        count = len(server.frame("b.jpg")["people"])
        press("p", "s")
        press("Shift+Delete")
        assert len(server.frame("b.jpg")["people"]) == count - 1
        press("r")
        assert server.frame("b.jpg")["row"]["state"] == "rejected"
        page.keyboard.press("?")
        assert page.locator("#sheet").is_visible()
        page.keyboard.press("Escape")
        page.keyboard.press("/")
        page.keyboard.type("clip.mp4")
        page.get_by_text("5 of 10 frames").wait_for()
        page.keyboard.press("Enter")
        page.keyboard.press("End")
        opened(page, "clip.mp4/frame_000004.jpg")


def test_corners_of_a_box_are_moved_with_keys(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder) as server:
        page = on_b(new_page(server.url))
        (before,) = server.frame("b.jpg")["people"]
        left, top, right, bottom = before["box"]

        def box_after(*keys: str) -> list[float]:
            for key in keys:
                page.keyboard.press(key)
            saved(page)
            (person,) = server.frame("b.jpg")["people"]
            assert person["keypoints"] == before["keypoints"]
            return list(person["box"])

        moved = [left, top - 1, right, bottom]
        assert box_after("e", "ArrowUp") == pytest.approx(moved, abs=0.02)
        moved[2:] = [right - 10, bottom + 1]
        assert box_after("e", "Shift+ArrowLeft", "ArrowDown") == pytest.approx(moved, abs=0.02)
        moved[0] = 0  # the edge of the picture
        keys = ["Shift+ArrowLeft"] * 5
        assert box_after("e", *keys) == pytest.approx(moved, abs=0.02)
        assert box_after("u", "u", "u") == pytest.approx(before["box"], abs=0.02)
        x, y = on_screen(page, left, top)
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 1, y + 1)  # too little to be a drag
        page.mouse.up()
        moved = [left, top - 1, right, bottom]
        assert box_after("ArrowUp") == pytest.approx(moved, abs=0.02)
        assert box_after("u") == pytest.approx(before["box"], abs=0.02)
        page.keyboard.press("Escape")  # the person is left, who moves as a whole
        page.keyboard.press("ArrowRight")
        saved(page)
        (person,) = server.frame("b.jpg")["people"]
        assert person["box"] == pytest.approx([left + 1, top, right + 1, bottom], abs=0.02)
