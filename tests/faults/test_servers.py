"""A server that stalls, breaks off, fails or never ends: waited for, then recorded."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from annotate_jobs import Job
from launcher import Launcher

pytest.importorskip("aiohttp")
pytest.importorskip("fsspec")

# What a server does before it answers as it should; the number is how often.
BEHAVIOURS = {
    "well": ("answer", 0),
    "slow": ("trickle", 0),
    "error-once": ("error", 1),
    "error-always": ("error", 99),
    "busy": ("say when", 1),
    "busy-until": ("say until when", 99),
    "busy-for-long": ("say when, far away", 99),
    "breaks-twice": ("break", 2),
    "breaks-always": ("break", 99),
    "stalls-once": ("stall", 1),
    "stalls-always": ("stall", 99),
    "stalls-half-way": ("stall in the middle", 99),
    "missing": ("miss", 99),
    "circle": ("send in a circle", 99),
    "endless": ("go on and on", 99),
    "camera": ("show what a camera sees", 99),
}
STALL_S = 90.0
"""How long the server keeps somebody waiting, whose patience is of seconds."""


class Moody(BaseHTTPRequestHandler):
    """Serves one photo under the names in `BEHAVIOURS`, each in its own way."""

    def __init__(
        self, *arguments: Any, photo: bytes, asked: Counter[str], over: threading.Event
    ) -> None:
        self._photo = photo
        self._asked = asked
        self._over = over
        super().__init__(*arguments)

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2].partition(".")[0]
        self._asked[name] += 1
        kind, times = BEHAVIOURS[name]
        if kind == "trickle":
            self._answer(slowly=True)
        elif self._asked[name] > times:
            self._answer()
        elif kind == "error":
            self.send_error(500)
        elif kind.startswith("say when"):
            self.send_response(429)
            self.send_header("Retry-After", "3600" if "far" in kind else "1")
            self.end_headers()
        elif kind == "say until when":  # by a clock that is years behind
            self.send_response_only(503)
            self.send_header("Date", "Mon, 31 Dec 2018 23:59:59 GMT")
            self.send_header("Retry-After", "Tue, 01 Jan 2019 01:59:59 GMT")
            self.end_headers()
        elif kind == "send in a circle":
            self.send_response(302)
            self.send_header("Location", self.path)
            self.end_headers()
        elif kind == "miss":
            self.send_error(404)
        elif kind == "break":
            self._head()
            self.wfile.write(self._photo[:100])
            self.close_connection = True
        elif kind in ("go on and on", "show what a camera sees"):
            self._go_on(
                b"" if kind == "go on and on" else b"--next\r\nContent-Type: image/jpeg\r\n\r\n"
            )
        else:
            if "middle" in kind:
                self._head()
                self.wfile.write(self._photo[:100])
            self._over.wait(STALL_S)

    def _answer(self, slowly: bool = False) -> None:
        self._head()
        parts = 5 if slowly else 1
        size = len(self._photo) // parts + 1
        for start in range(0, len(self._photo), size):
            time.sleep(0.1 * slowly)
            self.wfile.write(self._photo[start : start + size])

    def _go_on(self, before_each: bytes) -> None:
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        with contextlib.suppress(ConnectionError):
            while not self._over.is_set():
                self.wfile.write(before_each + self._photo)

    def _head(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self._photo)))
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def asked() -> Counter[str]:
    return Counter()


@pytest.fixture
def server(job: Job, asked: Counter[str]) -> Iterator[str]:
    photo = (job.media / "a" / "photo 1.jpg").read_bytes()
    over = threading.Event()
    handler = partial(Moody, photo=photo, asked=asked, over=over)
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    http.daemon_threads = True
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_address[1]}"
    over.set()
    http.shutdown()
    http.server_close()


def test_a_moody_server(
    job: Job, launcher: Launcher, tmp_path: Path, server: str, asked: Counter[str]
) -> None:
    listed, run = tmp_path / "urls.txt", tmp_path / "run"
    listed.write_text("".join(f"{server}/{name}.jpg\n" for name in BEHAVIOURS))
    arguments = _annotate(job, listed, run)
    started = time.monotonic()
    done = launcher.run(*arguments, fault="servers_get_little_patience")
    assert time.monotonic() - started < STALL_S
    assert done.returncode == 5, done.stderr
    labelled = json.loads((run / "annotations.json").read_bytes())["images"]
    assert {image["file_name"] for image in labelled} == {
        "well.jpg", "slow.jpg", "error-once.jpg", "breaks-twice.jpg", "stalls-once.jpg", "busy.jpg",
    }  # fmt: skip
    failures = map(json.loads, (run / "failures.jsonl").read_text().splitlines())
    said = {failure["file_name"]: failure["error"] for failure in failures}
    assert "500" in said.pop("error-always.jpg")
    assert "429, message='Too Many Requests'" in (busy := said.pop("busy-for-long.jpg"))
    assert busy.endswith("(it asks to wait 3600 seconds).")
    assert said.pop("busy-until.jpg").endswith("(it asks to wait 7200 seconds).")
    assert "Payload" in said.pop("breaks-always.jpg")
    assert "FileNotFound" in said.pop("missing.jpg")
    assert "TooManyRedirects" in said.pop("circle.jpg")
    assert "more than 8,000,000 bytes: it is no photo, or a stream" in said.pop("endless.jpg")
    assert "not a photo" in said.pop("camera.jpg")
    assert said.keys() == {"stalls-always.jpg", "stalls-half-way.jpg"}
    assert all("Timeout" in sentence for sentence in said.values())
    for name in ("missing", "well", "endless", "camera"):
        assert asked[name] == 1
    assert asked["error-always"] == asked["breaks-always"] == asked["busy-for-long"] == 5
    assert asked["stalls-always"] == 2
    assert asked["circle"] == 10  # redirects that are followed, once


def test_a_stalling_server_keeps_nobody_from_ending_a_run(
    job: Job, launcher: Launcher, tmp_path: Path, server: str, asked: Counter[str]
) -> None:
    listed = tmp_path / "urls.txt"
    listed.write_text("".join(f"{server}/{number}/stalls-always.jpg\n" for number in range(30)))
    arguments = _annotate(job, listed, tmp_path / "run")
    process = launcher.start(*arguments, fault="servers_get_little_patience")
    while not asked["stalls-always"]:
        assert process.poll() is None, process.stderr
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout_s=STALL_S) == 130, process.stderr


def _annotate(job: Job, listed: Path, run: Path) -> list[str]:
    return [
        "annotate", f"@{listed}", "-o", str(run), "-w", str(job.weights),
        "--detector", "whole-image", "--no-flip-test",
    ]  # fmt: skip
