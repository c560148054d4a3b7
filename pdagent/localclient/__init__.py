"""What commands on this host use to talk to the running agent over its local HTTP API."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

import msgspec
import requests

from pdagent.config import Config
from pdagent.localclient.errors import (
    AgentError,
    BadCertificate,
    NoAnswer,
    NotUnderstood,
    OtherScheme,
    Refused,
    Unreachable,
)
from pdagent.localclient.transport import FOR_NOW, PAUSES, Transport

if TYPE_CHECKING:
    from pdagent.events import EventKind

__all__ = [
    "AgentError",
    "BadCertificate",
    "LineResult",
    "LocalClient",
    "NoAnswer",
    "NotUnderstood",
    "OtherScheme",
    "Receipt",
    "Refused",
    "Unreachable",
]

_KEY = re.compile(r"[A-Za-z0-9]{32}")
JsonObject = dict[str, object]
_Expected = TypeVar("_Expected")


class Receipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The agent's word that an event is stored; only one of the two keys is filled in.

    `key` is the event's id. A change event has neither `dedup_key` nor `incident_key`.
    """

    key: str = ""
    dedup_key: str = ""
    incident_key: str = ""
    warnings: tuple[str, ...] = ()


class LineResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a line of a batch: a receipt, or the `status` and `errors` of its refusal."""

    line: int
    key: str = ""
    dedup_key: str = ""
    incident_key: str = ""
    warnings: tuple[str, ...] = ()
    status: int | None = None
    errors: tuple[str, ...] = ()
    retry_after: float | None = None
    may_have_been_stored: bool = False


class Page(msgspec.Struct, frozen=True):
    """Events as the agent's JSON, and where the next page begins; None at the end."""

    events: list[msgspec.Raw]
    next: str | None = None


class RefusedEvent(msgspec.Struct, frozen=True):
    """An event that stays as it is, and why; `status` is the HTTP code that fits."""

    id: str
    error: str
    status: int = 0


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """Which events were retried or discarded, and which were not.

    `left` counts the dead letters that were left as they are because their alert was resolved.
    """

    message: str
    count: int
    events: tuple[str, ...] = ()
    refused: tuple[RefusedEvent, ...] = ()
    left: int = 0


