"""The review page in a real browser: edits that cannot be saved at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from page_cases import held, hold_back, lose_edits, on_b, open_row, opened, saved
from review_cases import PHOTOS, make_photo, running, running_read_late

from vitpose_cli.records.history import frame_history

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_a_late_answer_to_an_edit_leaves_what_the_banner_says_of_the_picture(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    make_photo(run_folder.parent / "media" / "b.jpg", (100, 200))
    with running(run_folder) as server:
        page = new_page(server.url)
        opened(page, "a.jpg")
        lose_edits(page)
        page.keyboard.press("a")
        page.locator("#banner", has_text="kept here until it does").wait_for()
        opened(page, "b.jpg")
        page.unroute_all()
        saved(page)
        wrong = "The labels are of a picture of 160 × 120: they do not fit this one."
        assert page.inner_text("#banner") == wrong
        open_row(page, PHOTOS[2])
        assert page.is_hidden("#banner")


def test_an_edit_that_is_never_answered_is_told_to_be_unsaved(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder) as server:
        page = new_page(server.url).context.new_page()
        page.clock.install()
        page.goto(server.url)
        opened(page, "a.jpg")
        waiting = hold_back(page, "**/api/frames/*", "POST")
        page.keyboard.press("a")
        edit = held(page, waiting)
        opened(page, "b.jpg")
        page.clock.fast_forward(9_000)
        assert page.inner_text("#save-state") == "Saving…"
        page.clock.fast_forward(2_000)
        page.locator("#banner", has_text="kept here until it does").wait_for()
        assert page.inner_text("#save-state") == "Not saved"
        page.keyboard.press("k")
        page.locator("#toast", has_text="waits until the last edit is saved").wait_for()
        edit.continue_()
        saved(page)
        opened(page, "a.jpg")
        assert page.is_hidden("#banner")
    assert len(frame_history(run_folder, "a.jpg")) == 2  # of the model, and the edit once


def test_an_edit_that_waits_for_a_run_that_is_read_says_that(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running_read_late(run_folder, 1) as (server, go_on):
        page = new_page(server.url).context.new_page()
        page.clock.install()
        page.goto(server.url)
        opened(page, "a.jpg")
        page.keyboard.press("a")
        page.clock.fast_forward(11_000)
        page.locator("#banner", has_text="The run is still being read.").wait_for()
        go_on.touch()
        saved(page)
        assert server.frame("a.jpg")["row"]["state"] == "accepted"


def test_a_server_that_asks_which_version_counts_is_there_again(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder) as server:
        page = on_b(new_page(server.url))
        lose_edits(page)
        page.keyboard.press("p")
        page.keyboard.press("Shift+ArrowRight")
        page.locator("#banner", has_text="kept here until it does").wait_for()
        assert server.save("b.jpg", "fixed", []).status == 200  # another window
        page.unroute_all()
        page.wait_for_selector("#conflict[open]")
        assert page.is_hidden("#banner")
        page.get_by_text("Keep mine").click()
        saved(page)
        assert len(server.frame("b.jpg")["people"]) == 1


@pytest.mark.parametrize("num_more", [0, 1])
def test_an_edit_is_sent_also_where_the_page_was_not_closed_after_all(
    run_folder: Path, new_page: Callable[..., Page], num_more: int
) -> None:
    with running(run_folder) as server:
        page = on_b(new_page(server.url))
        before = server.frame("b.jpg")["people"][0]["box"][0]
        page.keyboard.press("p")
        page.evaluate(
            """(numMore) => {
            const press = () => {
                const key = new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true});
                document.getElementById('overlay').dispatchEvent(key);
            };
            press();
            window.dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}));
            for (let more = 0; more < numMore; more++) press(); // before it is sent again
        }""",
            num_more,
        )
        page.wait_for_selector("#save-state[data-kind=saved], #conflict[open]")
        assert page.is_hidden("#conflict")
        frame = server.frame("b.jpg")
        assert frame["row"]["state"] == "draft"
        assert frame["people"][0]["box"][0] == pytest.approx(before + 1 + num_more, abs=0.1)


def test_what_replaces_a_refused_edit_stays(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder) as server:
        page = on_b(new_page(server.url))
        waiting = hold_back(page, f"**/api/frames/{server.number('b.jpg')}", method="GET")
        page.evaluate(
            """async () => {
            const from = (name) => import(new URL(name, location.href));
            const [{commit}, {app}] = [await from('changes.js'), await from('app.js')];
            commit('go too far', app.frame.people.map((one) => ({...one, box_score: 1e9})));
        }"""
        )
        before = held(page, waiting).fetch()  # for the page asks what counts then
        page.keyboard.press("p")
        page.keyboard.press("Shift+Delete")
        saved(page)
        assert server.frame("b.jpg")["people"] == []
        waiting[0].fulfill(response=before)
        page.wait_for_timeout(200)
        assert page.inner_text("#people-title") == "Nobody is labelled"


def test_a_window_that_opens_meanwhile_leaves_the_unsaved_edits_of_another(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder, "--reviewer", "anna") as server:
        page = on_b(new_page(server.url))
        number = server.number("b.jpg")
        before = server.frame("b.jpg")["people"][0]["keypoints"][1]
        edits = hold_back(page, f"**/api/frames/{number}")
        for key in ("p", ".", ".", "1"):
            page.keyboard.press(key)
        held(page, edits)

        # It is saved while the other window looks for its frame: there is nothing to be done.
        other = page.context.new_page()
        errors: list[str] = []
        other.on("pageerror", lambda error: errors.append(str(error)))
        search = hold_back(other, "**/api/frames?name=*")
        other.goto(server.url)
        held(other, search)
        edits[0].continue_()
        saved(page)
        search[0].continue_()
        other.wait_for_selector("#frame-name:not(:empty)")
        assert other.is_hidden("#banner")

        # More is done while the other window saves it.
        edits = hold_back(page, f"**/api/frames/{number}")
        page.keyboard.press("2")
        held(page, edits)
        third = page.context.new_page()
        sent = hold_back(third, f"**/api/frames/{number}", method="POST")
        third.goto(server.url)
        held(third, sent)
        lose_edits(page)
        page.keyboard.press("Shift+ArrowRight")
        sent[0].continue_()
        third.wait_for_selector("#frame-name:not(:empty)")
        page.close()
        fourth = third.context.new_page()
        fourth.goto(server.url)
        fourth.wait_for_selector("#frame-name:not(:empty), #conflict[open]")
        assert fourth.is_hidden("#conflict")
        after = server.frame("b.jpg")["people"][0]["keypoints"][1]
        assert after[0] > before[0] + 9
        assert errors == []


def test_undo_that_waits_says_so_also_after_another_frame_was_opened(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder) as server:
        page = new_page(server.url)
        opened(page, "a.jpg")
        lose_edits(page)
        page.keyboard.press("a")
        page.wait_for_selector("#save-state[data-kind=failed]")
        opened(page, "b.jpg")
        for _ in range(2):
            page.evaluate("document.getElementById('toast').textContent = ''")
            page.keyboard.press("u")
            page.locator("#toast", has_text="This waits until the last edit is saved.").wait_for()
            open_row(page, PHOTOS[2])
        page.unroute_all()
        saved(page)
        page.wait_for_timeout(200)
        assert server.frame("a.jpg")["row"]["state"] == "accepted"  # who went on undoes nothing
        page.keyboard.press("u")
        opened(page, "a.jpg")
        page.get_by_text("Undone: accepted").wait_for()
        saved(page)
