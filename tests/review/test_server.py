import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from review_cases import (
    FAILED,
    PHOTOS,
    SCRIPTS,
    SIZE_WH,
    VIDEO,
    Server,
    make_manifest,
    make_people,
    make_photo,
    review_command,
    running,
)
from runs import wait_until

from vitpose_cli.errors import ExitCode
from vitpose_cli.media.finding import find_media
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.coco import read_coco
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run

NUM_FRAMES = len(PHOTOS) + 1 + 5


def names(server: Server, query: str = "") -> list[str]:
    numbers = server.get(f"api/frames?{query}").json["numbers"]
    rows = server.get(f"api/rows?numbers={','.join(map(str, numbers))}").json if numbers else []
    return [row["name"] for row in rows]


def decoded(body: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)


def person(frame: Any, place: int = 0) -> Any:
    return frame["people"][place]


def written(run_folder: Path) -> Sequence[Mapping[str, Any]]:
    """Return the images in the document of a run."""
    return read_coco(run_folder / "annotations.json").images


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("", "text/html"),
        ("review.css", "text/css"),
        *((path, "text/javascript") for path in SCRIPTS),
    ],
)
def test_the_files_of_the_page_are_under_a_strict_policy(
    server: Server, path: str, kind: str
) -> None:
    reply = server.get(path)
    assert reply.status == 200
    assert reply.headers["content-type"].startswith(kind)
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert "server" not in reply.headers


def test_the_page_shows_names_as_text_and_loads_nothing_from_elsewhere(server: Server) -> None:
    page, style, *scripts = (
        server.get(path).body.decode() for path in ("", "review.css", *SCRIPTS)
    )
    script = "".join(scripts)
    for risky in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert risky not in script
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", page)
    outside = re.compile(r"(?:https?:)?//[\w-]+\.\w+")
    assert outside.findall(page.replace("http://www.w3.org/2000/svg", "")) == []
    assert outside.findall(style) == []
    assert re.findall(r"['\"`]https?://", script) == []


def test_the_run_describes_itself(server: Server) -> None:
    run = server.get("api/run").json
    assert run["name"] == "media.vitpose"
    assert run["reviewer"] == "anna"
    assert (run["keypoints"][0], run["sides"][:3]) == ("nose", ["centre", "left", "right"])
    assert run["videos"] == [VIDEO]
    template = np.array(run["template"])
    assert template.shape == (17, 2)
    assert ((template >= 0) & (template <= 1)).all()


def test_the_list_is_in_the_order_of_labelling(server: Server) -> None:
    listed = server.get("api/frames").json
    assert len(listed["numbers"]) == len(listed["states"]) == listed["num_frames"] == NUM_FRAMES
    photos = ["a.jpg", "b.jpg", "broken.jpg", PHOTOS[3], PHOTOS[2]]
    assert names(server) == photos + [f"{VIDEO}/frame_{index:06d}.jpg" for index in range(5)]
    assert listed["counts"]["failed"] == 1


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("states=failed", [FAILED]),
        ("states=failed,unheard", [FAILED]),
        ("text=DAY+1", [PHOTOS[3], PHOTOS[2]]),
        (f"video={VIDEO}", [f"{VIDEO}/frame_{index:06d}.jpg" for index in range(5)]),
        ("video=none.mp4", []),
        ("max_score=0.01", []),
        ("keypoint=0&max_score=1.1&text=b.jpg", ["b.jpg"]),
        ("name=b.jpg", ["b.jpg"]),
        ("name=b.jp", []),
        ("queued=1", []),
    ],
)
def test_filters(server: Server, query: str, wanted: list[str]) -> None:
    assert names(server, query) == wanted


def test_the_lowest_score_may_come_first(server: Server) -> None:
    numbers = server.get("api/frames?order=score").json["numbers"]
    rows = server.get(f"api/rows?numbers={','.join(map(str, numbers))}").json
    scores = [row["score"] for row in rows]
    assert scores == sorted(scores)