class LocalClient:
    """The agent's local API, one method a call, one connection a request.

    Every method raises `Unreachable`, `NoAnswer`, `NotUnderstood` or `Refused`. The agent has
    `answer_seconds` for each answer, or 30.
    """

    def __init__(self, config: Config, *, answer_seconds: float | None = None) -> None:
        self._transport = Transport(config, answer_seconds)

    def send(self, kind: EventKind, event: bytes, *, idempotency_key: str) -> Receipt:
        """Hand over one event, as JSON in PagerDuty's own form with its routing key.

        Repeated while it isn't known whether the event is stored: `idempotency_key` keeps the agent
        from storing it twice.
        """
        headers = {"Pd-Event-Version": kind, "Idempotency-Key": idempotency_key}
        answer = self._transport.call_until_known("POST", "/send", body=event, headers=headers)
        return self._decoded(answer, Receipt)

    def send_batch(
        self, kind: EventKind, lines: Sequence[bytes], *, first: int, idempotency_key: str
    ) -> list[LineResult]:
        """Hand over events of one kind, one a line; the results of the lines that aren't blank.

        `first` is the number of the first line. Repeated while it isn't known which of them are
        stored: `idempotency_key` and the numbers keep the agent from storing an event twice.
        """
        uncertain: set[int] = set()
        for pause in PAUSES:
            time.sleep(pause)
            results = self._send_lines(kind, lines, first, idempotency_key)
            uncertain.update(each.line for each in results if each.may_have_been_stored)
            uncertain.intersection_update(each.line for each in results if each.status in FOR_NOW)
            if not uncertain:
                break
        return [
            msgspec.structs.replace(each, may_have_been_stored=each.line in uncertain)
            for each in results
        ]

    def _send_lines(
        self, kind: EventKind, lines: Sequence[bytes], first: int, idempotency_key: str
    ) -> list[LineResult]:
        headers = {
            "Content-Type": "application/x-ndjson",
            "Pd-Event-Version": kind,
            "Pd-First-Line": str(first),
            "Idempotency-Key": idempotency_key,
        }
        body = b"".join(line + b"\n" for line in lines)
        answer = self._transport.call_until_known("POST", "/send/batch", body=body, headers=headers)
        results = [self._transport.decode(line, LineResult) for line in answer.content.splitlines()]
        sent = [number for number, line in enumerate(lines, first) if line.strip()]
        if [result.line for result in results] != sent:
            raise NotUnderstood(self._transport.stranger("it answered other lines than were sent"))
        return results

    def queue_status(
        self, routing_key: str | None = None, *, show_keys: bool = False
    ) -> JsonObject:
        """The counts of all queues, or of one; keys masked or named unless `show_keys`."""
        query = _of_key(routing_key) | {"show_keys": "1" if show_keys else "0"}
        return self._decoded(
            self._transport.call_until_known("GET", "/queue/status", query=query), JsonObject
        )

    def events(
        self,
        routing_key: str | None = None,
        *,
        states: str | None = None,
        limit: int,
        after: str | None = None,
    ) -> Page:
        """At most `limit` (up to 1,000) events of one key, or of all, behind the page before.

        `states` are names with commas between, None means all that have not ended; `after` is the
        `next` of the page before.
        """
        query = {"limit": str(limit), **_of_key(routing_key)}
        query |= {"state": states} if states else {}
        query |= {"after": after} if after else {}
        return self._decoded(self._get("/queue/events", query), Page)

    def event(self, event: str) -> bytes:
        """One event, by its id or the beginning of it: the agent's JSON, to the letter."""
        answer = self._get(f"/queue/events/{quote(event, safe='')}", {})
        return bytes(self._decoded(answer, msgspec.Raw))

    def retry(
        self,
        routing_key: str | None = None,
        *,
        ids: Sequence[str] | None = None,
        force: bool = False,
    ) -> Changed:
        """Queue dead letters again, and try deferred events at once.

        Those with `ids` (10,000 at most), else those of one key, else all; with `force` also
        triggers of alerts that have been resolved since.
        """
        wish = {"force": force} | ({} if ids is None else {"ids": ids})
        return self._post("/queue/retry", _of_key(routing_key), wish, Changed)

    def discard(
        self,
        routing_key: str | None = None,
        *,
        ids: Sequence[str] | None = None,
        states: str | None = None,
        reason: str | None = None,
    ) -> Changed:
        """Give up the events with `ids`, else those of one key in `states` (see `events`)."""
        query = _of_key(routing_key) | ({"state": states} if states else {})
        wish = {"reason": reason or ""} | ({} if ids is None else {"ids": ids})
        return self._post("/queue/discard", query, wish, Changed)

    def hold(self, routing_key: str, *, reason: str | None = None) -> JsonObject:
        """Accept events of a key, but don't deliver any: `{"message", "queue", ...}`."""
        wish = {"reason": reason or ""}
        return self._post("/queue/hold", _of_key(routing_key), wish, JsonObject)

    def release(self, routing_key: str) -> JsonObject:
        """Deliver events of a key again: `{"message", "queue", ...}`."""
        return self._post("/queue/release", _of_key(routing_key), {}, JsonObject)

    @contextmanager
    def tail(self, routing_key: str | None = None) -> Iterator[Iterator[bytes]]:
        """Transitions of one key, or of all, as JSON lines while they happen.

        An empty line comes at once, and whenever nothing happens for some seconds.
        """
        with self._transport.lines("/queue/tail", _of_key(routing_key)) as lines:
            yield lines

    def status(self, query: Mapping[str, str] | None = None) -> JsonObject:
        """The agent, PagerDuty as it sees it, totals and queues.

        `query` may have `sort`, `match`, `limit` and `offset`, see `GET /status`.
        """
        return self._decoded(self._get("/status", query or {}), JsonObject)

    def health(self, *, live: bool = False) -> str:
        """Return what a ready agent answers: `OK`, or that and a line about PagerDuty.

        `Refused` tells why it isn't ready.

        With `live`, return when it answers at all.
        """
        answer = self._get("/health/live" if live else "/health", {})
        if answer.content.split(b"\n")[0].strip() != b"OK":
            raise NotUnderstood(self._transport.stranger("its health isn't OK"))
        return answer.text.strip()

    def _get(self, path: str, query: Mapping[str, str]) -> requests.Response:
        return self._transport.call_until_known("GET", path, query=query)

    def _post(
        self, path: str, query: Mapping[str, str], wish: Mapping[str, object], kind: type[_Expected]
    ) -> _Expected:
        body = msgspec.json.encode(wish)
        return self._decoded(self._transport.call("POST", path, query=query, body=body), kind)

    def _decoded(self, answer: requests.Response, kind: type[_Expected]) -> _Expected:
        return self._transport.decoded(answer, kind)


def _of_key(routing_key: str | None) -> dict[str, str]:
    """The queue of a key, which may be given by name or masked, as tables show it."""
    if not routing_key:
        return {}
    return {"rk" if _KEY.fullmatch(routing_key) else "queue": routing_key}
