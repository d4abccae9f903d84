"""A server that acts as Hugging Face's hub, and misbehaves where a test wants it to."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BRANCH_HEAD = "0123456789" * 4


@dataclass
class Hub:
    """What the server has, how it misbehaves, and what it was asked.

    Attributes:
        files: Contents by `owner/name/path`.
        drop_after: The first download of a file stops after so many bytes.
        requests: Method, path and Range header of every request.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    drop_after: int | None = None
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    address: str = ""


class _Handler(BaseHTTPRequestHandler):
    """Answers `/OWNER/NAME/resolve/REVISION/PATH` as the hub does."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self, *, with_body: bool) -> None:
        wanted = self.headers.get("Range")
        self.hub.requests.append((self.command, self.path, wanted))
        match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path)
        content = self.hub.files.get(f"{match[1]}/{match[3]}") if match else None
        if match is None or content is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted else 0  # type: ignore[index]
        self.send_response(206 if wanted else 200)
        is_commit = re.fullmatch(r"[0-9a-f]{40}", match[2])
        self.send_header("X-Repo-Commit", match[2] if is_commit else BRANCH_HEAD)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content) - start))
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if not with_body:
            return
        if self.hub.drop_after is not None and not wanted:
            self.wfile.write(content[: self.hub.drop_after])
            self.hub.drop_after = None
            self.close_connection = True
        else:
            self.wfile.write(content[start:])


@contextmanager
def serving() -> Iterator[Hub]:
    """Serve a hub on this machine while the block lasts."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
