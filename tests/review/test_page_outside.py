"""The review page in a real browser: keypoints that lie outside of the picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from page_cases import on_screen, opened, saved
from review_cases import SIZE_WH, make_manifest, make_people, make_photo, running

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.coco import read_coco
from vitpose_cli.records.record import BY_HAND_SCORE, FrameRecord, Review
from vitpose_cli.records.run import Run

if TYPE_CHECKING:
    from playwright.sync_api import Page

HIP = 11
NAMES = ["a.jpg", "b.jpg", "c.jpg"]
BELOW = (70.0, SIZE_WH[1] + 3.5)  # where a network puts a hip that is not in the picture


def make_run(folder: Path, by_hand: bool = False) -> Path:
    """Write a run of three photos, of a person whose left hip is below the picture."""
    people = make_people(1, 3)
    keypoints, scores = people.keypoints.copy(), people.keypoint_scores.copy()
    keypoints[0, HIP] = BELOW
    scores[0, HIP] = BY_HAND_SCORE if by_hand else 0.41
    people = replace(people, keypoints=keypoints, keypoint_scores=scores)
    with Run.open(folder / "run", make_manifest(folder / "media")) as run:
        for name in NAMES:
            make_photo(folder / "media" / name)
            review = Review("fixed", "anna", 1.0) if by_hand else None
            run.append(FrameRecord(FrameKey(name), SIZE_WH, instances=people, review=review))
    return folder / "run"


def choose(page: Page, keypoint: int) -> None:
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    for key in ("p", *["."] * (keypoint + 1)):
        page.keyboard.press(key)


def shown(page: Page, keypoint: int) -> str:
    """Return what the list says of a keypoint: 0, 1 or 2."""
    return page.locator("#keypoints > li").nth(keypoint).get_attribute("data-seen") or ""


def hip(server: Any, name: str) -> list[float]:
    return server.frame(name)["people"][0]["keypoints"][HIP]  # type: ignore[no-any-return]


def is_painted(page: Page, place: tuple[float, float]) -> bool:
    """Return whether anything is painted over the picture at a place of a frame."""
    x, y = on_screen(page, *place)
    return bool(
        page.locator("#overlay").evaluate(
            """(canvas, [x, y]) => {
              const {left, top} = canvas.getBoundingClientRect();
              const at = [x - left, y - top].map((side) => Math.round(side * devicePixelRatio));
              return canvas.getContext('2d').getImageData(...at, 1, 1).data[3] > 0;
            }""",
            [x, y],
        )
    )


def test_what_a_model_puts_outside_is_shown_as_the_document_has_it(
    tmp_path: Path, new_page: Callable[..., Page]
) -> None:
    run = make_run(tmp_path)
    with running(run) as server:
        page = new_page(server.url, viewport={"width": 1400, "height": 850})
        opened(page, "a.jpg")
        before = hip(server, "a.jpg")
        assert before[2] == 2
        assert page.locator(".person-text").inner_text() == "15 of 17"
        assert not is_painted(page, BELOW)
        choose(page, HIP)
        assert shown(page, HIP) == "0"
        assert "unlabelled" in page.inner_text("#spoken")
        page.locator("#hint", has_text="Click where the left hip is").wait_for()

        # What cannot be seen is not moved: neither by a pixel, nor to the edge of the picture.
        page.keyboard.press("ArrowLeft")
        page.locator("#toast", has_text="left hip is not labelled: click where").wait_for()
        page.keyboard.press("g")
        page.keyboard.press("ArrowLeft")
        page.wait_for_timeout(400)  # edits by arrows are sent after 250 ms
        saved(page)
        assert hip(server, "a.jpg") == before
        assert page.is_disabled("[data-command=undo]")
        page.keyboard.press("a")
        opened(page, "b.jpg")
        saved(page)
        assert hip(server, "a.jpg") == before  # as evaluation and another threshold want it

        # To label it is to put it somewhere, and that is said.
        choose(page, HIP)
        page.keyboard.press("v")
        page.locator("#toast", has_text="left hip stands at its usual place").wait_for()
        saved(page)
        x, y, seen, score = hip(server, "b.jpg")
        assert (seen, score) == (2, BY_HAND_SCORE)
        assert 0 <= x < SIZE_WH[0]
        assert 0 <= y < SIZE_WH[1]
        page.keyboard.press("ArrowUp")
        page.wait_for_timeout(400)
        saved(page)
        assert hip(server, "b.jpg")[:2] == [x, y - 1]
        for wanted in ("1", "0", "2"):
            page.keyboard.press("v")
            assert shown(page, HIP) == wanted
        page.keyboard.press("a")
        opened(page, "c.jpg")

        # Moved into the picture with the whole person, it is as unlabelled as before.
        for key in ("p", "Shift+ArrowUp"):
            page.keyboard.press(key)
        page.wait_for_timeout(400)
        saved(page)
        x, y, seen, _ = hip(server, "c.jpg")
        assert (x, y, seen) == (BELOW[0], BELOW[1] - 10, 0)
        assert page.locator(".person-text").inner_text() == "15 of 17"
    document = read_coco(run / "annotations.json")
    assert [each["num_keypoints"] for each in document.annotations] == [15, 16, 15]


def test_what_a_person_put_outside_is_a_label(
    tmp_path: Path, new_page: Callable[..., Page]
) -> None:
    run = make_run(tmp_path, by_hand=True)
    with running(run) as server:
        page = new_page(server.url, viewport={"width": 1400, "height": 850})
        opened(page, "a.jpg")
        assert page.locator(".person-text").inner_text() == "16 of 17"
        assert is_painted(page, BELOW)
        choose(page, HIP)
        assert shown(page, HIP) == "2"
        for key in ("1", "ArrowLeft"):
            page.keyboard.press(key)
        page.wait_for_timeout(400)
        saved(page)
        assert hip(server, "a.jpg") == [BELOW[0] - 1, BELOW[1], 1, BY_HAND_SCORE]
    document = read_coco(run / "annotations.json")
    assert document.annotations[0]["keypoints"][3 * HIP : 3 * HIP + 3] == [69, 123.5, 1]


def test_only_ghosts_that_are_seen_are_moved_by_keys(
    tmp_path: Path, new_page: Callable[..., Page]
) -> None:
    nose = 0  # unlabelled, in the picture
    with running(make_run(tmp_path)) as server:
        page = new_page(server.url)
        opened(page, "a.jpg")
        before = server.frame("a.jpg")["people"][0]["keypoints"][nose]
        choose(page, nose)
        page.keyboard.press("ArrowRight")
        page.locator("#toast", has_text="nose is not labelled").wait_for()
        page.wait_for_timeout(400)
        assert server.frame("a.jpg")["people"][0]["keypoints"][nose] == before
        page.keyboard.press("g")
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(400)
        saved(page)
        after = server.frame("a.jpg")["people"][0]["keypoints"][nose]
        np.testing.assert_allclose(after, [before[0] + 1, before[1], 2, 1], atol=0.01)
