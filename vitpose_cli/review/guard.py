"""Who may talk to the review server: nobody but the person who was given its address.

The address holds a random token as its first path segment, so that every request carries it,
pictures and style sheet included, and nothing else does: there is no cookie. A cookie was refused
because browsers send it to every port of the same host, also to servers of other people on a
shared machine; a token in the fragment, because the page itself would then have to be served
without one. Nothing on the page leads away from it and no referrer is sent, so the address stays
in the browser and dies with the server.

The other checks stand for the day when a token leaks:

- `Host` must be this machine, which stops other names that were bent to point here
  (DNS rebinding).
- `Origin` and `Sec-Fetch-Site` must say that the page itself asks, which stops other pages.
- Beyond this machine a password is needed as well, and wrong ones are answered slowly.
- Bodies are small, and only those of POST are read.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import secrets
import socket
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 8 << 20
"""A thousand people of 133 keypoints need less."""

WRONG_PASSWORD_S = 1.0

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_OTHER_PAGE = (
    "Requests from other pages are refused.\n\n"
    "If you followed a link: copy it into the address bar instead.\n"
)
_STALE_LINK = (
    "This link is not, or no longer, valid.\n\n"
    "Every start of `vitpose review` makes a new one: open the link that it shows, whole.\n"
)


@dataclass(frozen=True, slots=True)
class Access:
    """Who may talk to the server.

    Attributes:
        token: The first path segment of every request.
        host: The name or address that the page is opened at.
        password: Needed with any user name; None where only this machine can connect.
    """

    token: str
    host: str
    password: str | None = None

    def is_our_name(self, host_header: str) -> bool:
        """Return whether a browser that sends this `Host` can only have meant this server.

        Ports are not looked at: a tunnel may have another one at its far end.
        """
        name = host_header.strip().lower()
        name = name[1 : name.find("]")] if name.startswith("[") else name.partition(":")[0]
        if name == "localhost":
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return self.password is not None and name in (
                self.host.lower(),
                socket.gethostname().lower(),
            )
        return address.is_loopback or self.password is not None

    def is_password(self, authorization: str) -> bool:
        """Return whether an `Authorization` header holds the password."""
        if self.password is None:
            return True
        scheme, _, encoded = authorization.partition(" ")
        try:
            _, _, given = base64.b64decode(encoded, validate=True).partition(b":")
        except ValueError:  # no base 64, or not even ASCII
            return False
        return scheme.lower() == "basic" and secrets.compare_digest(given, self.password.encode())


class Guard:
    """Lets requests through to `app` only if they may; the token is taken off their path."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access
        self._turn = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(SECURITY_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = await self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send_safely)
            return
        token_length = 1 + len(self._access.token)
        path, raw_path = scope["path"][token_length:], scope["raw_path"][token_length:]
        if not path:  # the page's own links are relative to the folder
            home = RedirectResponse(f"/{self._access.token}/")
            await home(scope, receive, send_safely)
            return
        await self._app({**scope, "path": path, "raw_path": raw_path}, receive, send_safely)

    async def _refusal(self, scope: Scope) -> Response | None:
        """Return what to answer to a request that may not be; None if it may."""
        headers, access = Headers(scope=scope), self._access
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not access.is_our_name(hosts[0]):
            return PlainTextResponse("This name does not belong to this server.\n", 421)
        own_origin = f"http://{hosts[0]}"
        from_page = headers.get("sec-fetch-site", "none") in ("none", "same-origin")
        if not from_page or headers.get("origin", own_origin) != own_origin:
            return PlainTextResponse(_OTHER_PAGE, 403)
        token = scope["raw_path"].partition(b"?")[0].split(b"/")[1:2]
        if not secrets.compare_digest(b"".join(token), access.token.encode()):
            return PlainTextResponse(_STALE_LINK, 403)
        authorization = headers.get("authorization", "")
        if not access.is_password(authorization):
            if authorization:
                async with self._turn:  # one at a time: nobody guesses faster by asking often
                    await asyncio.sleep(WRONG_PASSWORD_S)
            challenge = {"WWW-Authenticate": 'Basic realm="vitpose review", charset="UTF-8"'}
            return PlainTextResponse("The password is needed.\n", 401, headers=challenge)
        return _body_refusal(scope["method"], headers)


def _body_refusal(method: str, headers: Headers) -> Response | None:
    """Return what to answer to a request whose body is not to be read."""
    if method != "POST":
        return None
    length = headers.get("content-length", "")
    if not length.isdecimal():
        return PlainTextResponse("The length of the body is needed.\n", 411)
    if int(length) > MAX_BODY_BYTES:
        return PlainTextResponse(f"Bodies over {MAX_BODY_BYTES} bytes are refused.\n", 413)
    if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return PlainTextResponse("Only JSON is read.\n", 415)
    return None
