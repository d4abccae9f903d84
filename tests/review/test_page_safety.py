"""The review page in a real browser when something goes wrong: two windows, haste, a full disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from disks import Disk
from page_cases import opened, saved
from review_cases import FAILED, PHOTOS, VIDEO, make_run, running

from vitpose_cli.records.history import frame_history

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route


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


def versions(run: Path, name: str) -> list[tuple[str, str, int]]:
    """Return state, `counts` as `vitpose history` shows it, and number of people of each edit."""
    return [
        (
            record.review.state,
            "aside" if record.set_aside else "yes" * version.counts,
            len(record.uids),
        )
        for version in frame_history(run, name)
        if (record := version.record).review is not None
    ]


def test_a_person_chooses_between_two_windows(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder, "--reviewer", "anna") as server:
        page = new_page(server.url)
        page.keyboard.press("j")
        opened(page, "b.jpg")
        mine = server.frame("b.jpg")["people"]
        for answer, wanted in (("Take that version", 0), ("Keep mine", 1)):
            page.keyboard.press("p")
            server.save("b.jpg", "fixed", [] if wanted == 0 else mine)  # another window
            page.keyboard.press("Shift+Delete" if wanted == 0 else "b")
            if wanted:
                page.keyboard.press("Enter")
            page.wait_for_selector("#conflict[open]")
            assert "changed by anna" in page.inner_text("#conflict-text")
            page.get_by_text(answer).click()
            saved(page)
            page.locator("#people-title", has_text="1" if wanted else "Nobody").wait_for()
            assert len(server.frame("b.jpg")["people"]) == wanted


def test_a_version_that_is_not_taken_stays_in_the_history(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder, "--reviewer", "anna") as server:
        page = new_page(server.url)
        page.keyboard.press("j")
        opened(page, "b.jpg")
        seen = server.frame("b.jpg")["people"]
        page.keyboard.press("p")
        theirs = server.save("b.jpg", "draft", []).json["version"]  # another window
        page.keyboard.press("Shift+ArrowRight")
        for _ in range(3):
            page.wait_for_selector("#conflict[open]")
            page.keyboard.press("Escape")  # answers nothing
            page.wait_for_timeout(100)
        page.get_by_text("Take that version").click()
        saved(page)
        page.locator("#people-title", has_text="Nobody").wait_for()
        assert server.frame("b.jpg")["version"] == theirs
        page.keyboard.press("a")  # goes on with what was taken
        saved(page)
        assert page.is_hidden("#conflict")
    assert versions(run_folder, "b.jpg") == [
        ("draft", "", 0),
        ("draft", "aside", len(seen)),
        ("fixed", "yes", 0),
    ]
    mine = frame_history(run_folder, "b.jpg")[2]
    assert mine.changes is not None
    assert mine.changes.max_move_px == pytest.approx(10, abs=0.1)


def test_a_full_disk_costs_no_version_that_is_not_taken(
    disk: Disk, new_page: Callable[..., Page]
) -> None:
    run = make_run(disk.path)
    with running(run, "--reviewer", "anna") as server:
        page = new_page(server.url)
        page.keyboard.press("j")
        opened(page, "b.jpg")
        page.keyboard.press("p")
        server.save("b.jpg", "draft", [])
        disk.leave(0)
        while server.save("a.jpg", "fixed").status == 200:
            pass  # what is left of the journal's last page
        page.keyboard.press("Shift+ArrowRight")
        page.get_by_text("Take that version").click()
        page.wait_for_selector("#save-state[data-kind=failed]")
        page.locator("#people-title", has_text="Nobody").wait_for()
        page.close()
        disk.leave(1 << 20)
        assert versions(run, "b.jpg") == [("draft", "yes", 0)]
        page = page.context.new_page()
        page.goto(server.url)
        page.wait_for_selector("#frame-name:not(:empty)")
    assert versions(run, "b.jpg") == [("draft", "yes", 0), ("draft", "aside", 1)]


def test_an_edit_of_an_earlier_page_that_is_not_taken_stays_in_the_history(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder, "--reviewer", "anna") as server:
        page = new_page(server.url)
        opened(page, "a.jpg")
        lose_edits(page)
        page.keyboard.press("r")
        page.wait_for_selector("#save-state[data-kind=failed]")
        page.close()
        server.save("a.jpg", "fixed")
        page = page.context.new_page()
        page.goto(server.url)
        page.get_by_text("Take that version").click()
        page.wait_for_selector("#frame-name:not(:empty)")
    assert versions(run_folder, "a.jpg") == [("fixed", "yes", 0), ("rejected", "aside", 0)]


def test_a_decision_that_is_kept_keeps_the_labels_that_were_seen(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder, "--reviewer", "anna") as server:
        page = new_page(server.url)
        first, second = "b.jpg", PHOTOS[3]
        seen = {name: server.frame(name)["people"] for name in (first, second)}
        page.keyboard.press("j")
        opened(page, first)
        server.save(first, "fixed", [])  # another window
        page.keyboard.press("a")
        page.wait_for_selector("#conflict[open]")
        opened(page, second)  # the next is open already
        page.get_by_text("Keep mine").click()
        saved(page)
        assert server.frame(first)["people"] == seen[first]
        assert server.frame(first)["row"]["state"] == "accepted"

        # So does one that the browser kept until the page was opened again.
        lose_edits(page)
        page.keyboard.press("a")
        page.wait_for_selector("#save-state[data-kind=failed]")
        page.close()
        server.save(second, "fixed", [])
        page = page.context.new_page()
        page.goto(server.url)
        page.get_by_text("Keep mine").click()
        page.get_by_text(f"An edit of {second} that had not been saved is saved now.").wait_for()
        assert server.frame(second)["people"] == seen[second]
        assert server.frame(second)["row"]["state"] == "accepted"


def test_a_decision_on_what_another_window_changed_is_asked_about(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder, "--reviewer", "anna") as server:
        first, second = (new_page(server.url) for _ in range(2))
        for page in (first, second):
            page.keyboard.press("j")
            opened(page, "b.jpg")
        seen = server.frame("b.jpg")["people"]
        for key in ("p", ".", ".", "Shift+ArrowRight", "a"):  # the move and the decision in one
            first.keyboard.press(key)
        saved(first)
        second.keyboard.press("a")
        second.wait_for_selector("#conflict[open]")
        second.get_by_text("Take that version").click()
        saved(second)
        second.keyboard.press("u")
        second.wait_for_timeout(300)
        saved(second)
        after = server.frame("b.jpg")
        assert after["row"]["state"] == "fixed"
        moved = after["people"][0]["keypoints"][1]
        assert moved[0] == pytest.approx(seen[0]["keypoints"][1][0] + 10)
    assert versions(run_folder, "b.jpg") == [("fixed", "yes", 1), ("accepted", "aside", 1)]


def test_undo_leaves_what_another_window_did_since(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder, "--reviewer", "anna") as server:
        page = new_page(server.url)
        page.keyboard.press("j")
        opened(page, "b.jpg")
        people = server.frame("b.jpg")["people"]
        page.keyboard.press("p")
        page.keyboard.press("Shift+Delete")
        page.locator("#people-title", has_text="Nobody").wait_for()
        saved(page)
        page.keyboard.press("j")
        page.wait_for_selector("#frame-name:not([title='b.jpg'])")
        page.keyboard.press("u")  # nobody else was there: it is undone
        opened(page, "b.jpg")
        page.locator("#people-title", has_text=str(len(people))).wait_for()
        saved(page)
        assert len(server.frame("b.jpg")["people"]) == len(people)
        page.keyboard.press("j")
        page.wait_for_selector("#frame-name:not([title='b.jpg'])")
        server.save("b.jpg", "fixed", people)  # another window
        page.keyboard.press("Shift+u")
        opened(page, "b.jpg")
        page.get_by_text("another window changed this frame meanwhile").wait_for()
        assert server.frame("b.jpg")["row"]["state"] == "fixed"
        assert len(server.frame("b.jpg")["people"]) == len(people)
        page.keyboard.press("u")  # what was forgotten is not undone, either
        assert server.frame("b.jpg")["row"]["state"] == "fixed"


def test_only_frames_that_were_seen_are_decided(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder) as server:
        page = new_page(server.url)
        opened(page, "a.jpg")
        held = page.context.new_cdp_session(page)
        for repeat in [False] + [True] * 5:
            press = {"type": "keyDown", "key": "a", "code": "KeyA", "autoRepeat": repeat}
            held.send("Input.dispatchKeyEvent", press)
            page.wait_for_timeout(150)  # until the next frame is open
        opened(page, "b.jpg")
        saved(page)
        assert server.get("api/progress").json["counts"]["accepted"] == 1
        held.send("Input.dispatchKeyEvent", {"type": "keyUp", "key": "a", "code": "KeyA"})

        # The second press comes while the next frame is on its way.
        following = PHOTOS[3]
        held_back = hold_back(page, f"**/api/frames/{server.number(following)}")
        page.keyboard.press("a")
        page.keyboard.press("r")
        page.wait_for_timeout(300)
        (route,) = held_back
        route.continue_()
        opened(page, following)
        saved(page)
        assert server.frame("b.jpg")["row"]["state"] == "accepted"
        page.keyboard.press("r")
        saved(page)
        assert server.frame(following)["row"]["state"] == "rejected"


def test_a_lost_answer_is_no_other_window(run_folder: Path, new_page: Callable[..., Page]) -> None:
    with running(run_folder, "--reviewer", "anna") as server:
        page = new_page(server.url)
        page.keyboard.press("j")
        opened(page, "b.jpg")
        before = server.frame("b.jpg")["people"][0]["keypoints"][1]
        held_back = hold_back(page, f"**/api/frames/{server.number('b.jpg')}")
        for key in ("p", ".", ".", "1"):
            page.keyboard.press(key)
        while not held_back:
            page.wait_for_timeout(20)
        (route,) = held_back
        route.fetch()  # the server has it
        page.keyboard.press("Shift+ArrowRight")
        route.abort("connectionreset")
        page.wait_for_selector("#save-state[data-kind=failed]")
        page.wait_for_selector("#save-state[data-kind=saved], #conflict[open]")
        assert page.is_hidden("#conflict")
        after = server.frame("b.jpg")["people"][0]["keypoints"][1]
        assert after == [pytest.approx(before[0] + 10), before[1], 1, 1]

        # Whoever else changed it since is asked about.
        held_back = hold_back(page, f"**/api/frames/{server.number('b.jpg')}")
        page.keyboard.press("2")
        while not held_back:
            page.wait_for_timeout(20)
        (route,) = held_back
        route.fetch()
        page.keyboard.press("0")
        server.save("b.jpg", "fixed", [])
        route.abort("connectionreset")
        page.wait_for_selector("#conflict[open]")
        page.get_by_text("Take that version").click()
        saved(page)
        assert server.frame("b.jpg")["people"] == []


@pytest.mark.parametrize("received", [True, False])
@pytest.mark.parametrize("decision", [True, False])
def test_an_edit_behind_one_on_its_way_is_no_other_windows(
    received: bool, decision: bool, run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder, "--reviewer", "anna") as server:
        page = new_page(server.url)
        page.keyboard.press("j")
        opened(page, "b.jpg")
        before = server.frame("b.jpg")["people"][0]["keypoints"][1]
        lose_edits(page)
        held_back = hold_back(page, f"**/api/frames/{server.number('b.jpg')}")
        for key in ("p", ".", ".", "1"):
            page.keyboard.press(key)
        while not held_back:
            page.wait_for_timeout(20)
        if received:
            held_back[0].fetch()
        page.keyboard.press("a" if decision else "Shift+ArrowRight")
        page.wait_for_timeout(100)
        if not received:
            held_back[0].abort("connectionreset")
            page.wait_for_selector("#save-state[data-kind=failed]")
        page.close()
        assert (server.frame("b.jpg")["row"]["state"] == "draft") == received
        page = page.context.new_page()
        page.goto(server.url)
        page.wait_for_selector("#frame-name:not(:empty), #conflict[open]")
        assert page.is_hidden("#conflict")
        after = server.frame("b.jpg")
        assert after["row"]["state"] == ("fixed" if decision else "draft")
        moved_x = before[0] if decision else pytest.approx(before[0] + 10)
        x, y, seen, _ = after["people"][0]["keypoints"][1]
        assert (x, y, seen) == (moved_x, before[1], 1)
        assert not page.evaluate("Object.keys(localStorage).some((key) => key.includes('b.jpg'))")


def test_a_copy_is_of_the_pose_whose_edit_is_still_on_its_way(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    first, second = (f"{VIDEO}/frame_00000{index}.jpg" for index in range(2))
    with running(run_folder) as server:
        page = new_page(server.url)
        page.locator(f".row[title^='{first}']").click()
        opened(page, first)
        held_back = hold_back(page, f"**/api/frames/{server.number(first)}")
        for key in ("p", ".", ".", "Shift+ArrowRight"):
            page.keyboard.press(key)
        while not held_back:
            page.wait_for_timeout(20)
        page.keyboard.press("j")
        opened(page, second)
        page.keyboard.press("p")
        page.keyboard.press("c")
        page.wait_for_timeout(300)
        (route,) = held_back
        route.continue_()
        page.wait_for_selector("#frame-state[data-state=draft]")
        saved(page)
        third = f"{VIDEO}/frame_000002.jpg"  # which was as these two were
        before, after, untouched = (
            server.frame(name)["people"][0]["keypoints"][1] for name in (first, second, third)
        )
        assert after == before
        assert before[0] == pytest.approx(untouched[0] + 10)


def test_the_rejection_of_an_unreadable_photo_can_be_undone(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder) as server:
        page = new_page(server.url)
        page.locator(".row", has_text=FAILED).click()
        opened(page, FAILED)
        page.keyboard.press("r")
        page.wait_for_selector(f"#frame-name:not([title='{FAILED}'])")
        saved(page)
        assert server.frame(FAILED)["row"]["state"] == "rejected"
        for key, state in (("u", "failed"), ("Shift+u", "rejected")):
            page.keyboard.press(key)
            opened(page, FAILED)
            page.wait_for_selector(f"#frame-state[data-state={state}]")
            saved(page)
            assert server.frame(FAILED)["row"]["state"] == state


def test_a_late_answer_does_not_replace_a_later_search(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder) as server:
        page = new_page(server.url)
        held_back = hold_back(page, "**/api/frames?*text=clip*")
        page.fill("#search", "clip")
        while not held_back:
            page.wait_for_timeout(20)
        page.fill("#search", "b.jpg")
        page.get_by_text("1 of 10 frames").wait_for()
        with page.expect_response("**/api/frames?*text=clip*"):
            held_back[0].continue_()
        page.wait_for_timeout(100)
        assert page.inner_text("#frames-count") == "1 of 10 frames"
        assert page.locator(".row .row-name").all_inner_texts() == ["b.jpg"]


def test_a_full_disk_costs_no_edit(disk: Disk, new_page: Callable[..., Page]) -> None:
    run = make_run(disk.path)
    with running(run, "--reviewer", "anna") as server:
        page = new_page(server.url)
        opened(page, "a.jpg")
        disk.leave(0)
        page.keyboard.press("a")
        page.wait_for_selector("#save-state[data-kind=failed]")
        assert "No space left on device. Your last edit is kept here" in page.inner_text("#banner")
        for room in (0, 1 << 20):  # the browser keeps it until there is some
            page.close()
            assert server.frame("a.jpg")["row"]["state"] == "todo"
            disk.leave(room)
            page = page.context.new_page()
            page.goto(server.url)
            page.wait_for_selector("#frame-name:not(:empty)")
        page.get_by_text("An edit of a.jpg that had not been saved is saved now.").wait_for()
        assert server.frame("a.jpg")["row"]["state"] == "accepted"
        disk.leave(0)
        while (status := server.save("a.jpg", "fixed").status) == 200:
            pass  # what is left of the journal's last page
        assert status == 507
        opened(page, "b.jpg")
        page.keyboard.press("r")
        page.wait_for_selector("#save-state[data-kind=failed]")
        disk.leave()
        saved(page)
        assert page.is_hidden("#banner")
        assert server.frame("b.jpg")["row"]["state"] == "rejected"


def test_what_waits_for_an_edit_that_cannot_be_saved_says_so(
    disk: Disk, new_page: Callable[..., Page]
) -> None:
    run = make_run(disk.path)
    with running(run, "--reviewer", "anna") as server:
        page = new_page(server.url)
        opened(page, "a.jpg")
        disk.leave(0)
        page.keyboard.press("a")
        page.wait_for_selector("#save-state[data-kind=failed]")
        opened(page, "b.jpg")
        for key in ("u", "u", "a", "f", "r"):
            page.evaluate("document.getElementById('toast').textContent = ''")
            page.keyboard.press(key)
            page.locator("#toast", has_text="This waits until the last edit is saved.").wait_for()
        opened(page, "b.jpg")
        disk.leave()
        opened(page, "a.jpg")  # undone, once and no more
        page.get_by_text("Undone: accepted").wait_for()
        saved(page)
        states = {name: server.frame(name)["row"]["state"] for name in ("a.jpg", "b.jpg")}
        assert states == {"a.jpg": "draft", "b.jpg": "todo"}


def test_a_browser_that_keeps_nothing_is_no_obstacle(
    run_folder: Path, tmp_path: Path, browser: Browser, browser_options: dict[str, Any]
) -> None:
    preferences = tmp_path / "profile" / "Default" / "Preferences"
    preferences.parent.mkdir(parents=True)
    blocked = {"profile": {"default_content_setting_values": {"cookies": 2}}}  # all site data
    preferences.write_text(json.dumps(blocked), encoding="utf-8")
    launch = browser.browser_type.launch_persistent_context
    with launch(tmp_path / "profile", **browser_options) as context:
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        with running(run_folder) as server:
            page.goto(server.url)
            opened(page, "a.jpg")
            with pytest.raises(Exception, match="Access is denied"):
                page.evaluate("localStorage")
            page.keyboard.press("a")
            opened(page, "b.jpg")
            saved(page)
            assert server.frame("a.jpg")["row"]["state"] == "accepted"
            page.locator("#pace", has_text="s a frame").wait_for()
            for shown in ("Light", "Dark", "Colours as the system has them"):
                page.keyboard.press("Shift+t")
                page.locator("#toast", has_text=shown).wait_for()
            server.kill()
            page.keyboard.press("r")
            page.locator("#banner", has_text="kept here until it does").wait_for()
        with running(run_folder, port=server.port):
            page.locator("#banner", has_text="has to be done again there").wait_for()
        assert errors == []
