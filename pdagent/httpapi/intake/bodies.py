"""Request bodies: what is let in, whole or not at all."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import falcon
import falcon.asgi

from pdagent.events import MAX_EVENT_BYTES
from pdagent.httpapi.guard import Header

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
AsgiApplication = Callable[[Any, Any, Any], Awaitable[None]]

# Clients send JSON without a type, as a form (curl -d) or as text. Only a type that is certainly
# something else is refused.
_NOT_JSON = re.compile(
    r"\s*(?:multipart|image|audio|video|font|model|message)/"
    r"|\s*text/(?:html|css|csv|javascript|markdown|xml)\b"
    r"|\s*application/(?:xml|xhtml\+xml|soap\+xml|pdf|zip|gzip|msgpack|x-protobuf|yaml|x-yaml)\b",
    re.IGNORECASE,
)
# Others, such as utf-8, are charsets that were put into the wrong header.
_COMPRESSIONS = re.compile(r"gzip|deflate|compress|br\b|zstd", re.IGNORECASE)

IS_HEAD = "pdagent.is_head"
"""In the scope of a request whose answer has no body."""

RECEIVE = "pdagent.receive"
"""In the scope of `_READ_ON`: the receive function, which falcon does not give to its resources."""

_READ_ON = ("/queue/tail", "/queue/tail/")


class SenderGone(Exception):
    """The connection ended, or took too long, before the request was complete."""


async def read_body(request: falcon.asgi.Request) -> bytes:
    """The whole body, at most `MAX_EVENT_BYTES`, whatever its length claims to be.

    Raises 413 when there is more, 415 for a type or encoding that isn't plain JSON, and
    `SenderGone` when it ends early.
    """
    check_type(request.get_header)
    if (request.content_length or 0) > MAX_EVENT_BYTES:
        raise _too_large()
    body = await request.stream.read(MAX_EVENT_BYTES + 1)
    if len(body) > MAX_EVENT_BYTES:
        raise _too_large()
    return bytes(body)


def check_type(header: Header) -> None:
    """Raise 415 if the headers say that the body is no JSON, or that it is compressed."""
    encoding = header("content-encoding")
    if encoding is not None and (compression := _COMPRESSIONS.search(encoding)):
        raise falcon.HTTPUnsupportedMediaType(
            description=f"compressed bodies (Content-Encoding: {compression[0]}) are not accepted: "
            "send the JSON uncompressed, without this header",
            headers={"Accept-Encoding": "identity"},
        )
    media_type = header("content-type")
    if media_type is not None and _NOT_JSON.match(media_type):
        raise falcon.HTTPUnsupportedMediaType(
            description="this Content-Type is not JSON: send application/json",
            headers={"Accept-Post": "application/json"},
        )


def whole_requests(app: AsgiApplication) -> AsgiApplication:
    """`app` without the gaps of ASGI: cut-off bodies, HEAD, two slashes at the start of a path.

    A framework's stream ends when its connection does, and the part that arrived may be valid JSON:
    here reading it raises `SenderGone`. HEAD is answered as GET. A base URL that ends with a slash
    makes paths that begin with two.
    """

    async def guarded(scope: Scope, receive: Receive, send: object) -> None:
        async def receive_or_raise() -> dict[str, Any]:
            event = await receive()
            if event["type"] == "http.disconnect":
                raise SenderGone
            return event

        if scope["type"] == "http" and scope["method"] == "HEAD":
            # uvicorn knows that it is a HEAD, and sends the headers alone.
            scope = {**scope, "method": "GET", IS_HEAD: True}
        if scope["type"] == "http" and scope["path"].startswith("//"):
            scope = {**scope, "path": "/" + scope["path"].lstrip("/")}
        if scope.get("path") in _READ_ON:
            scope[RECEIVE] = receive_or_raise  # a reference cycle, which other requests do without
        try:
            await app(scope, receive_or_raise, send)
        except SenderGone:
            return
        except asyncio.CancelledError:
            return  # uvicorn's time to stop is over; the sender has its refusal

    return guarded


def _too_large() -> falcon.HTTPError:
    return falcon.HTTPContentTooLarge(
        description=f"the event is larger than {MAX_EVENT_BYTES} bytes, PagerDuty's limit: "
        "shorten payload.custom_details (v1: details)"
    )
