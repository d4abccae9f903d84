"""A run with photos and a video, and a real review server over it, for several tests."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
import cv2
import numpy as np
import orjson
from launcher import POLL_S, Fork, shared_launcher

import vitpose_cli.review
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run
from vitpose_cli.review.edits import parse_edit

SIZE_WH = (160, 120)
HTML_NAME = "<img src=x onerror=alert(1)>&amp;.jpg"
PHOTOS = ("a.jpg", "b.jpg", "day 1/ü #?%41.png", f"day 1/{HTML_NAME}")
VIDEO = "clip.mp4"
FAILED = "broken.jpg"
SECRET = b"do not show this to anybody"
CATEGORY = keypoint_set("coco").to_category()
STATIC = Path(vitpose_cli.review.__file__).parent / "static"
SCRIPTS = tuple(sorted(path.name for path in STATIC.glob("*.js")))
"""The modules of the page; `review.js` is the one that it names."""


def edit(version: str, state: str, people: Any = None) -> Any:
    return parse_edit(orjson.dumps({"version": version, "state": state, "people": people}), 17)


def make_people(count: int, seed: int = 0) -> Instances:
    """Return people inside of the frame, the first keypoint of each unlabelled."""
    random = np.random.default_rng(seed)
    low = random.uniform(2, 40, (count, 2))
    high = low + random.uniform(40, 70, (count, 2))
    points = random.uniform(low[:, None], high[:, None], (count, 17, 2)).astype(np.float32)
    visibility = np.full((count, 17), 2)
    visibility[:, 0] = 0
    return Instances(
        boxes=np.concatenate([low, high], axis=1),
        box_scores=np.full(count, 0.9),
        keypoints=points,
        keypoint_scores=random.uniform(0.3, 0.9, (count, 17)).astype(np.float32),
        visibility=visibility,
    )


def make_photo(path: Path, size_wh: tuple[int, int] = SIZE_WH) -> None:
    width, height = size_wh
    ramp = np.linspace(40, 220, width, dtype=np.uint8)
    image = np.repeat(np.broadcast_to(ramp, (height, width))[..., None], 3, axis=2).copy()
    cv2.circle(image, (width // 2, height // 3), height // 6, (90, 120, 200), -1)
    done, data = cv2.imencode(path.suffix, image)
    assert done
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.tobytes())


def make_video(path: Path, num_frames: int = 5) -> None:
    """Write a video whose frame n is a grey of 40 * n."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height = SIZE_WH
        stream.pix_fmt = "yuv420p"
        for index in range(num_frames):
            grey = np.full((SIZE_WH[1], SIZE_WH[0], 3), 40 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode())


def make_manifest(media: Path) -> RunManifest:
    return RunManifest(keypoint_set=CATEGORY, sources=(str(media),), weights_name="tiny")


def make_run(folder: Path) -> Path:
    """Return the run folder of four photos, a broken one, and a video of five frames."""
    media, run_folder = folder / "media", folder / "media.vitpose"
    (folder / "secret.txt").write_bytes(SECRET)
    for name in PHOTOS:
        make_photo(media / name)
    (media / FAILED).write_bytes(b"no photo")
    make_video(media / VIDEO)
    with Run.open(run_folder, make_manifest(media)) as run:
        for number, name in enumerate(PHOTOS):
            run.append(FrameRecord(FrameKey(name), SIZE_WH, instances=make_people(number, number)))
        run.append(FrameRecord(FrameKey(FAILED), error="The file is not a photo."))
        for index in range(5):
            people = make_people(1, 7)
            run.append(FrameRecord(FrameKey(VIDEO, index), SIZE_WH, index / 25, instances=people))
    return run_folder


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    """A running `vitpose review`."""

    process: Fork | subprocess.Popen[str]
    url: str

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    @property
    def token(self) -> str:
        return urlsplit(self.url).path.strip("/")

    def raw(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a request exactly as it is given, `target` and `Host` included."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        given = {"Host": f"127.0.0.1:{self.port}"} | dict(headers or {})
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in given.items():
                connection.putheader(name, value)
            if body is not None and "Content-Length" not in given:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            return Reply(response.status, dict(response.headers.items()), response.read())
        finally:
            connection.close()

    def get(self, path: str = "", **headers: str) -> Reply:
        return self.raw("GET", f"/{self.token}/{path}", headers=headers)

    def post(self, path: str, value: Any) -> Reply:
        kind = {"Content-Type": "application/json"}
        return self.raw("POST", f"/{self.token}/{path}", json.dumps(value).encode(), kind)

    def number(self, name: str) -> int:
        """Return the number of the frame of this name."""
        numbers = self.get("api/frames").json["numbers"]
        rows = self.get(f"api/rows?numbers={','.join(map(str, numbers))}").json
        return int(next(row["number"] for row in rows if row["name"] == name))

    def frame(self, name: str) -> Any:
        return self.get(f"api/frames/{self.number(name)}").json

    def save(self, name: str, state: str, people: Any = None, version: str | None = None) -> Reply:
        """Save an edit of a frame, made on its newest version if none is given."""
        edit = {"version": version or self.frame(name)["version"], "state": state, "people": people}
        return self.post(f"api/frames/{self.number(name)}", edit)

    def kill(self) -> None:
        """End the server as a power cut does."""
        self.process.kill()
        self.process.wait()


def review_command(*arguments: object) -> list[str]:
    code = "from vitpose_cli.cli.app import run; import sys; sys.exit(run(sys.argv[1:]))"
    return [sys.executable, "-c", code, "review", *map(str, arguments)]


@contextmanager
def running(
    *arguments: object, port: int = 0, fault: str | None = None, **environment: str
) -> Iterator[Server]:
    """Start a server with `arguments` and end it as Ctrl-C does."""
    process = shared_launcher().start(
        "review", *map(str, arguments), "--port", str(port), environment=environment, fault=fault
    )
    try:
        while not process.stdout.endswith("\n"):
            assert process.poll() is None, process.stderr
            time.sleep(POLL_S)
        yield Server(process, process.stdout.strip())
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait()


@contextmanager
def running_read_late(run: Path, num_bytes: int) -> Iterator[tuple[Server, Path]]:
    """Start a server that knows so much of a run, and the rest once the file beside it is made."""
    go_on = run.with_suffix(".go-on")
    late = "a_run_is_read_late"
    with running(run, fault=late, READ_BYTES=str(num_bytes), READ_ON=str(go_on)) as server:
        yield server, go_on


def ended(server: Server) -> str:
    """End a server as Ctrl-C does; return what it said, which is no trace of a bug."""
    assert isinstance(server.process, Fork)
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait() == 0
    said = server.process.stderr
    assert "Traceback" not in said
    assert "ERROR" not in said
    return said
