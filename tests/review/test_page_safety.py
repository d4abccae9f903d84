"""The review page in a real browser when something goes wrong: haste, lost answers, a full disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from disks import Disk
from page_cases import held, hold_back, lose_edits, on_b, opened, saved
from review_cases import FAILED, PHOTOS, VIDEO, make_run, running

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


def test_only_frames_that_were_seen_are_decided(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder) as server:
        page = new_page(server.url)
        opened(page, "a.jpg")
        keyboard = page.context.new_cdp_session(page)
        for repeat in [False] + [True] * 5:
            press = {"type": "keyDown", "key": "a", "code": "KeyA", "autoRepeat": repeat}
            keyboard.send("Input.dispatchKeyEvent", press)
            page.wait_for_timeout(150)  # until the next frame is open
        opened(page, "b.jpg")
        saved(page)
        assert server.get("api/progress").json["counts"]["accepted"] == 1
        keyboard.send("Input.dispatchKeyEvent", {"type": "keyUp", "key": "a", "code": "KeyA"})

        # The second press comes while the next frame is on its way.
        following = PHOTOS[3]
        held_back = hold_back(page, f"**/api/frames/{server.number(following)}")
        page.keyboard.press("a")
        page.keyboard.press("r")
        page.wait_for_timeout(300)
        held(page, held_back).continue_()
        opened(page, following)
        saved(page)
        assert server.frame("b.jpg")["row"]["state"] == "accepted"
        page.keyboard.press("r")
        saved(page)
        assert server.frame(following)["row"]["state"] == "rejected"


def test_a_lost_answer_is_no_other_window(run_folder: Path, new_page: Callable[..., Page]) -> None:
    with running(run_folder, "--reviewer", "anna") as server:
        page = on_b(new_page(server.url))
        before = server.frame("b.jpg")["people"][0]["keypoints"][1]
        held_back = hold_back(page, f"**/api/frames/{server.number('b.jpg')}")
        for key in ("p", ".", ".", "1"):
            page.keyboard.press(key)
        route = held(page, held_back)
        route.fetch()  # the server has it
        page.keyboard.press("Shift+ArrowRight")
        route.abort("connectionreset")
        page.wait_for_selector("#save-state[data-kind=saved], #conflict[open]")
        assert page.is_hidden("#conflict")
        after = server.frame("b.jpg")["people"][0]["keypoints"][1]
        assert after == [pytest.approx(before[0] + 10), before[1], 1, 1]

        # Whoever else changed it since is asked about.
        held_back = hold_back(page, f"**/api/frames/{server.number('b.jpg')}")
        page.keyboard.press("2")
        route = held(page, held_back)
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
        page = on_b(new_page(server.url))
        before = server.frame("b.jpg")["people"][0]["keypoints"][1]
        lose_edits(page)
        held_back = hold_back(page, f"**/api/frames/{server.number('b.jpg')}")
        for key in ("p", ".", ".", "1"):
            page.keyboard.press(key)
        held(page, held_back)
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
        held(page, held_back)
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
