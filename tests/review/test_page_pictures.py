"""The review page in a real browser: pictures that are slow, do not come, or are not there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from page_cases import on_b, opened, saved, until
from review_cases import PHOTOS, make_photo, running

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route


def test_a_picture_that_did_not_come_ahead_is_asked_for_again(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder) as server:
        page = new_page(server.url)
        opened(page, "a.jpg")
        page.route(
            f"**/{server.number(PHOTOS[3])}/picture",
            lambda route: route.abort("connectionreset"),
            times=1,
        )
        with page.expect_event("requestfailed"):
            on_b(page)  # where the next picture is asked for, too
        page.keyboard.press("n")
        opened(page, PHOTOS[3])
        assert page.locator("#blank").is_hidden()
        assert page.evaluate("document.getElementById('picture').naturalWidth") > 0


def test_a_frame_can_be_left_and_opened_again_before_its_picture_has_come(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    slowly = {"offline": False, "latency": 150, "downloadThroughput": -1, "uploadThroughput": -1}
    with running(run_folder) as server:
        page = new_page(server.url)
        opened(page, "a.jpg")
        page.wait_for_timeout(500)
        page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", slowly)
        for key in "jjjjk":
            page.keyboard.press(key)
            page.wait_for_timeout(30)
        page.wait_for_timeout(1500)
        assert page.locator("#blank").is_hidden()
        assert page.evaluate("document.getElementById('picture').naturalWidth") > 0


def test_labels_that_nobody_can_see_are_not_accepted(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    (run_folder.parent / "media" / "b.jpg").unlink()
    with running(run_folder) as server:
        page = on_b(new_page(server.url))
        page.get_by_text("This picture cannot be shown", exact=True).wait_for()
        for key in ("a", "f"):
            page.keyboard.press(key)
            page.get_by_text("the frame can only be rejected").wait_for()
        assert server.frame("b.jpg")["row"]["state"] == "todo"
        page.keyboard.press("r")
        opened(page, PHOTOS[3])
        saved(page)
        assert server.frame("b.jpg")["row"]["state"] == "rejected"

        make_photo(run_folder.parent / "media" / "b.jpg")
        page.locator(".row", has_text="b.jpg").click()
        opened(page, "b.jpg")
        page.keyboard.press("a")
        opened(page, PHOTOS[3])
        saved(page)
        assert server.frame("b.jpg")["row"]["state"] == "accepted"


def was_asked(routes: list[Route], end: str) -> bool:
    return any(route.request.url.endswith(end) for route in routes)


def test_pictures_that_were_passed_by_are_not_waited_for(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder) as server:
        page = new_page(server.url)
        opened(page, "a.jpg")
        page.wait_for_load_state("networkidle")
        waiting: list[Route] = []
        gone: list[str] = []
        page.on("requestfailed", lambda request: gone.append(request.url))
        page.route("**/picture", lambda route: waiting.append(route))
        page.keyboard.press("j")  # to the second, whose picture is there
        opened(page, "b.jpg")
        numbers = server.get("api/frames").json["numbers"]
        for number in numbers[2:6]:  # whose pictures are slow
            page.keyboard.press("j")
            until(page, partial(was_asked, waiting, f"/{number}/picture"))
        until(page, lambda: len(gone) >= len(waiting) - 1)
        assert waiting[-1].request.url not in gone
        waiting[-1].continue_()
        opened(page, "clip.mp4/frame_000000.jpg")
