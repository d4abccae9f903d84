import base64
import json
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from review_cases import (
    SCRIPTS,
    SECRET,
    SIZE_WH,
    Server,
    make_manifest,
    make_people,
    make_photo,
    make_run,
    review_command,
    running,
)

from vitpose_cli.errors import ExitCode
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run
from vitpose_cli.review.guard import MAX_BODY_BYTES, WRONG_PASSWORD_S, Access
from vitpose_cli.review.server import shown_host

PATHS = (
    "",
    *SCRIPTS,
    "review.css",
    "api/run",
    "api/progress",
    "api/frames",
    "api/rows?numbers=0",
    "api/frames/0",
    "api/frames/0/picture",
    "api/frames/0/thumbnail",
)
"""Everything that the page asks for."""
JSON = {"Content-Type": "application/json"}


def basic(password: str, user: str = "anybody") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_told_without_the_token(server: Server, path: str) -> None:
    token = server.token
    wrong = ("", "x" * len(token), token[:-1], token + "x", token.swapcase(), f"%{ord(token[0]):x}")
    targets = [f"/{path}", f"//{token}/{path}", f"/{path}?token={token}"]
    targets += [f"/{other}/{path}" for other in wrong]
    for target in targets:
        reply = server.raw("GET", target, headers={"Cookie": f"token={token}"})
        assert reply.status == 403, target
        assert b"open the link" in reply.body
        assert token.encode() not in reply.body


def test_nothing_is_changed_without_the_token(server: Server) -> None:
    before = server.frame("b.jpg")
    edit = {"version": before["version"], "state": "rejected", "people": None}
    number = server.number("b.jpg")
    for prefix in ("", "/x", f"/{server.token[::-1]}"):
        target = f"{prefix}/api/frames/{number}"
        assert server.raw("POST", target, json.dumps(edit).encode(), JSON).status == 403
    assert server.frame("b.jpg") == before


def test_a_run_from_elsewhere_does_not_open_this_machine(tmp_path: Path) -> None:
    run_folder = make_run(tmp_path)
    media = tmp_path / "media"
    (media / "file.jpg").symlink_to(tmp_path / "secret.txt")
    (media / "folder").symlink_to(tmp_path)
    make_photo(tmp_path / "private.jpg")
    names = [
        "../secret.txt",
        "../private.jpg",
        "a/../../private.jpg",
        str(tmp_path / "private.jpg"),
    ]
    names += [
        "file.jpg",
        "folder/private.jpg",
        "folder/secret.txt",
        "/etc/passwd",
        "..%2fprivate.jpg",
    ]
    with Run.open(run_folder, make_manifest(media)) as run:
        for name in names:
            run.append(FrameRecord(FrameKey(name), SIZE_WH, instances=make_people(1)))
    with running(run_folder) as server:
        for name in names:
            for picture in ("picture", "thumbnail"):
                reply = server.get(f"api/frames/{server.number(name)}/{picture}")
                assert reply.status == 422, name
                assert SECRET not in reply.body
                assert not reply.body.startswith(b"\xff\xd8")


def test_the_link_works_without_its_last_slash(server: Server) -> None:
    reply = server.raw("GET", f"/{server.token}")
    assert (reply.status, reply.headers["location"]) == (307, f"/{server.token}/")


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "8.8.8.8", "", "[", "::1"],
)
def test_other_names_that_point_here_are_refused(server: Server, host: str) -> None:
    assert server.get("api/run", Host=host).status == 421
    assert server.get("api/run", Host=f"{host}:{server.port}").status == 421


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "LOCALHOST:9999", "[::1]:80", "127.0.0.7"]
)
def test_names_of_this_machine_are_allowed_through_any_tunnel(server: Server, host: str) -> None:
    assert server.get("api/run", Host=host).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_other_pages_are_refused(server: Server, headers: dict[str, str]) -> None:
    given_headers = {name: value.format(port=server.port) for name, value in headers.items()}
    assert server.get("api/run", **given_headers).status == 403
    target = f"/{server.token}/api/frames/0"
    assert server.raw("POST", target, b"{}", JSON | given_headers).status == 403


def test_the_page_itself_is_let_in(server: Server) -> None:
    own = {"Origin": f"http://127.0.0.1:{server.port}", "Sec-Fetch-Site": "same-origin"}
    assert server.get("api/run", **own).status == 200


def test_bodies_are_small_json_of_a_known_length(server: Server) -> None:
    target = f"/{server.token}/api/frames/0"
    too_long = JSON | {"Content-Length": str(MAX_BODY_BYTES + 1)}
    assert server.raw("POST", target, None, too_long).status == 413
    assert server.raw("POST", target, None, JSON | {"Transfer-Encoding": "chunked"}).status == 411
    for kind in ("text/plain", "multipart/form-data", "application/x-www-form-urlencoded"):
        assert server.raw("POST", target, b"{}", {"Content-Type": kind}).status == 415
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        assert server.raw(method, target).status == 405
    assert server.raw("POST", target, b"{}", JSON).status == 422  # read, but no edit


