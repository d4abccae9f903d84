"""The review page in a real browser: who people are over the frames of a video."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from identity_cases import labelled, make_two_videos, name
from page_cases import held, hold_back, opened, saved
from review_cases import make_manifest, running

from vitpose_cli.records.run import Run

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHOICE = "#identity-choice"


def open_video_frame(page: Page, index: int) -> None:
    for _ in range(index):
        page.keyboard.press("j")
    opened(page, name(index))


def numbers_are(page: Page, *numbers: str) -> None:
    """Wait until the people of the open frame have these numbers."""
    rows = page.locator("#people .person-text")
    for place, number in enumerate(numbers):
        rows.nth(place).filter(has_text=f"#{number} · ").wait_for()


def choosing(page: Page) -> Page:
    """Go on to a frame in which both are known by number, and choose the first."""
    open_video_frame(page, 2)
    numbers_are(page, "1", "2")
    page.keyboard.press("p")
    page.wait_for_selector(f"{CHOICE}:visible")
    return page


def plates(page: Page) -> list[str]:
    """Return what stands beside the people on the picture."""
    written: list[str] = page.evaluate("""async () => {
        const from = (name) => import(new URL(name, location.href));
        const [{stage}, {app}] = [await from('stage.js'), await from('app.js')];
        return app.frame.people.map((person) => stage.tagBox(person).text);
    }""")
    return written


def choices(page: Page) -> list[str]:
    return page.locator(f"{CHOICE} option").all_text_contents()


def test_a_person_is_called_otherwise_by_keyboard_from_one_frame_on(
    tmp_path: Path, new_page: Callable[..., Page]
) -> None:
    with running(make_two_videos(tmp_path)) as server:
        page = new_page(server.url)
        page.keyboard.press("w")
        page.locator("#toast.shown", has_text="Choose a person first").wait_for()
        open_video_frame(page, 2)
        numbers_are(page, "1", "2")
        assert page.is_hidden("#identity")
        page.keyboard.press("p")
        page.wait_for_selector(f"{CHOICE}:visible")
        assert choices(page) == ["#1 · person 1", "#2 · person 2", "Somebody new"]
        page.keyboard.press("w")
        assert page.evaluate("document.activeElement.id") == CHOICE[1:]
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        said = "From this frame on, this is #2, and whoever was #2 is #1."
        page.locator("#toast.shown", has_text=said).wait_for()
        numbers_are(page, "2", "1")
        assert page.evaluate("document.activeElement.id") == "overlay"
        saved(page)
        page.keyboard.press("j")
        opened(page, name(3))
        numbers_are(page, "2", "1")
        assert plates(page) == ["#2", "#1"]
        page.keyboard.press("k")
        opened(page, name(2))
        page.keyboard.press("p")
        page.locator(f"{CHOICE} option", has_text="As tracked").wait_for(state="attached")
        page.keyboard.press("k")
        opened(page, name(1))
        numbers_are(page, "1", "2")

        page.keyboard.press("u")  # leads back to where it was done
        opened(page, name(2))
        numbers_are(page, "1", "2")
        page.keyboard.press("Shift+u")
        numbers_are(page, "2", "1")
        saved(page)
        assert server.frame(name(2))["people"][0]["recognised"]["index"] == 0

        # Who else was recognised in that number leaves it.
        page.keyboard.press("p")
        page.keyboard.press("p")
        page.select_option(CHOICE, "2")
        numbers_are(page, "1", "2")
        saved(page)
        first, second = server.frame(name(2))["people"]
        assert (first["recognised"], second["recognised"]["index"]) == (None, 0)
        page.select_option(CHOICE, "tracked")
        page.locator("#toast.shown", has_text="this is who the tracker says").wait_for()
        page.select_option(CHOICE, "new")
        numbers_are(page, "1", "3")
        saved(page)

        # Letters are commands there, too: an A accepts, and does not choose "As tracked".
        page.keyboard.press("w")
        page.keyboard.press("Escape")
        page.keyboard.press("a")
        opened(page, name(3))
        saved(page)
        frame = server.frame(name(2))
        assert frame["row"]["state"] == "fixed"  # accepted, with what was changed
        assert frame["people"][1]["recognised"] == "new"


def test_a_second_choice_that_comes_before_the_answer_to_the_first_holds(
    tmp_path: Path, new_page: Callable[..., Page]
) -> None:
    with running(make_two_videos(tmp_path)) as server:
        page = choosing(new_page(server.url))
        page.evaluate(
            """choice => {
            for (const value of ['2', 'new']) {
                choice.value = value;
                choice.dispatchEvent(new Event('change', {bubbles: true}));
            }
        }""",
            page.query_selector(CHOICE),
        )
        numbers_are(page, "3", "2")
        saved(page)
        assert server.frame(name(2))["people"][0]["recognised"] == "new"


def test_a_number_of_a_file_is_not_changed_here(
    tmp_path: Path, new_page: Callable[..., Page]
) -> None:
    run_folder = make_two_videos(tmp_path)
    with Run.open(run_folder, make_manifest(tmp_path / "media"), overwrite=True) as run:
        for each in labelled():
            assert each.instances is not None
            people = replace(each.instances, track_ids=np.array([7, 8]))
            run.append(replace(each, instances=people))
    with running(run_folder) as server:
        page = new_page(server.url)
        numbers_are(page, "7", "8")
        page.keyboard.press("p")
        page.keyboard.press("w")
        page.locator("#toast.shown", has_text="These numbers came with the labels").wait_for()
        assert page.is_hidden("#identity")
        saved(page)


def test_the_choice_in_a_small_window(tmp_path: Path, new_page: Callable[..., Page]) -> None:
    with running(make_two_videos(tmp_path)) as server:
        page = new_page(server.url, viewport={"width": 700, "height": 480})
        open_video_frame(page, 2)
        numbers_are(page, "1", "2")
        page.keyboard.press("p")
        page.wait_for_selector(f"{CHOICE} option", state="attached")
        page.keyboard.press("w")  # opens the drawer that it is in
        box = page.locator(CHOICE).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 700
        assert box["y"] + box["height"] <= 480
        page.select_option(CHOICE, "2")
        numbers_are(page, "2", "1")
        assert page.evaluate("document.activeElement.id") == "overlay"
        saved(page)


def test_numbers_follow_what_is_saved_of_an_earlier_frame_after_a_later_one_was_opened(
    tmp_path: Path, new_page: Callable[..., Page]
) -> None:
    with running(make_two_videos(tmp_path)) as server:
        page = new_page(server.url)
        open_video_frame(page, 2)
        numbers_are(page, "1", "2")
        other = new_page(server.url)
        open_video_frame(other, 4)
        numbers_are(other, "1", "2")
        waiting = hold_back(page, f"**/api/frames/{server.number(name(2))}")
        page.keyboard.press("p")
        page.select_option(CHOICE, "2")
        page.keyboard.press("j")
        opened(page, name(3))
        numbers_are(page, "1", "2")  # so far it is not saved
        held(page, waiting).continue_()
        saved(page)
        numbers_are(page, "2", "1")
        numbers_are(other, "2", "1")  # once that window has asked how far the review is


def test_the_choice_is_made_anew_only_for_somebody_else(
    tmp_path: Path, new_page: Callable[..., Page]
) -> None:
    with running(make_two_videos(tmp_path)) as server:
        page = choosing(new_page(server.url))
        page.locator(f"{CHOICE} option").first.evaluate("(one) => (one.dataset.seen = 'yes')")
        page.keyboard.press("g")
        page.keyboard.press("g")
        assert page.locator(f"{CHOICE} option[data-seen]").count() == 1
        page.keyboard.press("w")
        page.keyboard.press("Escape")
        assert page.evaluate("document.activeElement.id") == CHOICE[1:]
        page.keyboard.press("p")  # also while it is in use
        assert page.locator(f"{CHOICE} option[data-seen]").count() == 0
        assert page.input_value(CHOICE) == "2"
        page.select_option(CHOICE, "new")
        numbers_are(page, "1", "3")
        saved(page)


def test_a_run_without_identities_says_so(tmp_path: Path, new_page: Callable[..., Page]) -> None:
    run_folder = make_two_videos(tmp_path)
    manifest = replace(make_manifest(tmp_path / "media"), document={"track": False})
    with Run.open(run_folder, manifest, overwrite=True) as run:
        run.append(*labelled())
    with running(run_folder) as server:
        page = new_page(server.url)
        page.keyboard.press("p")
        for _ in range(1000):  # at first the server has not yet said it
            page.keyboard.press("w")
            if "the run is one of --no-track" in (page.text_content("#toast.shown") or ""):
                break
            page.wait_for_timeout(50)
        else:
            raise AssertionError(page.text_content("#toast"))
        assert page.is_hidden("#identity")


def test_it_says_where_who_somebody_is_counts_for_nothing(
    tmp_path: Path, new_page: Callable[..., Page]
) -> None:
    with running(make_two_videos(tmp_path)) as server:
        page = new_page(server.url)
        open_video_frame(page, 3)
        numbers_are(page, "1", "2")
        page.keyboard.press("p")
        page.locator("#identity-hint", has_text="the two swap numbers").wait_for()
        page.select_option(CHOICE, label="#2 · person 2")
        numbers_are(page, "2", "1")
        saved(page)
        for index in range(3):
            frame = server.frame(name(index))
            assert server.save(name(index), "draft", frame["people"][:1]).status == 200
        page.reload()
        opened(page, name(0))
        open_video_frame(page, 3)
        page.keyboard.press("p")
        said = "Nobody comes into sight any more where you said (frame 0): say it again."
        page.locator("#identity-hint", has_text=said).wait_for()
        page.keyboard.press("Shift+Delete")
        page.locator("#toast.shown", has_text="say it again in the next frame").wait_for()
