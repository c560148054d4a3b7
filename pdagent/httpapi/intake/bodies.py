"""Request bodies: what is let in, whole or not at all."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, cast

import falcon
import falcon.asgi

from pdagent.events import MAX_EVENT_BYTES

if TYPE_CHECKING:
    from uvicorn._types import (
        ASGI3Application,
        ASGIReceiveCallable,
        ASGIReceiveEvent,
        ASGISendCallable,
        Scope,
    )

# Clients that send JSON call it all sorts of things: nothing at all, what curl -d says (a form),
# text. Refused is only what says that it is something else.
_NOT_JSON = re.compile(
    r"\s*(?:multipart|image|audio|video|font|model|message)/"
    r"|\s*text/(?:html|css|csv|javascript|markdown|xml)\b"
    r"|\s*application/(?:xml|xhtml\+xml|soap\+xml|pdf|zip|gzip|msgpack|x-protobuf|yaml|x-yaml)\b",
    re.IGNORECASE,
)
# Others, such as utf-8, are charsets that were put into the wrong header.
_COMPRESSIONS = re.compile(r"gzip|deflate|compress|br\b|zstd", re.IGNORECASE)

IS_HEAD = "pdagent.is_head"
"""In the scope of a request whose answer goes without its body."""


class SenderGone(Exception):
    """The connection ended, or took too long, before the request was complete."""


async def read_body(request: falcon.asgi.Request) -> bytes:
    """The whole body, at most `MAX_EVENT_BYTES`, whatever its length claims to be.

    Raises 413 when there is more, 415 for a type or encoding that isn't plain JSON, and
    `SenderGone` when it ends early.
    """
    check_type(request)
    if (request.content_length or 0) > MAX_EVENT_BYTES:
        raise _too_large()
    body = await request.stream.read(MAX_EVENT_BYTES + 1)
    if len(body) > MAX_EVENT_BYTES:
        raise _too_large()
    return bytes(body)


def check_type(request: falcon.asgi.Request) -> None:
    """Raise 415 if the headers say that the body is no JSON, or that it is compressed."""
    encoding = request.get_header("Content-Encoding")
    if encoding is not None and (compression := _COMPRESSIONS.search(encoding)):
        raise falcon.HTTPUnsupportedMediaType(
            description=f"compressed bodies (Content-Encoding: {compression[0]}) are not accepted: "
            "send the JSON uncompressed, without this header",
            headers={"Accept-Encoding": "identity"},
        )
    media_type = request.content_type
    if media_type is not None and _NOT_JSON.match(media_type):
        raise falcon.HTTPUnsupportedMediaType(
            description="this Content-Type is not JSON: send application/json",
            headers={"Accept-Post": "application/json"},
        )


def whole_requests(app: ASGI3Application) -> ASGI3Application:
    """`app`, which never takes the beginning of a body for all of it, and answers HEAD as GET.

    A framework's stream just ends when its connection does, and what was sent until then may well
    be valid JSON: here reading it raises `SenderGone`. Two slashes at the beginning of a path count
    as one: that is what a base URL with a slash at its end makes of it.
    """

    async def guarded(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        async def receive_or_raise() -> ASGIReceiveEvent:
            event = await receive()
            if event["type"] == "http.disconnect":
                raise SenderGone
            return event

        if scope["type"] == "http" and scope["method"] == "HEAD":
            # The server below knows that it is a HEAD, and sends the headers alone.
            scope = cast("Scope", {**scope, "method": "GET", IS_HEAD: True})
        if scope["type"] == "http" and scope["path"].startswith("//"):
            scope = cast("Scope", {**scope, "path": "/" + scope["path"].lstrip("/")})
        try:
            await app(scope, receive_or_raise, send)
        except SenderGone:
            return
        except asyncio.CancelledError:
            return  # the server below has no more time: it said so to the sender already

    return guarded


def _too_large() -> falcon.HTTPError:
    return falcon.HTTPContentTooLarge(
        description=f"the event is larger than {MAX_EVENT_BYTES} bytes, PagerDuty's limit: "
        "shorten payload.custom_details (v1: details)"
    )
