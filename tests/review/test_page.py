"""The review page in a real browser: what a person does with mouse and keys, and what is kept.

Screenshots are written into the folder that VITPOSE_SCREENSHOTS names, to be looked at.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from disks import Disk
from review_cases import FAILED, HTML_NAME, PHOTOS, Server, make_manifest, make_run, running
from test_scale import NUM_FRAMES, write_large_run

from vitpose_cli.records.coco import instances_of, read_coco
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

REAL_PHOTOS = Path(__file__).parents[3] / "shared" / "data" / "coco_val"
RIGHT_WRIST = 10
SIZES = ((1280, 720), (3840, 2160))


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a window; what it complains about fails the test."""
    complaints: list[str] = []
    contexts = []

    def open_page(url: str, **options: Any) -> Page:
        contexts.append(browser.new_context(**({"viewport": None} | options)))
        page = contexts[-1].new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: note(message.type, message.text))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.goto(url)
        page.wait_for_selector(".row[aria-selected=true]")
        page.wait_for_selector("#frame-name:not(:empty)")
        return page

    def note(kind: str, text: str) -> None:
        expected = "ERR_CONNECTION" in text or re.search("status of (403|409|422|507)", text)
        if kind == "error" and not expected:
            complaints.append(text)

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def queue(run_folder: Path) -> Path:
    """Return a queue of three photos of the run, the last of them first."""
    images = [
        {"id": 1, "file_name": PHOTOS[2], "reasons": ["left wrist scores 0.12", "<b>bold</b>"]},
        {"id": 2, "file_name": PHOTOS[3]},
        {"id": 3, "file_name": "b.jpg"},
    ]
    path = run_folder.parent / "queue.json"
    path.write_text(json.dumps({"images": images, "annotations": [], "categories": []}))
    return path


def saved(page: Page) -> None:
    page.wait_for_selector("#save-state[data-kind=saved]")


def opened(page: Page, name: str) -> None:
    page.wait_for_selector(f"#frame-name[title={json.dumps(name, ensure_ascii=False)}]")


def screen_place(page: Page, server: Server, name: str, keypoint: int) -> tuple[float, float]:
    """Return where a keypoint of the first person is in the window."""
    x, y = server.frame(name)["people"][0]["keypoints"][keypoint][:2]
    canvas = page.locator("#overlay")
    box = canvas.bounding_box()
    assert box is not None
    view = canvas.evaluate("(canvas) => ({...canvas.dataset})")
    scale = float(view["scale"])
    return box["x"] + x * scale + float(view["x"]), box["y"] + y * scale + float(view["y"])


def drag(page: Page, start: tuple[float, float], by: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + by[0] / 2, start[1] + by[1] / 2)
    page.mouse.move(start[0] + by[0], start[1] + by[1])


def hold_back(page: Page, address: str) -> list[Route]:
    """Let the next request of this address wait; it is in the list once the page has made it."""
    waiting: list[Route] = []
    page.route(address, lambda route: waiting.append(route), times=1)
    return waiting


def test_a_queue_is_worked_through(
    run_folder: Path, queue: Path, new_page: Callable[..., Page]
) -> None:
    first = PHOTOS[2]
    with running(run_folder, "--queue", queue, "--reviewer", "anna") as server:
        page = new_page(server.url)
        opened(page, first)
        assert page.locator(".row").count() == 3
        assert page.locator("#reasons li").all_inner_texts() == [
            "left wrist scores 0.12",
            "<b>bold</b>",
        ]

        # Drag a keypoint: it is where the mouse let it go, labelled by a person.
        page.locator(".person").first.click()
        before = server.frame(first)["people"][0]["keypoints"][RIGHT_WRIST]
        start = screen_place(page, server, first, RIGHT_WRIST)
        scale = float(page.get_attribute("#overlay", "data-scale") or 0)
        drag(page, start, (24, -18))
        page.mouse.up()
        saved(page)
        dragged = server.frame(first)
        point = dragged["people"][0]["keypoints"][RIGHT_WRIST]
        assert point[0] == pytest.approx(before[0] + 24 / scale, abs=0.05)
        assert point[1] == pytest.approx(before[1] - 18 / scale, abs=0.05)
        assert point[2:] == [2, 1.0]
        assert dragged["row"]["state"] == "draft"

        # Visible to hidden, with the key and with the inspector.
        page.keyboard.press("v")
        saved(page)
        assert server.frame(first)["people"][0]["keypoints"][RIGHT_WRIST][2] == 1
        page.locator(".seen-toggle").nth(RIGHT_WRIST).click()
        saved(page)
        assert server.frame(first)["people"][0]["keypoints"][RIGHT_WRIST][2] == 0

        # Accepting what was changed by hand makes it fixed, and opens the next frame.
        page.keyboard.press("a")
        opened(page, PHOTOS[3])
        saved(page)
        assert server.frame(first)["row"]["state"] == "fixed"
        page.wait_for_selector(f"#progress-text:text-is({'1 of 3'!r})")
        assert page.locator(".row .row-name").nth(1).inner_text() == HTML_NAME
        assert page.locator("img[onerror]").count() == 0

        # An untouched one is accepted; undo goes back to the frame that was decided.
        page.keyboard.press("a")
        opened(page, "b.jpg")
        page.keyboard.press("u")
        opened(page, PHOTOS[3])
        page.keyboard.press("u")
        opened(page, first)
        for wanted in (1, 2):
            page.keyboard.press("u")
            saved(page)
            assert server.frame(first)["people"][0]["keypoints"][RIGHT_WRIST][2] == wanted
        page.keyboard.press("u")
        saved(page)
        assert server.frame(first)["people"][0]["keypoints"][RIGHT_WRIST] == before
        page.keyboard.press("Shift+U")
        saved(page)
        assert server.frame(first)["people"][0]["keypoints"][RIGHT_WRIST] == point

        # The server dies while the mouse is down.
        drag(page, screen_place(page, server, first, RIGHT_WRIST), (-30, 20))
        server.kill()
        page.mouse.up()
        page.wait_for_selector("#save-state[data-kind=failed]")
        assert "kept here" in page.inner_text("#banner")
        lost = page.evaluate(
            "(() => { const key = Object.keys(localStorage).find((key) => key.includes('.png'));"
            " return JSON.parse(localStorage.getItem(key)); })()"
        )["people"][0]["keypoints"][RIGHT_WRIST]

    with running(run_folder, "--queue", queue, port=server.port) as restarted:
        found = restarted.frame(first)["people"][0]["keypoints"][RIGHT_WRIST]
        assert found == point  # what was answered is on the disk
        page.locator("#banner", has_text="of an earlier review").wait_for()
        again = page.context.new_page()  # the old page knows only the old link
        again.goto(restarted.url)
        again.locator("#toast", has_text="is saved now").wait_for()
        found = restarted.frame(first)["people"][0]["keypoints"][RIGHT_WRIST]
        assert found[:2] == pytest.approx(lost[:2], abs=0.01)
        assert restarted.frame(PHOTOS[3])["row"]["state"] == "draft"