CLIMBS = [
    "..",
    "../..",
    "%2e%2e",
    "..%2f..",
    "%2e%2e%2f",
    "..%5c..",
    "....//",
    "%252e%252e",
    "..;",
    "%c0%ae%c0%ae",
]
GOALS = ["secret.txt", "media/a.jpg", "etc/passwd", "review.js%00.txt", "server.py", "guard.py"]


@pytest.mark.parametrize("climb", CLIMBS)
def test_no_path_leads_to_a_file(server: Server, climb: str) -> None:
    for goal in GOALS:
        for base in ("", "static/", "api/", "api/frames/", "api/frames/0/", "review.js/"):
            for target in (f"{base}{climb}/{goal}", f"{base}{climb}%2f{goal}", f"{base}/{goal}"):
                reply = server.get(target)
                assert reply.status == 404, target
                assert SECRET not in reply.body
    for absolute in ("/etc/passwd", "file:///etc/passwd", "C:\\secret.txt", "http://127.0.0.1/a"):
        assert server.get(quote(absolute, safe="")).status == 404
        assert server.get(f"api/frames/{quote(absolute, safe='')}/picture").status == 404
        assert server.raw("GET", absolute.replace("\\", "/")).status in (400, 403)


@settings(max_examples=60)
@given(parts=st.lists(st.text(max_size=12), min_size=1, max_size=4), raw=st.booleans())
def test_no_random_path_is_more_than_not_found(server: Server, parts: list[str], raw: bool) -> None:
    path = "/".join(quote(part.encode("utf-8", "surrogatepass"), safe="./" * raw) for part in parts)
    reply = server.get(path)
    assert reply.status in (200, 404, 422)
    assert reply.status != 200 or path.strip("/") in ("", *PATHS)
    assert SECRET not in reply.body


def test_other_machines_need_the_password_as_well(run_folder: Path) -> None:
    secret = "correct horse: battery"
    with running(run_folder, "--host", "0.0.0.0", VITPOSE_REVIEW_PASSWORD=secret) as server:
        asked = server.get()
        assert asked.status == 401
        assert asked.headers["www-authenticate"].startswith("Basic ")
        assert server.get(Authorization=basic(secret)).status == 200
        assert server.get(Authorization=basic(secret), Host="192.168.7.7:80").status == 200
        assert urlsplit(server.url).netloc == f"{socket.gethostname()}:{server.port}"
        shown = urlsplit(server.url).netloc
        assert server.get(Authorization=basic(secret), Host=shown).status == 200
        assert server.get(Authorization=basic(secret), Host="evil.example").status == 421
        assert server.raw("GET", "/", headers={"Authorization": basic(secret)}).status == 403
        began = time.monotonic()
        assert server.get(Authorization=basic("wrong")).status == 401
        assert server.get(Authorization="Basic \u00e9").status == 401
        assert time.monotonic() - began > 0.9 * WRONG_PASSWORD_S


def test_the_machine_may_be_called_by_the_name_that_was_given(run_folder: Path) -> None:
    secret, name = "correct horse: battery", "127.1"  # no address for a browser, but resolved
    with running(run_folder, "--host", name, VITPOSE_REVIEW_PASSWORD=secret) as server:
        assert server.url.startswith(f"http://{name}:")
        assert server.get(Authorization=basic(secret), Host=f"{name}:{server.port}").status == 200
        assert server.get(Authorization=basic(secret), Host="127.1.example").status == 421
        assert server.get(Host=name).status == 401


@pytest.mark.parametrize(
    ("host", "address", "shown"),
    [
        ("vm.local", "192.168.7.7", "vm.local"),
        ("localhost", "::1", "localhost"),
        ("192.168.7.7", "192.168.7.7", "192.168.7.7"),
        ("::1", "::1", "[::1]"),
        ("fe80::1%eth0", "fe80::1%eth0", "[fe80::1%eth0]"),
        ("::", "::", socket.gethostname()),
        ("0", "0.0.0.0", socket.gethostname()),
    ],
)
def test_the_link_has_a_name_that_leads_here(host: str, address: str, shown: str) -> None:
    assert shown_host(host, address) == shown


@pytest.mark.parametrize("password", [None, "short"])
def test_other_machines_are_not_let_in_without_a_good_password(
    run_folder: Path, password: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VITPOSE_REVIEW_PASSWORD", raising=False)
    if password:
        monkeypatch.setenv("VITPOSE_REVIEW_PASSWORD", password)
    done = subprocess.run(
        review_command(run_folder, "--host", "0.0.0.0"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == ExitCode.CONFIG
    assert "password" in done.stderr
    assert "ssh -L" in done.stderr


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic",
        "Basic !!!",
        "Bearer secret-password",
        basic("secret-passworD"),
        basic(""),
        basic("ä"),
    ],
)
def test_what_is_not_the_password(authorization: str) -> None:
    access = Access("token", "0.0.0.0", "secret-password")
    assert not access.is_password(authorization)
    assert access.is_password(basic("secret-password"))
    assert Access("token", "127.0.0.1").is_password(authorization)
