"""Single events: `/send`, and PagerDuty's own paths for tools that use its API.

What a request may say, and how it is answered. `direct.py` or falcon has read it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import falcon
import msgspec

from actors.core.commands import Receipt, Refusal
from pdagent.events import KINDS, EventKind, InvalidEvent, ParsedEvent, parse
from pdagent.httpapi.agent import Agent, EventSender, completed, submit
from pdagent.httpapi.answers import Outcome, error_body, is_uncertain, processed, status_of, stored
from pdagent.httpapi.guard import Header, Secret
from pdagent.masking import is_routing_key

OCCURRED_AT = "pd-occurred-at"
"""The header with the time of occurrence of the events in a request."""

EVENT_VERSION = "pd-event-version"
"""The header that names a kind of event."""

_ROUTING_KEY = "x-routing-key"
_LONGEST_IDEMPOTENCY_KEY = 255
_KINDS: dict[str, EventKind] = {kind: kind for kind in KINDS}


def idempotency_key_of(header: Header) -> str | None:
    """The `Idempotency-Key` header, or None; 400 if it is longer than 255 characters."""
    key = header("idempotency-key")
    if key is not None and not 0 < len(key) <= _LONGEST_IDEMPOTENCY_KEY:
        raise falcon.HTTPBadRequest(
            description=f"Idempotency-Key: 1 to {_LONGEST_IDEMPOTENCY_KEY} characters are allowed"
        )
    return key


def kind_in_header(header: Header) -> EventKind | None:
    """The `Pd-Event-Version` header if it names a kind of event."""
    return _KINDS.get(header(EVENT_VERSION) or "")


def sender_of(header: Header, uid: int | None) -> EventSender:
    """The sending program, by its own word, and its user, by the kernel's."""
    agent = header("pd-queued-by") or header("user-agent") or ""
    name = agent.partition("/")[0].strip()
    known = name.isascii() and name.isprintable() and 0 < len(name) <= 64
    return EventSender(name if known else "pdagent", uid)


class Call(NamedTuple):
    """What a request says besides its body.

    `passed` are the agents that have delivered its event; `key` is the routing key in its path if
    it has one; `job` are the parameters of a job's report.
    """

    path: str
    header: Header
    sender: EventSender
    passed: tuple[str, ...] = ()
    key: str | None = None
    job: Mapping[str, str] | None = None


OnOutcome = Callable[[Outcome], object]


class Taker(Protocol):
    """A path that takes one message per `POST`, and answers with an `Outcome`."""

    def check(self, call: Call) -> None:
        """Raise a `falcon.HTTPError` for what needs no body to be refused."""

    def take(self, call: Call, body: bytes, done: OnOutcome) -> None:
        """Handle the message in `body`; `done` is called once, later, in the event loop."""


class SingleEvents:
    """A path that takes one event per request."""

    invalid = ""
    """The `message` for an event that is not valid."""

    def __init__(self, agent: Agent, secret: Secret) -> None:
        self._agent = agent
        self._secret = secret

    def check(self, call: Call) -> None:
        """Raise a `falcon.HTTPError` for what needs no body to be refused."""
        self._secret.check(call.header, call.sender.uid)

    def take(self, call: Call, body: bytes, done: OnOutcome) -> None:
        """Have the event in `body` stored; `done` is called once, later, in the event loop.

        Raises 400 for an `Idempotency-Key` that is too long.
        """
        try:
            event = self.event(call, body)
        except InvalidEvent as error:
            event = Outcome(400, error_body(call.path, 400, *error.errors, message=self.invalid))
        if isinstance(event, Outcome):
            asyncio.get_running_loop().call_soon(done, event)
            return
        key, new = completed(
            self._agent,
            event,
            sender=call.sender,
            idempotency_key=idempotency_key_of(call.header),
            occurred=call.header(OCCURRED_AT),
            passed=call.passed,
            job=call.job,
        )

        def settle(answer: Receipt | Refusal) -> None:
            if isinstance(answer, Receipt):
                done(self.stored(call, answer))
            else:
                done(self.refused(call, answer))

        submit(self._agent, key, new, settle)

    def event(self, call: Call, body: bytes) -> ParsedEvent | Outcome:
        """The event, or the answer where none is to be stored; raises `InvalidEvent`."""
        raise NotImplementedError

    def stored(self, call: Call, receipt: Receipt) -> Outcome:
        """The answer for a stored event."""
        raise NotImplementedError

    def refused(self, call: Call, refusal: Refusal) -> Outcome:
        """The answer for a valid event that the agent does not take."""
        # A full queue looks like PagerDuty's rate limit, which clients know to wait out.
        status, uncertain = status_of(refusal), is_uncertain(refusal)
        body = error_body(call.path, status, refusal.message, may_have_been_stored=uncertain)
        return Outcome(status, body, refusal.retry_after)


class SendEvent(SingleEvents):
    """`POST /send`: one event of any kind.

    200 with `key` (the event's id) and, for an alert, `dedup_key` or `incident_key`.
    """

    def check(self, call: Call) -> None:
        """400 without a known version, too."""
        super().check(call)
        if kind_in_header(call.header) is None:
            raise falcon.HTTPBadRequest(
                description="the header Pd-Event-Version is missing or unknown: "
                "send v1, v2 or change"
            )

    def event(self, call: Call, body: bytes) -> ParsedEvent:
        """An event of the kind that the header names."""
        return parse(_kind_of(call), body, call.header(_ROUTING_KEY))

    def stored(self, call: Call, receipt: Receipt) -> Outcome:
        """200 with the event's id."""
        return Outcome(200, stored(_kind_of(call), receipt))


class PagerDutyPath(SingleEvents):
    """One of PagerDuty's own paths: status codes and bodies exactly as PagerDuty answers."""

    invalid = "Event object is invalid"

    def __init__(self, agent: Agent, kind: EventKind, secret: Secret) -> None:
        super().__init__(agent, secret)
        self._kind: EventKind = kind

    def event(self, call: Call, body: bytes) -> ParsedEvent | Outcome:
        """An event of this path's kind; a key in the path counts."""
        if call.key is None:
            return parse(self._kind, body, call.header(_ROUTING_KEY))
        if not is_routing_key(call.key):
            raise InvalidEvent(("the key in the path is not 32 letters and digits",))
        return msgspec.structs.replace(parse(self._kind, body, call.key), routing_key=call.key)

    def stored(self, call: Call, receipt: Receipt) -> Outcome:
        """202, for v1 200."""
        body = processed(self._kind, receipt, to_agent=bool(call.passed))
        return Outcome(200 if self._kind == "v1" else 202, body)

    def refused(self, call: Call, refusal: Refusal) -> Outcome:
        """As everywhere, except that v1's rate limit is a 403."""
        outcome = super().refused(call, refusal)
        is_v1s_limit = self._kind == "v1" and refusal.reason == "queue_full"
        return outcome._replace(status=403) if is_v1s_limit else outcome


def _kind_of(call: Call) -> EventKind:
    kind = kind_in_header(call.header)
    assert kind is not None  # `check` has seen to that
    return kind
