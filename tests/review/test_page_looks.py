"""What the review page looks like in a real browser: focus, sizes, and very many frames.

Screenshots are written into the folder that VITPOSE_SCREENSHOTS names, to be looked at.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from page_cases import on_b, on_screen, opened, painted, saved, screen_place
from review_cases import make_manifest, make_run, running, running_read_late
from shared_data import SHARED_DATA
from test_scale import NUM_FRAMES, write_large_run

from vitpose_cli.records.coco import instances_of, read_coco
from vitpose_cli.records.coco_people import uids_of
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run

if TYPE_CHECKING:
    from playwright.sync_api import Page

REAL_PHOTOS = SHARED_DATA / "coco_val"
SIZES = ((1280, 720), (3840, 2160))
SMALL_SIZES = ((1024, 768), (800, 600), (800, 500), (700, 500), (640, 400), (400, 700))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_whatever_has_the_focus_shows_it(
    run_folder: Path, new_page: Callable[..., Page], scheme: str
) -> None:
    looks = """() => {
        const one = document.activeElement, style = getComputedStyle(one);
        const name = one.id || one.dataset.command || one.className || one.tagName;
        const outline = style.outlineStyle === 'none' ? 0 : parseFloat(style.outlineWidth);
        const ring = outline >= 1 || style.boxShadow !== 'none';
        return {name, shown: one === document.body || (one.matches(':focus-visible') && ring)};
    }"""
    with running(run_folder) as server:
        page = on_b(new_page(server.url, color_scheme=scheme))
        passed = []
        for _ in range(60):
            page.keyboard.press("Tab")
            passed.append(page.evaluate(looks))
        names = {one["name"] for one in passed}
        assert {"accept", "reject", "list"} <= names
        assert [one["name"] for one in passed if not one["shown"]] == []


def test_labels_stay_in_their_places_on_another_screen(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    hip, orange = 12, (0, 159, 230)  # of the right side, as OpenCV orders colours
    with running(run_folder) as server:
        page = on_b(new_page(server.url, viewport={"width": 1280, "height": 800}))
        x, y = screen_place(page, server, "b.jpg", hip)
        screen = page.context.new_cdp_session(page)

        def move_to(scale: float) -> None:
            """Move the window to another screen, where it has the same size on the page."""
            size = {"width": 1280, "height": 800, "deviceScaleFactor": scale, "mobile": False}
            screen.send("Emulation.setDeviceMetricsOverride", size)

        def assert_in_place(scale: float) -> None:
            painted(page)
            data = base64.b64decode(screen.send("Page.captureScreenshot")["data"])
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            assert pixels is not None
            assert pixels.shape[1] == 1280 * scale
            found = pixels[round(y * scale), round(x * scale)]
            assert np.abs(found.astype(int) - orange).max() <= 3
            width, css_width = page.evaluate("[overlay.width, overlay.clientWidth]")
            assert width == pytest.approx(scale * css_width, abs=0.5)  # as sharp as the screen is

        for scale in (2, 1.25, 1):
            move_to(scale)
            page.keyboard.press("p")
            assert_in_place(scale)
        move_to(2)  # and nothing is pressed
        screen.send("Page.captureScreenshot")  # the page learns of the screen with this
        assert_in_place(2)


def test_a_hundred_thousand_frames_scroll_without_lag(
    tmp_path: Path, new_page: Callable[..., Page]
) -> None:
    with running_read_late(write_large_run(tmp_path), 1 << 20) as (server, go_on):
        page = new_page(server.url)
        assert "the rest is being read" in page.inner_text("#frames-count")
        fetched = page.evaluate("performance.getEntriesByType('resource').map((one) => one.name)")
        thumbnails = [name for name in fetched if name.endswith("thumbnail")]
        assert len(thumbnails) < 60  # of those that can be seen, and no others
        page.keyboard.press("a")  # while the rest is still being read
        go_on.touch()
        page.get_by_text(f"{NUM_FRAMES:,} frames", exact=True).wait_for()
        saved(page)
        assert server.get("api/progress").json["counts"]["accepted"] == 1
        jump = """async () => {
            const list = document.getElementById('list'), times = [];
            for (let step = 1; step <= 20; step++) {
                const began = performance.now();
                list.scrollTop = step / 20 * list.scrollHeight;
                list.dispatchEvent(new Event('scroll'));
                list.offsetHeight;
                times.push(performance.now() - began);
                await new Promise(requestAnimationFrame);
            }
            return times.sort((a, b) => a - b)[5];
        }"""
        assert page.evaluate(jump) < 50  # ms; a jump over 5,000 frames, one of the undisturbed
        page.wait_for_selector(f"#row-{NUM_FRAMES - 1}[aria-label]")
        assert page.locator(".row").count() < 60
        page.locator("#list").focus()
        page.keyboard.press("End")
        opened(page, f"099/img_{NUM_FRAMES - 1:06d}.jpg")
        assert "cannot be shown" in page.inner_text("#blank")  # only the first photo exists


def photo_run(tmp_path: Path) -> Path:
    """Return a run of real photos with their true labels."""
    document = read_coco(REAL_PHOTOS / "person_keypoints.json")
    people = document.by_image()
    folder = tmp_path / "photos.vitpose"
    with Run.open(folder, make_manifest(REAL_PHOTOS / "images")) as run:
        for image, key in zip(document.images[:40], document.keys().values(), strict=False):
            labels = [item for item in people[image["id"]] if not item["iscrowd"]]
            size_wh = (image["width"], image["height"])
            instances = instances_of(labels, 17, uids_of(key, labels))
            run.append(FrameRecord(key, size_wh, instances=instances))
    return folder


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    folder = Path(os.environ.get("VITPOSE_SCREENSHOTS", tmp_path / "screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def is_inside(page: Page, element: str) -> bool:
    """Return whether all of an element is in the window, and nothing covers its middle."""
    script = """(element) => {
        const {left, top, right, bottom} = element.getBoundingClientRect();
        const found = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
        const within = left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight;
        return within && element.contains(found);
    }"""
    return all(each.evaluate(script) for each in page.locator(element).all())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_small_windows_show_the_picture_and_every_command(
    tmp_path: Path, screenshots: Path, new_page: Callable[..., Page], scheme: str
) -> None:
    run = photo_run(tmp_path) if REAL_PHOTOS.is_dir() else make_run(tmp_path)
    with running(run, "--reviewer", "anna") as server:
        for width, height in SMALL_SIZES:
            viewport = {"width": width, "height": height}
            page = new_page(server.url, viewport=viewport, color_scheme=scheme)
            for key in ("j", "p", ".", "."):
                page.keyboard.press(key)
                page.wait_for_timeout(100)
            page.screenshot(path=screenshots / f"review_{scheme}_{width}x{height}.png")
            stage = page.locator("#stage").bounding_box()
            assert stage is not None
            assert stage["width"] >= 0.55 * width
            assert stage["height"] >= 0.65 * height
            assert is_inside(page, ".toolbar button")
            assert is_inside(page, ".top button:visible")
            assert page.evaluate("document.documentElement.scrollWidth") == width


def test_what_tells_rows_apart_is_not_cut_in_narrow_windows(
    run_folder: Path, new_page: Callable[..., Page]
) -> None:
    cut = """() => [...document.querySelectorAll(
        '.row-facts, .row-name :last-child, .person-text, .keypoint-name span')].filter(
        (text) => text.scrollWidth > text.clientWidth).map((text) => text.textContent)"""
    with running(run_folder) as server:
        page = new_page(server.url, viewport={"width": 900, "height": 700})
        page.locator(".row-facts", has_text="3 people · 0.").wait_for()
        page.locator(".row-name", has_text="frame_000001").click()
        opened(page, "clip.mp4/frame_000001.jpg")
        page.keyboard.press("p")
        page.locator(".keypoint-name", has_text="right shoulder").wait_for()
        for width in (700, 870, 900, 1000, 1249, 1260):
            page.set_viewport_size({"width": width, "height": 700})
            painted(page)
            assert page.evaluate(cut) == []


def test_panels_come_over_the_picture_of_a_small_window(
    run_folder: Path, screenshots: Path, new_page: Callable[..., Page]
) -> None:
    with running(run_folder) as server:
        page = new_page(server.url, viewport={"width": 400, "height": 700})
        opened(page, "a.jpg")
        assert not is_inside(page, "#frames")
        assert not is_inside(page, "#inspector")

        # The list: a frame is chosen, and the picture is there again.
        page.locator("[data-command=frames]").click()
        assert is_inside(page, "#frames")
        page.screenshot(path=screenshots / "review_400x700_frames.png")
        page.locator(".row", has_text="b.jpg").click()
        opened(page, "b.jpg")
        assert not is_inside(page, "#frames")
        page.keyboard.press("/")
        page.keyboard.type("b.j")
        assert is_inside(page, "#search")
        page.keyboard.press("Escape")
        assert not is_inside(page, "#frames")

        # People and keypoints: what has no label yet is placed in the picture.
        page.keyboard.press("i")
        page.locator(".person").click()
        page.locator(".seen-toggle").nth(1).click()
        assert is_inside(page, "#inspector")
        page.screenshot(path=screenshots / "review_400x700_inspector.png")
        saved(page)
        before = server.frame("b.jpg")
        assert before["people"][0]["keypoints"][1][2] == 1
        page.mouse.click(20, 400)  # beside the panel: that changes nothing in the picture
        assert not is_inside(page, "#inspector")
        page.wait_for_selector(".keypoint.chosen", state="attached")
        page.locator("[data-command=inspector]").click()
        page.locator(".keypoint-name").first.click()
        assert not is_inside(page, "#inspector")
        assert server.frame("b.jpg")["version"] == before["version"]
        page.mouse.click(*on_screen(page, 80, 60))
        page.wait_for_selector(".keypoint:first-child[data-seen='2']", state="attached")
        for _ in range(2):  # there and back
            page.locator("[data-command=inspector]").click()
        assert not is_inside(page, "#inspector")


def test_it_fits_small_and_large_screens(
    tmp_path: Path, screenshots: Path, new_page: Callable[..., Page]
) -> None:
    run = photo_run(tmp_path) if REAL_PHOTOS.is_dir() else make_run(tmp_path)
    clipped = """[...document.querySelectorAll('.toolbar button')]
        .filter((button) => button.scrollWidth > button.clientWidth + 1).length"""
    with running(run, "--reviewer", "anna") as server:
        for scheme, (width, height) in product(("light", "dark"), SIZES):
            viewport = {"width": width, "height": height}
            page = new_page(server.url, viewport=viewport, color_scheme=scheme)
            for key in ("j", "p", ".", ".", "."):
                page.keyboard.press(key)
                page.wait_for_timeout(150)
            page.locator(".row img.ready").nth(4).wait_for()
            accept = page.locator("[data-command=accept]").bounding_box()
            assert accept is not None
            assert accept["x"] + accept["width"] <= width
            assert accept["y"] + accept["height"] <= height
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.evaluate(clipped) == 0
            page.screenshot(path=screenshots / f"review_{scheme}_{width}x{height}.png")