@pytest.mark.parametrize(
    "query", ["order=best", "keypoint=17", "keypoint=-1", "keypoint=x", "max_score=x"]
)
def test_a_filter_that_cannot_be_is_refused(server: Server, query: str) -> None:
    reply = server.get(f"api/frames?{query}")
    assert reply.status == 422
    assert reply.json["error"]


@pytest.mark.parametrize(
    "path",
    [
        "api/frames/99",
        "api/frames/99/picture",
        "api/frames/-1",
        pytest.param(f"api/frames/{'9' * 5000}", id="5000 digits"),
        pytest.param(f"api/frames/{'9' * 5000}/picture", id="picture of 5000 digits"),
        "api/frames/%D9%A1",
        "api/rows?numbers=99",
        pytest.param(f"api/rows?numbers={'9' * 5000}", id="row of 5000 digits"),
        "api/none",
        "api/run/",
    ],
)
def test_what_is_not_there_is_not_found(server: Server, path: str) -> None:
    assert server.get(path).status == 404


@pytest.mark.parametrize("numbers", ["", "x", "1,,2", ",".join(["1"] * 501)])
def test_rows_are_asked_for_by_number(server: Server, numbers: str) -> None:
    assert server.get(f"api/rows?numbers={numbers}").status == 422


def test_as_many_rows_are_answered_as_a_page_may_ask_for(server: Server) -> None:
    rows = server.get(f"api/rows?numbers={','.join(['1'] * 500)}").json
    assert [row["number"] for row in rows] == [1] * 500


@pytest.mark.parametrize("name", PHOTOS)
def test_photos_of_any_name_are_shown(server: Server, name: str) -> None:
    reply = server.get(f"api/frames/{server.number(name)}/picture")
    assert reply.status == 200
    assert reply.headers["cache-control"] == "private, max-age=3600"
    assert reply.headers["content-type"] == "image/jpeg"
    assert decoded(reply.body).shape == (SIZE_WH[1], SIZE_WH[0], 3)


def test_the_very_frame_of_a_video_is_shown(server: Server) -> None:
    for index in (3, 1):
        number = server.number(f"{VIDEO}/frame_{index:06d}.jpg")
        image = decoded(server.get(f"api/frames/{number}/picture").body)
        assert abs(float(image.mean()) - 40 * index) < 4
        small = decoded(server.get(f"api/frames/{number}/thumbnail").body)
        assert abs(float(small.mean()) - 40 * index) < 4


def test_pictures_that_take_long_hold_up_nothing_else(tmp_path: Path) -> None:
    media, run_folder = tmp_path / "media", tmp_path / "media.vitpose"
    make_photo(media / "large.png", (5000, 4000))
    with Run.open(run_folder, make_manifest(media)) as run:
        run.append(FrameRecord(FrameKey("large.png"), (5000, 4000), instances=make_people(1)))
    with running(run_folder) as server, ThreadPoolExecutor(45) as pool:  # more than it has threads
        server.get("api/frames/0")
        began = time.monotonic()
        pictures = [pool.submit(server.get, "api/frames/0/picture") for _ in range(45)]
        longest_s = 0.0
        while not any(picture.done() for picture in pictures):
            asked = time.monotonic()
            assert server.get("api/progress").status == 200
            longest_s = max(longest_s, time.monotonic() - asked)
        assert longest_s < 0.5 * (time.monotonic() - began)
        assert all(picture.result().status == 200 for picture in pictures)


def test_an_unreadable_picture_says_why(server: Server) -> None:
    reply = server.get(f"api/frames/{server.number(FAILED)}/picture")
    assert reply.status == 422
    assert "not a photo" in reply.json["error"]


def test_a_frame_tells_its_people_with_unlabelled_places(server: Server) -> None:
    frame = server.frame("b.jpg")
    assert frame["size_wh"] == list(SIZE_WH)
    assert frame["row"]["state"] == "todo"
    nose = person(frame)["keypoints"][0]
    assert nose[2] == 0
    assert nose[0] > 0