def test_everything_can_be_done_with_keys(run_folder: Path, new_page: Callable[..., Page]) -> None:
    with running(run_folder) as server:
        page = new_page(server.url)
        opened(page, "a.jpg")  # nobody is there

        def press(*keys: str) -> None:
            for key in keys:
                page.keyboard.press(key)
            saved(page)

        press("b", "Enter")
        (added,) = server.frame("a.jpg")["people"]
        assert [point[2] for point in added["keypoints"]] == [0] * 17
        press("2", ".", "1", "Shift+ArrowRight", "ArrowDown")
        nose, eye = server.frame("a.jpg")["people"][0]["keypoints"][:2]
        assert (nose[2], eye[2]) == (2, 1)
        assert eye[:2] == pytest.approx(
            [added["keypoints"][1][0] + 10, added["keypoints"][1][1] + 1], abs=0.02
        )
        press("Shift+S")
        points = server.frame("a.jpg")["people"][0]["keypoints"]
        assert points[2] == eye
        press("Escape", "ArrowRight")  # the whole person
        assert server.frame("a.jpg")["people"][0]["box"][0] == pytest.approx(added["box"][0] + 1)

        press("j")
        opened(page, "b.jpg")
        press("c")  # the person of a.jpg is not here yet, unless somebody stands there
        page.wait_for_timeout(500)  # the page fetches the frame before, then saves
        saved(page)
        count = len(server.frame("b.jpg")["people"])
        press("p", "s")
        press("Shift+Delete")
        assert len(server.frame("b.jpg")["people"]) == count - 1
        press("r")
        assert server.frame("b.jpg")["row"]["state"] == "rejected"
        page.keyboard.press("?")
        assert page.locator("#sheet").is_visible()
        page.keyboard.press("Escape")
        page.keyboard.press("/")
        page.keyboard.type("clip.mp4")
        page.get_by_text("5 of 10 frames").wait_for()
        page.keyboard.press("Enter")
        page.keyboard.press("End")
        opened(page, "clip.mp4/frame_000004.jpg")


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
        page = new_page(server.url, color_scheme=scheme)
        page.keyboard.press("j")
        opened(page, "b.jpg")
        passed = []
        for _ in range(60):
            page.keyboard.press("Tab")
            passed.append(page.evaluate(looks))
        names = {one["name"] for one in passed}
        assert {"accept", "reject", "list"} <= names
        assert [one["name"] for one in passed if not one["shown"]] == []


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


def test_a_hundred_thousand_frames_scroll_without_lag(
    tmp_path: Path, new_page: Callable[..., Page]
) -> None:
    with running(write_large_run(tmp_path)) as server:
        began = time.monotonic()
        page = new_page(server.url)
        assert time.monotonic() - began < 5
        fetched = page.evaluate("performance.getEntriesByType('resource').map((one) => one.name)")
        thumbnails = [name for name in fetched if name.endswith("thumbnail")]
        assert len(thumbnails) < 60  # of those that can be seen, and no others
        page.keyboard.press("a")  # while the rest is still being read
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
            return times.sort((a, b) => a - b)[10];
        }"""
        assert page.evaluate(jump) < 50  # ms; the median jump over 5,000 frames
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
            run.append(FrameRecord(key, size_wh, instances=instances_of(labels, 17)))
    return folder


def test_it_fits_small_and_large_screens(tmp_path: Path, new_page: Callable[..., Page]) -> None:
    run = photo_run(tmp_path) if REAL_PHOTOS.is_dir() else make_run(tmp_path)
    folder = Path(os.environ.get("VITPOSE_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
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
            page.screenshot(path=folder / f"review_{scheme}_{width}x{height}.png")
