"""The way past the framework for plain requests with single events, which are nearly all.

Falcon and ASGI cost several times as much as the rest of the way of an event. What is refused
before its body is read, what has to wait for anything but its body, and whatever is rare (a second
header of a name, a chunked body, a query) is left to the application. Both ways use the same
checks, and the same `SingleEvents`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import NamedTuple

import falcon

from pdagent.events import MAX_EVENT_BYTES
from pdagent.httpapi.answers import mistake
from pdagent.httpapi.guard import BrowserGuard
from pdagent.httpapi.intake.bodies import check_type
from pdagent.httpapi.intake.single import (
    Call,
    OnOutcome,
    Taker,
    idempotency_key_of,
    sender_of,
)
from pdagent.httpapi.loop_guard import LoopGuard

logger = logging.getLogger(__name__)


Headers = list[tuple[bytes, bytes]]


class Admitted(NamedTuple):
    """A request whose body alone is missing: to `url`, with `headers` and a length."""

    url: bytes
    headers: Headers
    taker: Taker
    call: Call

    def take(self, body: bytes, done: OnOutcome) -> None:
        """As `Taker.take`, but raises nothing."""
        try:
            self.taker.take(self.call, body, done)
        except Exception:
            logger.exception("POST %s failed", self.call.path)
            done(mistake(self.call.path))


class DirectIntake:
    """`paths` are falcon's; those with a parameter are left to it."""

    def __init__(
        self, paths: Mapping[str, Taker], loops: LoopGuard, browsers: BrowserGuard
    ) -> None:
        self._paths = {path.encode(): taker for path, taker in paths.items() if "{" not in path}
        self._loops = loops
        self._browsers = browsers

    def admitted(
        self,
        url: bytes,
        headers: Headers,
        uid: int | None,
        port: int | None,
        before: Admitted | None,
    ) -> Admitted | None:
        """The `POST` with these headers, names in lower case; None leaves it to the application.

        `uid` is the sender's, None over TCP; `port` is the agent's; `before` is what was admitted
        before on this connection: most clients repeat their headers.
        """
        length, rest = -1, []
        for each in headers:
            if each[0] == b"content-length":
                length = int(each[1])
            else:
                rest.append(each)
        if not 0 <= length <= MAX_EVENT_BYTES:
            return None
        if before is not None and before.headers == rest and before.url == url:
            return before
        return self._checked(url, rest, uid, port)

    def _checked(
        self, url: bytes, headers: Headers, uid: int | None, port: int | None
    ) -> Admitted | None:
        taker = self._paths.get(url)
        found = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        header = found.get
        if taker is None or len(found) != len(headers):
            return None
        try:
            call = Call(url.decode(), header, sender_of(header, uid), self._loops.passed(header))
            taker.check(call)
            check_type(header)
            idempotency_key_of(header)
            if self._browsers.lets_in(header, port):
                return Admitted(url, headers, taker, call)
        except falcon.HTTPError:
            pass
        return None