def test_the_frame_before_is_that_of_the_video_or_folder(server: Server) -> None:
    assert server.frame(f"{VIDEO}/frame_000002.jpg")["previous"] == server.number(
        f"{VIDEO}/frame_000001.jpg"
    )
    assert server.frame(f"{VIDEO}/frame_000000.jpg")["previous"] is None
    assert server.frame("b.jpg")["previous"] == server.number("a.jpg")
    assert server.frame(PHOTOS[3])["previous"] is None


def test_numbers_in_names_count_by_their_value(tmp_path: Path) -> None:
    photos = ["img1.jpg", "img2.jpg", "img10.jpg", "img11.jpg", "img100.jpg"]
    media, run_folder = tmp_path / "media", tmp_path / "media.vitpose"
    with Run.open(run_folder, make_manifest(media)) as run:
        for name in photos:
            make_photo(media / name)
            run.append(FrameRecord(FrameKey(name), SIZE_WH, instances=make_people(1)))
    assert list(find_media([str(media)]).files) == photos  # the order of `annotate`
    with running(run_folder) as server:
        assert names(server) == names(server, "order=name") == photos
        assert server.frame("img10.jpg")["previous"] == server.number("img2.jpg")


def test_edits_are_journalled_one_by_one(run_folder: Path) -> None:
    with running(run_folder, "--reviewer", "anna") as server:
        before = server.frame("b.jpg")
        people = before["people"]
        people[0]["keypoints"][5] = [33.25, 44.5, 1, 1]
        drafted = server.save("b.jpg", "draft", people)
        assert drafted.status == 200
        assert drafted.json["row"]["state"] == "draft"
        assert drafted.json["people"] == people
        accepted = server.save("b.jpg", "fixed").json
        assert accepted["counts"] == {**before["counts"], "todo": 8, "fixed": 1}
        assert accepted["reviewer"] == "anna"
        server.save("a.jpg", "rejected")
    with Run.read(run_folder) as run:
        record = run.record(FrameKey("b.jpg"))
        assert record is not None
        assert record.review is not None
        assert record.review.previous == drafted.json["version"]
        assert record.instances is not None
        assert record.instances.keypoints[0, 5].tolist() == [33.25, 44.5]
        assert record.instances.visibility[0, 5] == 1
    # Ctrl-C has written the document anew.
    document = read_coco(run_folder / "annotations.json")
    reviews = {image["file_name"]: image.get("review") for image in document.images}
    assert "a.jpg" not in reviews
    assert reviews["b.jpg"] == "fixed"
    assert reviews[PHOTOS[2]] is None


def test_two_windows_do_not_overwrite_each_other(run_folder: Path) -> None:
    with running(run_folder, "--reviewer", "anna") as server:
        seen = server.frame("b.jpg")
        first = server.save("b.jpg", "fixed", [], version=seen["version"])
        second = server.save("b.jpg", "accepted", version=seen["version"])
        assert (first.status, second.status) == (200, 409)
        conflict = second.json
        assert "another window" in conflict["error"]
        assert conflict["current"]["version"] == first.json["version"]
        assert conflict["current"]["people"] == []
        assert conflict["current"]["reviewer"] == "anna"
        again = server.save("b.jpg", "accepted", version=conflict["current"]["version"])
        assert again.status == 200


def test_an_unreadable_frame_can_only_be_rejected(server: Server) -> None:
    assert server.save(FAILED, "accepted").status == 422
    assert server.save(FAILED, "rejected", []).status == 422
    assert server.save(FAILED, "rejected").json["row"]["state"] == "rejected"
    undone = server.save(FAILED, "draft").json
    assert (undone["row"]["state"], undone["counts"]["failed"]) == ("failed", 1)


