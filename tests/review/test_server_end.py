"""What a terminal shows of clients that go away or do not go on, and of reviews side by side."""

from __future__ import annotations

import os
import socket
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from review_cases import Server, ended, running
from runs import wait_until

from vitpose_cli.errors import InputError
from vitpose_cli.records.coco import read_coco
from vitpose_cli.review.server import DEFAULT_PORT, listen


def half_an_edit(server: Server, number: int) -> socket.socket:
    """Begin to send an edit, and do not go on."""
    connection = socket.create_connection(("127.0.0.1", server.port))
    head = (
        f"POST /{server.token}/api/frames/{number} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )
    connection.sendall(head.encode())
    return connection


def test_an_edit_that_breaks_off_is_no_fault_of_the_server(run_folder: Path) -> None:
    with running(run_folder) as server:
        for _ in range(3):
            half_an_edit(server, 1).close()
        assert server.save("b.jpg", "accepted").status == 200
        assert "Every edit is saved." in ended(server)


def test_the_end_does_not_wait_for_who_does_not_go_on(run_folder: Path) -> None:
    with running(run_folder) as server:
        assert server.save("b.jpg", "accepted").status == 200
        with half_an_edit(server, 0):
            time.sleep(0.2)  # it has been read so far
            assert "Every edit is saved." in ended(server)
    images = read_coco(run_folder / "annotations.json").images
    assert {image["file_name"]: image.get("review") for image in images}["b.jpg"] == "accepted"


@pytest.mark.skipif(os.name == "nt", reason="scripts are no programs there")
def test_a_browser_that_is_waited_for_gets_the_page(run_folder: Path, tmp_path: Path) -> None:
    browser, seen = tmp_path / "browser", tmp_path / "seen"
    browser.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, sys, urllib.request\n"
        "page = urllib.request.urlopen(sys.argv[1]).read()\n"
        f"pathlib.Path({str(seen)!r}).write_bytes(page)\n"
    )
    browser.chmod(0o755)
    with running(run_folder, "--open", BROWSER=str(browser), PATH=str(tmp_path)) as server:
        wait_until(lambda: seen.exists() and seen.stat().st_size > 0, server.process)
        assert seen.read_bytes() == server.get("").body


def test_several_reviews_find_ports_of_their_own() -> None:
    with closing(listen("127.0.0.1", None)) as one, closing(listen("127.0.0.1", None)) as other:
        first, second = (each.getsockname()[1] for each in (one, other))
        assert DEFAULT_PORT <= first < second


@pytest.mark.parametrize("host", ["..", "a" * 64])
def test_what_no_machine_is_called_is_refused(host: str) -> None:
    with pytest.raises(InputError, match="is no name of a machine"):
        listen(host, None)
