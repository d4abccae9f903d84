"""Photos at URLs, on a loopback server and in fsspec's own memory."""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
from runs import save_weights, vitpose

from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.media import remote
from vitpose_cli.media.archives import Unreadable
from vitpose_cli.media.finding import find_media
from vitpose_cli.media.frames import Frame, FrameFailure
from vitpose_cli.media.source import open_source

fsspec = pytest.importorskip("fsspec")
PHOTO = cv2.imencode(".jpg", np.full((6, 8, 3), 200, np.uint8))[1].tobytes()


class Server(SimpleHTTPRequestHandler):
    """Serves a folder; a name with `flaky` fails twice, one with `down` always.

    Of a name with `torn` the connection is reset, three times.
    """

    asked: ClassVar[Counter[str]] = Counter()

    def do_GET(self) -> None:
        type(self).asked[self.path] += 1
        if "down" in self.path or ("flaky" in self.path and self.asked[self.path] < 3):
            self.send_error(503)
        elif "torn" in self.path and self.asked[self.path] < 4:
            reset = struct.pack("ii", 1, 0)  # no waiting for what is not sent
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            os.close(self.connection.detach())
            self.close_connection = True
        elif "forbidden" in self.path:
            self.send_error(403)
        else:
            super().do_GET()

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    pytest.importorskip("aiohttp")
    Server.asked.clear()
    for name in ("a/1.jpg", "a/2.jpg", "a/10.jpg", "b/flaky.jpg", "notes.txt", ".hidden.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(PHOTO)
    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, directory=str(tmp_path)))
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_address[1]}"
    http.shutdown()
    http.server_close()


def test_a_folder_of_a_server_is_listed_in_natural_order(server: str) -> None:
    found = find_media([server + "/"])
    assert list(found.files) == ["a/1.jpg", "a/2.jpg", "a/10.jpg", "b/flaky.jpg"]
    assert found.ignored == {".txt at URLs": 1}
    assert list(find_media([f"{server}/a"]).files) == ["1.jpg", "2.jpg", "10.jpg"]


