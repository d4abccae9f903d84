"""The review page in a real browser: the run gets another keypoint threshold meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from page_cases import on_b, saved, until
from review_cases import PHOTOS, SIZE_WH, Server, make_manifest, make_people, make_photo, running

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run

if TYPE_CHECKING:
    from playwright.sync_api import Page


def go_on(folder: Path, threshold: float) -> Path:
    """Begin a run of photos, or go on with it at another keypoint threshold."""
    media, run_folder = folder / "media", folder / "media.vitpose"
    manifest = replace(make_manifest(media), options={"keypoint-threshold": threshold})
    with Run.open(run_folder, manifest) as run:
        for number, name in enumerate(PHOTOS[:2] if not len(run) else ()):
            make_photo(media / name)
            run.append(FrameRecord(FrameKey(name), SIZE_WH, instances=make_people(1, number)))
    return run_folder


def seen(server: Server) -> set[int]:
    """Return how the keypoints in b.jpg are labelled."""
    (person,) = server.frame("b.jpg")["people"]
    return {visibility for _, _, visibility, _ in person["keypoints"]}


def test_the_open_frame_is_shown_at_the_threshold_of_now(
    tmp_path: Path, new_page: Callable[..., Page]
) -> None:
    with running(go_on(tmp_path, 0)) as server:
        page = on_b(new_page(server.url))
        assert seen(server) == {2}
        go_on(tmp_path, 1)
        page.locator("#toast", has_text="Labelled otherwise by its run").wait_for()
        page.keyboard.press("a")
        saved(page)
        assert page.is_hidden("#conflict")
        assert seen(server) == {0}


def test_an_edit_of_labels_at_the_threshold_of_before_is_kept_if_that_is_chosen(
    tmp_path: Path, new_page: Callable[..., Page]
) -> None:
    with running(go_on(tmp_path, 0)) as server:
        page = on_b(new_page(server.url))
        page.clock.install()  # it does not look again by itself
        go_on(tmp_path, 1)
        until(page, lambda: seen(server) == {0})
        page.keyboard.press("p")
        page.keyboard.press("ArrowRight")
        page.clock.run_for(1000)
        page.wait_for_selector("#conflict[open]")
        assert "b.jpg got other labels from its run" in page.inner_text("#conflict-text")
        page.get_by_text("Keep mine").click()
        page.clock.run_for(1000)
        saved(page)
        assert seen(server) == {2}
