"""The review page in a real browser: answers that come late, after something else was done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from page_cases import held, hold_back, on_b, open_row, opened, saved
from review_cases import PHOTOS, VIDEO, Server, running

from vitpose_cli.records.history import frame_history

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

VIDEO_FRAMES = [f"{VIDEO}/frame_{index:06d}.jpg" for index in range(5)]


def copy_a_pose(page: Page, server: Server) -> Route:
    """Copy one to the second frame of the video; return the request for the first, held back."""
    first, second = VIDEO_FRAMES[:2]
    open_row(page, second)
    waiting = hold_back(page, f"**/api/frames/{server.number(first)}")
    page.keyboard.press("p")
    page.keyboard.press("c")
    return held(page, waiting)


def test_a_look_at_other_windows_shows_nothing_of_before_an_edit_here(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder) as server:
        page = on_b(new_page(server.url))
        waiting = hold_back(page, f"**/api/frames/{server.number('b.jpg')}")
        page.evaluate("window.dispatchEvent(new Event('focus'))")
        before = held(page, waiting).fetch()
        page.keyboard.press("p")
        page.keyboard.press("Shift+Delete")
        saved(page)
        waiting[0].fulfill(response=before)
        page.wait_for_timeout(200)
        assert page.inner_text("#people-title") == "Nobody is labelled"
        page.keyboard.press("u")  # nor is it forgotten here
        page.locator("#people-title", has_text="1").wait_for()
        saved(page)
        assert page.is_hidden("#conflict")
        assert len(server.frame("b.jpg")["people"]) == 1


def test_a_pose_is_copied_to_whom_it_was_asked_for(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    first, second = VIDEO_FRAMES[:2]
    with running(run_folder) as server:
        people, (person,) = server.frame(first)["people"], server.frame(second)["people"]
        before, other = person["keypoints"][1], person | {"uid": "other"}
        assert server.save(second, "draft", [person, other]).status == 200
        people[0]["keypoints"][1] = [10, 20, 1, 1]
        assert server.save(first, "draft", people).status == 200
        page = new_page(server.url)
        before_it = copy_a_pose(page, server)
        page.keyboard.press("p")  # by the time of the answer the other one is chosen
        before_it.continue_()
        page.wait_for_selector("[data-command=undo]:enabled")
        saved(page)
        points = [person["keypoints"][1] for person in server.frame(second)["people"]]
        assert points == [[10, 20, 1, 1], before]
        assert page.locator(".person[aria-pressed=true] .person-number").inner_text() == "2"


def test_who_types_a_name_while_the_first_frame_comes_decides_nothing(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder) as server:
        page = new_page(server.url).context.new_page()
        waiting = hold_back(page, "**/api/frames/*")
        page.goto(server.url)
        held(page, waiting)
        page.keyboard.press("/")
        page.keyboard.type("r")
        waiting[0].continue_()
        page.wait_for_selector("#frame-name:not(:empty)")
        page.wait_for_timeout(100)
        page.keyboard.type("rr")
        assert page.input_value("#search") == "rrr"
        assert server.get("api/progress").json["counts"]["rejected"] == 0


def test_the_frame_that_was_clicked_opens_before_the_first_one(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder) as server:
        page = new_page(server.url).context.new_page()
        waiting = hold_back(page, "**/api/frames/*")
        page.goto(server.url)
        held(page, waiting)
        page.locator(".row", has_text="b.jpg").click()
        opened(page, "b.jpg")
        second = page.context.new_page()
        waiting = hold_back(second, f"**/api/frames/{server.number('b.jpg')}")
        hold_back(second, "**/api/frames/0")
        second.goto(server.url)
        second.locator(".row", has_text="b.jpg").click()
        second.fill("#search", "jpg")  # the list is made anew while it is on its way
        second.locator("#frames-count", has_text=" of 10 frames").wait_for()
        held(second, waiting).continue_()
        opened(second, "b.jpg")
        second.wait_for_timeout(200)
        opened(second, "b.jpg")


def test_a_frame_without_a_picture_is_shown_before_it_is_known_why(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    (run_folder.parent / "media" / "b.jpg").unlink()
    with running(run_folder) as server:
        page = new_page(server.url)
        opened(page, "a.jpg")
        page.wait_for_load_state("networkidle")
        waiting: list[Route] = []

        def hold(route: Route) -> None:
            if route.request.resource_type == "fetch":  # the question why
                waiting.append(route)
            else:
                route.continue_()

        page.route(f"**/{server.number('b.jpg')}/picture", hold)
        page.keyboard.press("j")
        opened(page, "b.jpg")
        assert page.inner_text("#blank") == "This picture cannot be shown"
        held(page, waiting).continue_()
        page.locator("#blank", has_text="b.jpg is not in").wait_for()
        open_row(page, PHOTOS[3])
        open_row(page, "b.jpg")
        held(page, waiting[1:])
        page.keyboard.press("r")  # also before it is known why
        opened(page, PHOTOS[3])
        assert page.is_hidden("#blank")
        waiting[1].continue_()
        saved(page)
        assert server.frame("b.jpg")["row"]["state"] == "rejected"


def test_what_comes_while_a_person_chooses_between_windows_is_kept_with_the_rest(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    first, second = VIDEO_FRAMES[:2]
    with running(run_folder, "--reviewer", "anna") as server:
        people = server.frame(first)["people"]
        people[0]["keypoints"][1] = [10, 20, 1, 1]
        assert server.save(first, "draft", people).status == 200
        page = new_page(server.url)
        before_it = copy_a_pose(page, server)
        assert server.save(second, "fixed", []).status == 200  # another window
        page.keyboard.press("Shift+ArrowRight")
        page.wait_for_selector("#conflict[open]")
        with page.expect_response(f"**/api/frames/{server.number(first)}"):
            before_it.continue_()
        page.wait_for_timeout(100)
        page.get_by_text("Take that version").click()
        saved(page)
        assert server.frame(second)["people"] == []
    (aside,) = (
        version.record for version in frame_history(run_folder, second) if version.record.set_aside
    )
    assert aside.instances is not None
    assert aside.instances.keypoints[0, 1].tolist() == [10, 20]


def test_keys_that_were_meant_for_the_picture_answer_no_question(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder) as server:
        page = on_b(new_page(server.url))
        page.keyboard.press("p")
        theirs = server.save("b.jpg", "fixed", []).json["version"]  # another window
        page.keyboard.press("Shift+ArrowRight")
        page.wait_for_selector("#conflict[open]")
        for key in ("Enter", " ", "a"):
            page.keyboard.press(key)
        page.wait_for_timeout(100)
        assert page.is_visible("#conflict")
        assert server.frame("b.jpg")["version"] == theirs
        for key in ("Tab", "Tab", "Enter"):
            page.keyboard.press(key)
        saved(page)
        assert len(server.frame("b.jpg")["people"]) == 1


def test_late_rows_and_a_late_list_show_nothing_of_before_an_edit(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder) as server:
        page = on_b(new_page(server.url))
        row = page.locator(".row[aria-selected=true]")
        lists = hold_back(page, "**/api/frames?*")
        page.fill("#search", "jpg")
        listed = held(page, lists).fetch()
        page.focus("#overlay")
        page.keyboard.press("p")
        page.keyboard.press("Shift+Delete")
        saved(page)
        rows = hold_back(page, "**/api/rows?*")
        lists[0].fulfill(response=listed)
        before = held(page, rows).fetch()
        assert row.get_attribute("data-state") == "todo"  # so far that is all it knows
        page.keyboard.press("b")
        page.keyboard.press("Enter")
        page.keyboard.press("b")
        page.keyboard.press("Enter")
        saved(page)
        page.wait_for_selector(".row[data-state=draft]")
        rows[0].fulfill(response=before)
        page.locator(".row-facts", has_text="2 people").wait_for()
        page.wait_for_timeout(200)
        assert "2 people" in row.inner_text()
        assert row.get_attribute("data-state") == "draft"
