"""The review page in a real browser: steps and their undoing, decisions, and copies of people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from page_cases import on_screen, opened, saved
from review_cases import (
    PHOTOS,
    SIZE_WH,
    VIDEO,
    make_manifest,
    make_people,
    make_photo,
    make_video,
    running,
)

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.coco import read_coco
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run

if TYPE_CHECKING:
    from playwright.sync_api import Page

SLOWLY = {"offline": False, "latency": 300, "downloadThroughput": -1, "uploadThroughput": -1}


def test_quick_undo_leaves_no_step_out(run_folder: Path, new_page: Callable[..., Page]) -> None:
    names = ["a.jpg", "b.jpg", PHOTOS[3]]
    with running(run_folder) as server:
        page = new_page(server.url)
        page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", SLOWLY)
        for name in names:
            opened(page, name)
            page.keyboard.press("a")
        opened(page, PHOTOS[2])
        for _ in names:
            page.keyboard.press("u")
            page.wait_for_timeout(100)
        opened(page, names[0])
        page.get_by_text("Undone: accepted").wait_for()
        saved(page)
        assert [server.frame(name)["row"]["state"] for name in names] == ["draft"] * 3
        for _ in names:
            page.keyboard.press("Shift+u")
        opened(page, names[-1])
        page.get_by_text("Done again: accepted").wait_for()
        saved(page)
        assert [server.frame(name)["row"]["state"] for name in names] == ["accepted"] * 3


def test_what_is_fixed_follows_from_the_labels(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    second, third = PHOTOS[3], PHOTOS[2]
    with running(run_folder) as server:
        page = new_page(server.url)
        page.keyboard.press("j")
        opened(page, "b.jpg")

        def press(*keys: str) -> None:
            for key in keys:
                page.keyboard.press(key)

        # Decided otherwise in between, labels that were changed by hand are still a person's work.
        press("p", ".", ".", "ArrowRight", "r")
        opened(page, second)
        page.locator(".row", has_text="b.jpg").click()
        opened(page, "b.jpg")
        press("a")
        opened(page, second)
        saved(page)
        assert server.frame("b.jpg")["row"]["state"] == "fixed"
        page.wait_for_selector(".row[data-state=fixed]")

        # A decision that was undone changes no label.
        press("a")
        opened(page, third)
        press("u")
        opened(page, second)
        press("a")
        opened(page, third)
        saved(page)
        assert server.frame(second)["row"]["state"] == "accepted"

        # Nor does a change that was undone, also when the frame has been left meanwhile.
        press("p", ".", ".", "ArrowRight")
        saved(page)
        assert server.frame(third)["row"]["state"] == "draft"
        press("k")
        opened(page, second)
        press("u")
        opened(page, third)
        page.get_by_text("Undone: nudge").wait_for()
        press("a")
        saved(page)
        assert server.frame(third)["row"]["state"] == "accepted"


def test_what_changes_nothing_is_no_step(run_folder: Path, new_page: Callable[..., Page]) -> None:
    with running(run_folder) as server:
        assert server.save("b.jpg", "accepted").status == 200
        before = server.frame("b.jpg")
        page = new_page(server.url)
        page.keyboard.press("j")
        opened(page, "b.jpg")

        def assert_nothing_was_done(*, said: str) -> None:
            page.locator("#toast.shown", has_text=said).wait_for()
            saved(page)
            assert page.get_attribute("#frame-state", "data-state") == "accepted"
            assert page.is_disabled("[data-command=undo]")
            assert server.frame("b.jpg")["version"] == before["version"]

        for keys in (["Shift+s"], ["p", "Shift+s"], [".", "Shift+s"]):  # the nose has no partner
            page.evaluate("document.getElementById('toast').textContent = ''")
            for key in keys:
                page.keyboard.press(key)
            assert_nothing_was_done(said="Choose a keypoint with a partner")

        page.keyboard.press("Escape")
        left, top = on_screen(page, *before["people"][0]["box"][:2])
        x, y = left + 6, top - 8  # where the number of the person is
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 40, y + 40)
        page.mouse.move(x, y)
        page.mouse.up()
        assert_nothing_was_done(said="Nothing is changed by that.")

        for key in (".", ".", "Shift+s"):  # the left eye
            page.keyboard.press(key)
        page.wait_for_selector("#frame-state[data-state=fixed]")
        saved(page)
        points = before["people"][0]["keypoints"]
        swapped = server.frame("b.jpg")["people"][0]["keypoints"]
        assert swapped == [points[0], points[2], points[1], *points[3:]]


def test_nobody_is_copied_beside_themselves(tmp_path: Path, new_page: Callable[..., Page]) -> None:
    media = tmp_path / "media"
    media.mkdir()
    make_video(media / VIDEO, 2)
    people = make_people(2)
    boxes = np.array([[2, 2, 40, 60], [80, 2, 120, 60]])
    before = replace(people, boxes=boxes, track_ids=np.array([7, 8]))
    after = replace(before.select([0]), boxes=np.array([[44, 62, 76, 118]]))  # moved on
    with Run.open(tmp_path / "run", make_manifest(media)) as run:
        run.append(FrameRecord(FrameKey(VIDEO, 0), SIZE_WH, 0.0, before))
        run.append(FrameRecord(FrameKey(VIDEO, 1), SIZE_WH, 0.04, after))
    name = f"{VIDEO}/frame_000001.jpg"
    with running(tmp_path / "run") as server:
        page = new_page(server.url)
        page.keyboard.press("j")
        opened(page, name)
        page.keyboard.press("c")
        page.locator("#people-title", has_text="2").wait_for()
        saved(page)
        assert [person["track_id"] for person in server.frame(name)["people"]] == ["7", "8"]
        page.keyboard.press("c")
        page.get_by_text("Everybody of the frame before is here already.").wait_for()


def test_keypoints_outside_of_the_picture_become_no_labels(
    tmp_path: Path, new_page: Callable[..., Page]
) -> None:
    ankle = 15
    names = ["a.jpg", "b.jpg", "c.jpg"]
    people = make_people(1, 3)
    keypoints = people.keypoints.copy()
    keypoints[0, ankle] = (-31, 100)  # as a network puts it
    with Run.open(tmp_path / "run", make_manifest(tmp_path / "media")) as run:
        for name in names:
            make_photo(tmp_path / "media" / name)
            labels = replace(people, keypoints=keypoints)
            run.append(FrameRecord(FrameKey(name), SIZE_WH, instances=labels))
    with running(tmp_path / "run") as server:
        page = new_page(server.url)

        def ankle_after(name: str, *keys: str) -> list[float]:
            opened(page, name)
            for key in keys:
                page.keyboard.press(key)
            page.wait_for_timeout(300)  # moves are sent after 250 ms
            saved(page)
            return server.frame(name)["people"][0]["keypoints"][ankle]  # type: ignore[no-any-return]

        moved = ankle_after("a.jpg", "p", "ArrowRight", "Shift+ArrowDown")
        assert moved == [-30, 110, 2, pytest.approx(people.keypoint_scores[0, ankle], abs=1e-4)]
        page.keyboard.press("j")
        page.keyboard.press("j")
        assert ankle_after("c.jpg", "p", "c") == [-31, 100, 0, 0]
        page.keyboard.press("k")
        chosen = ["p", *[","] * (17 - ankle)]
        x, y, seen, score = ankle_after("b.jpg", *chosen, "1")
        assert (seen, score) == (1, 1)
        assert 0 <= x < SIZE_WH[0]
        assert 0 <= y < SIZE_WH[1]
        assert ankle_after("b.jpg", "0") == [x, y, 0, 0]
    document = read_coco(tmp_path / "run" / "annotations.json")
    for annotation in document.annotations:
        assert annotation["keypoints"][3 * ankle : 3 * ankle + 3] == [0, 0, 0]


def test_large_identities_stay_as_they_are(tmp_path: Path, new_page: Callable[..., Page]) -> None:
    track_ids = [1_700_000_000_123_456_789, 2**62 - 1]  # nanoseconds since 1970, as trackers give
    people = replace(make_people(2), track_ids=np.array(track_ids))
    make_photo(tmp_path / "media" / "a.jpg")
    with Run.open(tmp_path / "run", make_manifest(tmp_path / "media")) as run:
        run.append(FrameRecord(FrameKey("a.jpg"), SIZE_WH, instances=people))
    with running(tmp_path / "run") as server:
        page = new_page(server.url)
        assert f"#{track_ids[0]}" in page.inner_text("#people")
        page.keyboard.press("p")
        page.keyboard.press("ArrowRight")
        page.wait_for_selector("#frame-state[data-state=draft]")
        saved(page)
    document = read_coco(tmp_path / "run" / "annotations.json")
    saved_ids = [annotation["attributes"]["track_id"] for annotation in document.annotations]
    assert saved_ids == track_ids
