"""The review page in a real browser: finding frames by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from identity_cases import make_two_videos
from page_cases import held, hold_back, opened, saved, until
from review_cases import VIDEO, running, running_read_late

if TYPE_CHECKING:
    from playwright.sync_api import Page


def find(page: Page, text: str) -> None:
    page.keyboard.press("/")
    page.keyboard.press("Control+a")
    page.keyboard.type(text)
    page.keyboard.press("Enter")


def test_enter_opens_what_the_search_has_found(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder) as server:
        page = new_page(server.url)
        opened(page, "a.jpg")
        find(page, "000003")  # before the list is there
        opened(page, "clip.mp4/frame_000003.jpg")
        page.get_by_text("1 of 10 frames").wait_for()
        page.keyboard.press("a")
        saved(page)
        assert server.frame("clip.mp4/frame_000003.jpg")["row"]["state"] == "accepted"
        assert server.frame("a.jpg")["row"]["state"] == "todo"

        find(page, "clip")  # among others, the open one stays
        page.get_by_text("5 of 10 frames").wait_for()
        page.keyboard.press("ArrowDown")
        opened(page, "clip.mp4/frame_000004.jpg")

        page.keyboard.press("/")
        page.keyboard.press("Control+a")
        page.keyboard.type("b.jpg")
        page.get_by_text("1 of 10 frames").wait_for()
        page.focus("#list")
        page.keyboard.press("Enter")  # in the list, too
        opened(page, "b.jpg")

        find(page, "nothing is called so")
        page.get_by_text("No frame fits this filter.").wait_for()
        assert page.get_attribute("#frame-name", "title") == "b.jpg"


def test_a_search_that_was_replaced_is_given_up(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    """Each would else wait on one of the browser's six connections while a large run is read."""
    with running(run_folder) as server:
        page = new_page(server.url)
        opened(page, "a.jpg")
        page.wait_for_load_state("networkidle")
        given_up: list[str] = []
        page.on("requestfailed", lambda request: given_up.append(request.url))
        waiting = hold_back(page, "**/api/frames?**text=clip*")
        page.keyboard.press("/")
        page.keyboard.type("clip")
        address = held(page, waiting).request.url
        find(page, "b.jpg")
        opened(page, "b.jpg")
        until(page, lambda: given_up == [address])
        assert page.inner_text("#frames-count") == "1 of 10 frames"
        page.locator(".row-name", has_text="b.jpg").wait_for()
        assert page.locator(".row").count() == 1
        assert "shown" not in (page.get_attribute("#toast", "class") or "")


def test_a_search_before_the_first_list_leaves_it_that_the_run_is_being_read(
    tmp_path: Path, new_page: Callable[..., Page]
) -> None:
    with running_read_late(make_two_videos(tmp_path), 1000) as (server, go_on):
        page = new_page(server.url).context.new_page()
        waiting = hold_back(page, "**/api/frames?*")
        page.goto(server.url)
        first = held(page, waiting)
        with page.expect_request("**/api/frames?*text=jpg*"):
            page.fill("#search", "jpg")
        first.continue_()
        go_on.touch()
        page.locator("#frames-count", has_text="10 frames").wait_for()
        videos = page.locator("#filter-video option")
        until(page, lambda: videos.count() == 3)  # of all that was read


def test_that_the_server_does_not_answer_is_said_in_words(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder) as server:
        page = new_page(server.url)
        opened(page, "a.jpg")
        page.wait_for_load_state("networkidle")
        server.kill()
        for keys in (["j"], ["/", "b", "Enter"]):
            page.evaluate("document.getElementById('toast').textContent = ''")
            for key in keys:
                page.keyboard.press(key)
            page.locator("#toast", has_text="The server does not answer. Start").wait_for()
        assert page.get_attribute("#frame-name", "title") == "a.jpg"


def test_a_video_stays_chosen_when_the_run_has_been_read(
    tmp_path: Path, new_page: Callable[..., Page]
) -> None:
    with running_read_late(make_two_videos(tmp_path), 1000) as (server, go_on):
        page = new_page(server.url)
        page.locator("#frames-count", has_text="the rest is being read").wait_for()
        page.keyboard.press("Shift+f")
        with page.expect_request("**/api/frames?*video=*"):
            page.select_option("#filter-video", VIDEO)
        go_on.touch()
        page.locator("#frames-count", has_text="5 of 10 frames").wait_for()
        page.wait_for_timeout(1000)  # until the page knows that all is read
        assert page.inner_text("#frames-count") == "5 of 10 frames"
        assert page.input_value("#filter-video") == VIDEO
