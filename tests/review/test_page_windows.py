"""The review page in two windows: no edit of either is lost, and a person chooses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from disks import Disk
from page_cases import lose_edits, on_b, opened, saved
from review_cases import PHOTOS, make_run, running

from vitpose_cli.records.history import frame_history

if TYPE_CHECKING:
    from playwright.sync_api import Page


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
        page = on_b(new_page(server.url))
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
        page = on_b(new_page(server.url))
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
        page = on_b(new_page(server.url))
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
            on_b(page)
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
        page = on_b(new_page(server.url))
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


def test_a_decision_leads_past_what_another_window_has_decided(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder) as server:
        page = new_page(server.url)
        opened(page, "a.jpg")
        for name in (PHOTOS[1], PHOTOS[3]):
            server.save(name, "accepted")  # another window
        page.keyboard.press("a")
        opened(page, PHOTOS[2])
        saved(page)
        assert page.locator(".row[data-state=accepted]").count() == 3
        numbers = ",".join(map(str, server.get("api/frames").json["numbers"]))
        for row in server.get(f"api/rows?numbers={numbers}").json:
            if row["name"] != PHOTOS[2]:
                server.save(row["name"], "rejected")
        page.keyboard.press("n")
        page.get_by_text("Every other frame in this list is decided.").wait_for()
        assert page.get_attribute("#frame-name", "title") == PHOTOS[2]