def test_a_rejected_photo_that_can_be_read_again_has_its_labels(run_folder: Path) -> None:
    with running(run_folder) as server:
        server.save(FAILED, "rejected")
    assert (run_folder / "failures.jsonl").read_bytes() == b""
    people = make_people(3)
    with running(run_folder) as server:
        with Run.open(run_folder, make_manifest(run_folder.parent / "media")) as run:
            assert FrameKey(FAILED) not in run.done()  # it is tried again
            run.append(FrameRecord(FrameKey(FAILED), SIZE_WH, instances=people))
        wait_until(lambda: server.frame(FAILED)["people"])
        mended = server.frame(FAILED)
        assert (mended["row"]["state"], len(mended["people"])) == ("rejected", 3)
    assert FAILED not in [image["file_name"] for image in written(run_folder)]
    with running(run_folder) as server:
        assert server.frame(FAILED)["row"]["state"] == "rejected"
        assert server.get("api/frames?states=rejected").json["numbers"] == [server.number(FAILED)]
        assert server.save(FAILED, "accepted").json["row"]["state"] == "accepted"
    assert FAILED in [image["file_name"] for image in written(run_folder)]


def test_a_person_wins_over_a_model_that_still_runs(run_folder: Path) -> None:
    media = run_folder.parent / "media"
    with running(run_folder) as server, Run.open(run_folder, make_manifest(media)) as run:
        server.save("b.jpg", "fixed", [])
        run.append(FrameRecord(FrameKey("b.jpg"), SIZE_WH, instances=make_people(3)))
        make_photo(media / "z_new.jpg")
        run.append(FrameRecord(FrameKey("z_new.jpg"), SIZE_WH, instances=make_people(2)))
        wait_until(lambda: server.get("api/progress").json["num_frames"] > NUM_FRAMES)
        assert server.frame("b.jpg")["people"] == []
        assert server.number("z_new.jpg") == NUM_FRAMES  # numbers do not change while it runs
        assert len(server.frame("z_new.jpg")["people"]) == 2


def test_what_a_model_does_meanwhile_is_noticed(run_folder: Path) -> None:
    media = run_folder.parent / "media"
    with running(run_folder) as server, Run.open(run_folder, make_manifest(media)) as run:
        number = server.number(FAILED)
        run.forget_failures([FrameKey(FAILED)])  # as many frames as before
        run.append(FrameRecord(FrameKey("z_new.jpg"), SIZE_WH, instances=make_people(2)))
        wait_until(lambda: server.get("api/progress").json["num_frames"] == NUM_FRAMES + 1)
        run.append(FrameRecord(FrameKey(FAILED), SIZE_WH, instances=make_people(3)))
        run.append(FrameRecord(FrameKey("b.jpg"), SIZE_WH, instances=make_people(4)))
        wait_until(lambda: server.get("api/progress").json["counts"]["failed"] == 0)
        mended, again = server.get(f"api/rows?numbers={number},{server.number('b.jpg')}").json
        assert (mended["state"], mended["num_people"]) == ("todo", 3)
        assert (again["state"], again["num_people"]) == ("todo", 4)


def test_a_review_that_outlives_a_refresh_writes_what_labels_are_of_now(run_folder: Path) -> None:
    newer = replace(
        make_manifest(run_folder.parent / "media"),
        weights_name="better",
        weights_hash="89ab",
        options={"flip-test": True},
        document={"track": False},
    )
    with running(run_folder) as server:
        server.save("a.jpg", "accepted")
        with Run.open(run_folder, newer, refresh=True) as run:
            run.append(FrameRecord(FrameKey("b.jpg"), SIZE_WH, instances=make_people(3)))
    document = read_coco(run_folder / "annotations.json")
    assert document.info["vitpose"]["weights"] == "better"
    assert document.info["vitpose"]["options"] == {"flip-test": True}
    assert not any("track_id" in annotation for annotation in document.annotations)


def test_a_second_review_of_the_same_run_is_refused(run_folder: Path) -> None:
    with Run.edit(run_folder):
        second = subprocess.run(
            review_command(run_folder), capture_output=True, text=True, timeout=240, check=False
        )
    assert second.returncode == ExitCode.INPUT
    assert "is being written by process" in second.stderr
