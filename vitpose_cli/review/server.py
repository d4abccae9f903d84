"""The review server: one page, and what it asks for, on this machine only.

Starlette and uvicorn, and HTTP alone. `http.server` was refused, as it answers one request after
another or a thread for each, and says of itself that it is not secure; a WebSocket, as every
question here has one answer.

What the page may ask for, all below the token (see `guard`):

    GET  /                            the page; also review.css, review.js and its modules
    GET  api/run                      the run, its keypoints and videos
    GET  api/progress                 how many frames are in each state
    GET  api/frames?...               numbers and states of the frames that a filter leaves
    GET  api/rows?numbers=1,2         what the list shows of some frames
    GET  api/frames/N                 a frame and its people
    GET  api/frames/N/identities      who they are, and who was there before
    POST api/frames/N                 an edit of it (see `edits`)
    POST api/frames/N/aside           an edit that is not to count, only to be in the history
    GET  api/frames/N/picture         the frame itself, JPEG
    GET  api/frames/N/thumbnail       the same, small
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from vitpose_cli.errors import InputError
from vitpose_cli.files import reason_of
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.review.edits import Edit, parse_edit
from vitpose_cli.review.guard import Access, Guard
from vitpose_cli.review.pictures import PictureReader
from vitpose_cli.review.session import (
    NotSavedError,
    ReviewSession,
    UnknownFrameError,
    VersionConflictError,
)
from vitpose_cli.review.table import STATES, ListOrder, Query

DEFAULT_PORT = 8787
MAX_ROWS = 500

_STATIC = Path(__file__).parent / "static"
_STATIC_FILES = {
    "": ("index.html", "text/html; charset=utf-8"),
    "review.css": ("review.css", "text/css; charset=utf-8"),
    **{
        module.name: (module.name, "text/javascript; charset=utf-8")
        for module in sorted(_STATIC.glob("*.js"))
    },
}
_TOKEN_BYTES = 24
_NUM_PORTS = 20
_NUM_DECODERS = 4
_PICTURE_AGE_S = 3600
_NUMBER = re.compile("[0-9]{1,12}")  # Starlette's own fails where there are thousands of digits


def serve(
    session: ReviewSession,
    pictures: PictureReader,
    listener: socket.socket,
    *,
    host: str,
    password: str | None,
    ready: Callable[[str], None],
) -> None:
    """Answer requests until Ctrl-C, SIGTERM or the end of the terminal.

    Args:
        session: What is reviewed.
        pictures: Where its pictures come from.
        listener: What `listen` returned.
        host: What it was asked to listen on.
        password: Needed where other machines can connect.
        ready: Takes the address to open, once it can be opened.
    """
    address, port = listener.getsockname()[:2]
    host = shown_host(host, address)
    access = Access(secrets.token_urlsafe(_TOKEN_BYTES), host, password)
    config = uvicorn.Config(
        build_app(session, pictures, access),
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
    )
    session.start()
    server = _Server(config, lambda: ready(f"http://{host}:{port}/{access.token}/"))
    with suppress(KeyboardInterrupt):  # the usual end of a server, also before it has begun
        server.run(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # Not before: who is told of the page may press Ctrl-C, which a half-made loop cannot take.
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Who still waits for an answer is let go, which is no fault that a terminal has to show.
        logging.getLogger("uvicorn.error").disabled = True
        await super().shutdown(sockets)


def shown_host(host: str, address: str) -> str:
    """Return what others are to call this machine: as it was called, or by its own name.

    Args:
        host: What was asked for, a name or an address.
        address: What that is; of a server that listens everywhere it leads nowhere.
    """
    if ipaddress.ip_address(address.partition("%")[0]).is_unspecified:
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def listen(host: str, port: int | None) -> socket.socket:
    """Return a socket that waits for connections.

    Args:
        host: A name or address of this machine.
        port: 0 takes any that is free; None the usual one, or one of those behind it.

    Raises:
        InputError: The address cannot be used.
    """
    ports = range(DEFAULT_PORT, DEFAULT_PORT + _NUM_PORTS) if port is None else (port,)
    problem = OSError()
    for number in ports:
        try:
            family, _, _, _, address = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)[0]
            return socket.create_server(address, family=family)
        except OSError as error:
            problem = error
        except UnicodeError as error:  # an empty or long part between its dots
            raise InputError(
                f"{host!r} is no name of a machine.", "Check what --host names."
            ) from error
    raise InputError(
        f"Nothing can be served on {host}, port {ports[0]}: {reason_of(problem)}.",
        "Choose another port with --port; 0 takes any that is free.",
    )


def build_app(session: ReviewSession, pictures: PictureReader, access: Access) -> Guard:
    """Return the server as an ASGI application.

    Args:
        session: What is reviewed.
        pictures: Where its pictures come from.
        access: Who may talk to it.
    """
    handlers = _Handlers(session, pictures)
    static = {name: _static(file, media) for name, (file, media) in _STATIC_FILES.items()}
    routes = [Route(f"/{name}", handler) for name, handler in static.items()]
    routes += [
        Route("/api/run", handlers.run),
        Route("/api/progress", handlers.progress),
        Route("/api/frames", handlers.frames),
        Route("/api/rows", handlers.rows),
        Route("/api/frames/{number}", handlers.frame),
        Route("/api/frames/{number}", handlers.save, methods=["POST"]),
        Route("/api/frames/{number}/identities", handlers.identities),
        Route("/api/frames/{number}/aside", handlers.set_aside, methods=["POST"]),
        Route("/api/frames/{number}/picture", handlers.picture),
        Route("/api/frames/{number}/thumbnail", handlers.thumbnail),
    ]
    errors = {
        UnknownFrameError: _failed(404),
        VersionConflictError: _conflict,
        NotSavedError: _failed(507),
        InputError: _failed(422),
        ClientDisconnect: _failed(400),  # nobody will read that
    }
    app = Starlette(routes=routes, exception_handlers=errors)
    app.router.redirect_slashes = False  # a redirect would leave out the token
    return Guard(app, access)


class _Handlers:
    """Answers of the API; whatever may wait for a disk does so in a thread."""

    def __init__(self, session: ReviewSession, pictures: PictureReader) -> None:
        self._session = session
        self._pictures = pictures
        self._decoders = asyncio.Semaphore(_NUM_DECODERS)

    async def run(self, _request: Request) -> Response:
        return _json(await run_in_threadpool(self._session.describe))

    async def progress(self, _request: Request) -> Response:
        return _json(await run_in_threadpool(self._session.progress))

    async def frames(self, request: Request) -> Response:
        return _json(await run_in_threadpool(self._session.frames, _query(request)))

    async def rows(self, request: Request) -> Response:
        words = request.query_params.get("numbers", "").split(",")
        if len(words) > MAX_ROWS or not all(word.isdecimal() for word in words):
            raise InputError(f"numbers is not a list of at most {MAX_ROWS} numbers.")
        numbers = [int(word[:12]) for word in words]
        return _json(await run_in_threadpool(self._session.rows, numbers))

    async def frame(self, request: Request) -> Response:
        return _json(await run_in_threadpool(self._session.frame, _number(request)))

    async def identities(self, request: Request) -> Response:
        return _json(await run_in_threadpool(self._session.identities, _number(request)))

    async def save(self, request: Request) -> Response:
        return await self._write(self._session.save, request)

    async def set_aside(self, request: Request) -> Response:
        return await self._write(self._session.set_aside, request)

    async def _write(self, write: Callable[[int, Edit], Any], request: Request) -> Response:
        edit = parse_edit(await request.body(), self._session.keypoint_set.num_keypoints)
        return _json(await run_in_threadpool(write, _number(request), edit))

    async def picture(self, request: Request) -> Response:
        return await self._image(self._pictures.picture, request)

    async def thumbnail(self, request: Request) -> Response:
        return await self._image(self._pictures.thumbnail, request)

    async def _image(self, read: Callable[[FrameKey], bytes], request: Request) -> Response:
        key = self._session.key(_number(request))
        async with self._decoders:  # pictures must not take every thread
            if await request.is_disconnected():  # who went on to another frame waits for that
                return Response(status_code=204)
            data = await run_in_threadpool(read, key)
        age = {"Cache-Control": f"private, max-age={_PICTURE_AGE_S}"}
        return Response(data, media_type="image/jpeg", headers=age)


def _number(request: Request) -> int:
    """Return the number of the frame that a request is about.

    Raises:
        UnknownFrameError: It is none that a frame can have.
    """
    word: str = request.path_params["number"]
    if not _NUMBER.fullmatch(word):
        raise UnknownFrameError(f"There is no frame {word[:20]}.")
    return int(word)


def _query(request: Request) -> Query:
    """Return the filter that a request asks for.

    Raises:
        InputError: It is none.
    """
    given = request.query_params
    states = frozenset(state for state in STATES if state in given.get("states", "").split(","))
    order = given.get("order", "queue")
    try:
        return Query(
            queued=given.get("queued") == "1",
            states=states,
            media=given.get("video") or None,
            name=given.get("name"),
            text=given.get("text", ""),
            keypoint=int(given["keypoint"]) if given.get("keypoint") else None,
            max_score=float(given["max_score"]) if given.get("max_score") else None,
            order=next(known for known in get_args(ListOrder) if known == order),
        )
    except (ValueError, StopIteration) as error:
        raise InputError("The filter cannot be read.") from error


def _json(value: Any, status: int = 200) -> Response:
    data = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(data, status, media_type="application/json")


def _failed(status: int) -> Callable[[Request, Exception], Response]:
    """Return the handler that says what is wrong."""

    def handle(_request: Request, error: Exception) -> Response:
        message, hint = (error.message, error.hint) if isinstance(error, InputError) else ("", "")
        return _json({"error": message, "hint": hint}, status)

    return handle


def _conflict(_request: Request, error: Exception) -> Response:
    """Return the frame as another window left it, for the person to choose."""
    if not isinstance(error, VersionConflictError):
        raise error
    return _json({"error": error.message, "hint": error.hint, "current": error.current}, 409)


def _static(file: str, media_type: str) -> Callable[[Request], Response]:
    data = (_STATIC / file).read_bytes()

    def handle(_request: Request) -> Response:
        return Response(data, media_type=media_type)

    return handle
