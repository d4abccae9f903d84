"""What a person did survives the end of the server at any moment."""

import json
import threading
import time
from http.client import HTTPException
from pathlib import Path

from review_cases import running

from vitpose_cli.media.frames import FrameKey
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
        clicks.join(20)
        assert not clicks.is_alive()
    past = frame_history(run_folder, "b.jpg")
    places = [
        round(float(record.instances.boxes[0, 0]), 2) for record in past[1:] if record.instances
    ]
    assert places[: len(answered)] == answered
    assert len(places) <= len(answered) + 1  # one may be on the disk without an answer
    with running(run_folder) as server:
        after = server.frame("b.jpg")
        assert after["people"][0]["box"][0] == places[-1]
        assert after["row"]["state"] == "draft"
        assert server.save("b.jpg", "fixed").status == 200


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