@pytest.mark.parametrize("what", ["", "**/*.jpg"])
def test_a_folder_that_cannot_be_listed_at_once_loses_no_photo(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    (tmp_path / "set" / "torn").mkdir(parents=True)
    (tmp_path / "set" / "torn" / "2.jpg").write_bytes(PHOTO)
    (tmp_path / "set" / "1.jpg").write_bytes(PHOTO)
    monkeypatch.setattr(remote, "RETRY_WAITS_S", (0.01,) * 4)
    assert list(find_media([f"{server}/set/{what}"]).files) == ["1.jpg", "torn/2.jpg"]
    Server.asked.clear()
    monkeypatch.setattr(remote, "RETRY_WAITS_S", ())
    with pytest.raises(InputError, match=r"set/.* cannot be listed: Client\w+Error"):
        find_media([f"{server}/set/{what}"])


def test_a_server_that_is_not_there_is_no_empty_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(remote, "RETRY_WAITS_S", ())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/photos/"
        with pytest.raises(InputError, match="cannot be listed: ClientConnectorError"):
            find_media([url])


def test_failures_that_pass_are_tried_again_and_others_recorded(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "RETRY_WAITS_S", (0.01, 0.02))
    names = ["b/flaky.jpg", "down.jpg", "forbidden.jpg", "missing.jpg", "a/1.jpg?signed=yes"]
    source = open_source([f"{server}/{name}" for name in names])
    frames = list(source.frames())
    read = [str(frame.key) for frame in frames if isinstance(frame, Frame)]
    failed = {str(frame.key): frame.error for frame in frames if isinstance(frame, FrameFailure)}
    assert read == ["a/1.jpg", "b/flaky.jpg"]
    assert "503" in failed["down.jpg"]
    assert "403" in failed["forbidden.jpg"]
    assert "FileNotFound" in failed["missing.jpg"]
    assert Server.asked["/down.jpg"] == 3
    assert Server.asked["/forbidden.jpg"] == Server.asked["/missing.jpg"] == 1


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs a certificate")
def test_a_certificate_that_nobody_vouches_for_is_looked_at_once(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    making = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    subprocess.run([*making, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    connected: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, whose = listening.accept()
                    connected.append(whose)
                    with connection, suppress(OSError):
                        context.wrap_socket(connection, server_side=True)

        threading.Thread(target=serve, daemon=True).start()
        photo = remote.RemoteFile(f"https://localhost:{listening.getsockname()[1]}/a.jpg")
        with pytest.raises(InputError, match="certificate verify failed"):
            photo.read_bytes()
    assert len(connected) == 1


def test_what_a_store_says_ends_with_one_full_stop() -> None:
    with pytest.raises(InputError, match=r"read: PermissionError: The token has expired\.$"):
        remote._tried(lambda: _refuse("The token has expired."), "s3://b/a.jpg cannot be read")


def _refuse(why: str) -> None:
    raise PermissionError(why)


def test_photos_are_called_as_copies_of_them(server: str, tmp_path: Path) -> None:
    for name in ("a b.jpg", "ü#1.jpg"):
        (tmp_path / "a" / name).write_bytes(PHOTO)
    every = ["1.jpg", "2.jpg", "10.jpg", "a b.jpg", "ü#1.jpg"]
    assert list(find_media([f"{server}/a"]).files) == every
    frames = open_source([f"{server}/a/%C3%BC%231.jpg?of=x/y", f"{server}/a/a%20b.jpg"]).frames()
    assert [str(frame.key) for frame in frames if isinstance(frame, Frame)] == every[3:]
    odd = [f"{server}/a/%E4.jpg", f"{server}/a/%F6.jpg"]  # no UTF-8
    assert list(find_media(odd).files) == ["%E4.jpg", "%F6.jpg"]


def test_no_name_leads_out_or_has_what_names_of_files_have_not(server: str, tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    names = ["a/../../../1.jpg", "b/%2e%2e/a/./2.jpg", "b/../../%2e%2e%2Fa/10.jpg", "a/n%00l.jpg"]
    listed.write_text("\n".join(f"{server}/{name}" for name in [*names, "a%5Cb.jpg"]))
    (tmp_path / "1.jpg").write_bytes(PHOTO)
    source = open_source([f"@{listed}"])
    frames = list(source.frames())
    read = [str(frame.key) for frame in frames if isinstance(frame, Frame)]
    failed = {str(frame.key): frame.error for frame in frames if isinstance(frame, FrameFailure)}
    assert sorted(read) == ["1.jpg", "a/10.jpg", "a/2.jpg"]
    assert sorted(failed) == ["a/n%00l.jpg", "a\\b.jpg"]
    assert "has a backslash" in failed["a\\b.jpg"]
    with pytest.raises(InputError, match="has a backslash"):
        open_source([f"{server}/a%5Cb.jpg"])


def test_what_is_written_down_gives_no_access(server: str, tmp_path: Path) -> None:
    with_password = server.replace("://", "://anna:s3cr3t@")
    weights = save_weights(tmp_path / "w.safetensors")
    sources = [f"{with_password}/a", f"{with_password}/forbidden.jpg?signature=s3cr3t"]
    options = ["-w", str(weights), "-o", "run", "--detector", "whole-image"]
    done = vitpose("annotate", *sources, *options, cwd=tmp_path)
    assert done.returncode == 5, done.stderr
    renewed = [each.replace("s3cr3t", "n3w") for each in sources]
    again = vitpose("annotate", *renewed, *options, cwd=tmp_path)
    assert again.returncode == 5, again.stderr
    written = [path.read_text() for path in (tmp_path / "run").iterdir()]
    written += [done.stdout, done.stderr, again.stdout, again.stderr]
    assert "forbidden.jpg" in "".join(written)
    assert not re.search("s3cr3t|n3w|anna", "".join(written))


def test_a_list_of_urls_and_braces(server: str, tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text(f"{server}/a/1.jpg\n# none\n{server}/a/2.jpg\n")
    assert list(find_media([f"@{listed}"]).files) == ["1.jpg", "2.jpg"]
    assert list(find_media([server + "/a/{1..2}.jpg"]).files) == ["1.jpg", "2.jpg"]
    assert Server.asked == {}  # whoever is named is not asked for
    with pytest.raises(InputError, match="some are URLs"):
        find_media([f"{server}/a/1.jpg", str(listed.parent / "a")])


def test_a_line_of_a_list_that_is_no_photo_is_a_failure_of_its_own(
    server: str, tmp_path: Path
) -> None:
    listed = tmp_path / "list.txt"
    bad = ["gone", "notes.txt", "a/none-*.jpg", "a/clip.mp4", "b/photo?id=2"]
    listed.write_text("\n".join(f"{server}/{name}" for name in ["a", *bad, "b/flaky.jpg"]))
    source = open_source([f"@{listed}"])
    assert [*source.media[:4]] == ["a/1.jpg", "a/2.jpg", "a/10.jpg", "a/clip.mp4"]
    failures = [source.file(media) for media in source.media]
    said = {each.place: each.error for each in failures if isinstance(each, Unreadable)}
    assert [*said] == [f"{server}/{name.partition('?')[0]}" for name in sorted(bad)]
    assert "there is no photo in it" in said[f"{server}/gone"]
    assert "No photo matches" in said[f"{server}/a/none-*.jpg"]
    assert "Copy it first" in said[f"{server}/a/clip.mp4"]
    for name in bad:  # whoever types it is told at once
        with pytest.raises(InputError):
            find_media([f"{server}/a", f"{server}/{name}"])
    listed.write_text(f"{server}/a/1.jpg\n{server}/a\n{server}/b/no\n")
    assert [*find_media([f"@{listed}"]).files] == ["a/1.jpg", "a/2.jpg", "a/10.jpg", "b/no"]


def test_a_list_of_urls_keeps_its_names(server: str, tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text(f"{server}/a/1.jpg\n{server}/b/1.jpg\n")
    before = find_media([f"@{listed}"])
    assert list(before.files) == ["a/1.jpg", "b/1.jpg"]
    assert before.root.as_posix() == f"//{server.removeprefix('http://')}"
    listed.write_text(f"{server}/b/1.jpg\n{server}/b/2.jpg\n")
    now = find_media([f"@{listed}"], [before.root])
    assert list(now.files) == ["b/1.jpg", "b/2.jpg"]
    assert now.root == before.root
    listed.write_text(f"{server}/b/1.jpg\nhttp://127.0.0.2/b/1.jpg\n")
    assert find_media([f"@{listed}"], [before.root]).root.as_posix() == "//"


def test_urls_that_would_have_one_name_are_refused(tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    url = "http://127.0.0.1:9/photo.jpg"
    listed.write_text(f"{url}?id=1\n{url}?id=1\n")
    assert list(find_media([f"@{listed}", f"{url}?id=1"]).files) == ["photo.jpg"]
    for other in (f"{url}?id=2", url, url.replace("http", "https") + "?id=1"):
        with pytest.raises(InputError, match=r"2 URLs would all be called photo\.jpg"):
            find_media([f"@{listed}", other])


def test_urls_that_differ_in_what_they_are_read_as_are_shown(server: str) -> None:
    assert [*find_media([server.replace("http", "HTTP") + "/a/1.jpg"]).files] == ["1.jpg"]
    assert isinstance(next(open_source([f"HTTP{server[4:]}/a/1.jpg"]).frames()), Frame)
    with pytest.raises(InputError, match=r"a%2F1\.jpg.*/a/1\.jpg.*`%2F`") as caught:
        find_media([f"{server}/a%2F1.jpg", f"{server}/a/1.jpg", f"{server}/2.jpg"])
    assert "a/1.jpg (" in caught.value.message


def test_other_protocols_by_the_same_words(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    for name in ("photos/x/1.jpg", "photos/x/2.jpg", "photos/y.png", "photos/clip.mp4"):
        memory.pipe_file(f"/{name}", PHOTO)
    found = find_media(["memory://photos"])
    assert list(found.files) == ["x/1.jpg", "x/2.jpg", "y.png"]
    assert found.ignored == {".mp4 at URLs": 1}
    assert list(find_media(["memory://photos/x/*.jpg"]).files) == ["1.jpg", "2.jpg"]
    assert all(isinstance(frame, Frame) for frame in open_source(["memory://photos"]).frames())
    (tmp_path / "z.jpg").write_bytes(PHOTO)
    assert list(find_media([f"file://{tmp_path}"]).files) == ["z.jpg"]


def test_no_more_is_read_than_a_photo_may_have(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "MAX_BYTES", len(PHOTO))
    (tmp_path / "a/long.jpg").write_bytes(PHOTO + b"x")
    (tmp_path / "a/none.jpg").write_bytes(b"no photo" * len(PHOTO))
    (tmp_path / "a/empty.jpg").write_bytes(b"")
    (tmp_path / "a/short.jpg").write_bytes(PHOTO[:9])
    memory = fsspec.filesystem("memory")
    for each in (tmp_path / "a").iterdir():
        memory.pipe_file(f"/limited/{each.name}", each.read_bytes())
    for folder in (f"{server}/a", f"file://{tmp_path}/a", "memory://limited"):
        frames = list(open_source([folder]).frames())
        read = [str(frame.key) for frame in frames if isinstance(frame, Frame)]
        said = {str(each.key): each.error for each in frames if isinstance(each, FrameFailure)}
        assert read == ["1.jpg", "2.jpg", "10.jpg"]
        assert "/long.jpg has more than" in said["long.jpg"]
        assert "or a stream that never ends" in said["long.jpg"]
        assert "not a photo" in said["none.jpg"]
        assert "empty" in said["empty.jpg"]
        assert "cut off" in said["short.jpg"]
    assert Server.asked["/a/long.jpg"] == 1


@pytest.mark.parametrize(
    ("url", "said", "kind"),
    [
        ("nosuch://a/b.jpg", "nosuch", ConfigError),
        ("memory://nothing-here", "no photo", InputError),
        ("memory://clip.mp4", "not read from URLs", InputError),
        ("http://127.0.0.1:9/a?key=b", "no folder.s", InputError),
        ("memory://shard.tar", "not read from URLs", InputError),
    ],
)
def test_what_cannot_be_used_is_said(
    url: str, said: str, kind: type[ConfigError | InputError]
) -> None:
    with pytest.raises(kind, match=said):
        next(open_source([url]).frames())


class FarStore(fsspec.AbstractFileSystem):  # type: ignore[misc,name-defined]
    """A store whose files are in another region, as s3fs says it."""

    asked = 0

    def _open(self, *_: Any, **__: Any) -> Any:
        FarStore.asked += 1
        raise OSError(errno.EREMCHG, "Moved Permanently")


@pytest.mark.skipif(not hasattr(errno, "EREMCHG"), reason="an error of Linux")
def test_a_bucket_of_another_region_is_asked_once() -> None:
    fsspec.register_implementation("far", FarStore, clobber=True)
    (failure,) = open_source(["far://bucket/a.jpg"]).frames()
    assert isinstance(failure, FrameFailure)
    assert failure.error.endswith("(AWS_DEFAULT_REGION or AWS_ENDPOINT_URL are wrong).")
    assert FarStore.asked == 1


def test_without_its_library_a_url_is_a_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fsspec.core", None)
    with pytest.raises(ConfigError, match="needs fsspec") as caught:
        find_media(["memory://photos"])
    assert "vitpose-cli[remote]" in caught.value.hint


def test_one_url_without_its_library_among_others_ends_the_run(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    urls = [f"{server}/a/1.jpg", "s3://0/a.jpg", f"{server}/a/2.jpg", f"{server}/a/10.jpg"]
    source = open_source(urls)
    with pytest.raises(ConfigError, match="s3"):
        list(source.frames())


def test_what_is_no_url(tmp_path: Path) -> None:
    assert not any(map(remote.is_url, ["C://a", "photos", "@list", "a:b", "/a://b"]))
