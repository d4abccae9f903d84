"""What a person did survives the end of the server at any moment."""

import json
import os
import subprocess
import threading
import time
from http.client import HTTPException
from pathlib import Path

import pytest
from review_cases import PHOTOS, Server, ended, review_command, running

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.coco import read_coco
from vitpose_cli.records.history import frame_history
from vitpose_cli.records.run import Run


def test_every_answered_edit_survives_a_kill_in_the_middle(run_folder: Path) -> None:
    answered: list[float] = []
    with running(run_folder) as server:
        frame = server.frame("b.jpg")
        number = server.number("b.jpg")

        def click_on_and_on() -> None:
            version, people = frame["version"], frame["people"]
            for step in range(10_000):
                people[0]["box"][0] = step / 100
                edit = {"version": version, "state": "draft", "people": people}
                try:
                    reply = server.post(f"api/frames/{number}", edit)
                except (OSError, HTTPException, json.JSONDecodeError):
                    return
                version = reply.json["version"]
                answered.append(step / 100)

        clicks = threading.Thread(target=click_on_and_on)
        clicks.start()
        while len(answered) < 20:
            time.sleep(0.005)
        server.kill()
        clicks.join(60)
        assert not clicks.is_alive()
    past = frame_history(run_folder, "b.jpg")
    places = [
        round(float(version.record.instances.boxes[0, 0]), 2)
        for version in past[1:]
        if version.record.instances
    ]
    assert places[: len(answered)] == answered
    assert len(places) <= len(answered) + 1  # one may be on the disk without an answer
    with running(run_folder) as server:
        after = server.frame("b.jpg")
        assert after["people"][0]["box"][0] == places[-1]
        assert after["row"]["state"] == "draft"
        assert server.save("b.jpg", "fixed").status == 200


@pytest.mark.skipif(os.name == "nt", reason="there are no terminals to close")
def test_closing_the_terminal_writes_the_document(run_folder: Path) -> None:
    import pty
    import termios
    from fcntl import ioctl

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        review_command(run_folder, "--port", 0), stdin=theirs, stdout=subprocess.PIPE,
        stderr=theirs, text=True, start_new_session=True,
        preexec_fn=lambda: ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(theirs)
    with process, os.fdopen(ours, "rb", buffering=0) as terminal:
        assert process.stdout is not None
        server = Server(process, process.stdout.readline().strip())
        assert server.save("b.jpg", "rejected").status == 200
        terminal.close()
        process.wait(120)
    document = read_coco(run_folder / "annotations.json")
    names = [image["file_name"] for image in document.images]
    assert PHOTOS[0] in names
    assert "b.jpg" not in names


def test_what_a_killed_review_left_is_written_by_the_next(run_folder: Path) -> None:
    with running(run_folder) as server:
        server.save("b.jpg", "rejected")
        server.kill()
    assert not (run_folder / "annotations.json").exists()
    said = []
    for _ in range(2):
        with running(run_folder) as server:
            said.append(ended(server))
    assert f"Edits of an earlier review -> {run_folder / 'annotations.json'}" in said[0]
    assert "Nothing was changed." in said[1]
    document = read_coco(run_folder / "annotations.json")
    assert "b.jpg" not in [image["file_name"] for image in document.images]


def test_the_end_says_that_edits_are_saved_before_it_writes_the_document(run_folder: Path) -> None:
    with running(run_folder) as server:
        server.save("b.jpg", "rejected")
        *_, saved, written = ended(server).splitlines()
    assert saved == "Every edit is saved. Writing annotations.json ..."
    assert written.startswith("1 frame reviewed -> ")


def test_an_edit_cut_in_half_is_as_if_it_never_was(run_folder: Path) -> None:
    with running(run_folder) as server:
        server.save("b.jpg", "draft", [])
        server.save("b.jpg", "fixed")
        server.kill()
    journal = run_folder / "journal-review.jsonl"
    journal.write_bytes(journal.read_bytes()[:-40])
    with Run.edit(run_folder) as run:
        record = run.record(FrameKey("b.jpg"))
        assert record is not None
        assert record.review is not None
        assert record.review.state == "draft"
