"""What commands on this host use to talk to the running agent over its local HTTP API."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import quote

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
    from pdagent.localclient.answers import Changed, LineResult, Page

__all__ = [
    "AgentError",
    "BadCertificate",
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


class Receipt(NamedTuple):
    """The agent's word that an event is stored; only one of the two keys is filled in.

    `key` is the event's id. A change event has neither `dedup_key` nor `incident_key`.
    """

    key: str = ""
    dedup_key: str = ""
    incident_key: str = ""
    warnings: tuple[str, ...] = ()

    def as_json(self) -> str:
        """As the agent writes it: without what is empty."""
        filled = {name: value for name, value in self._asdict().items() if value}
        return json.dumps(filled, ensure_ascii=False, separators=(",", ":"))


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
        receipt = self._transport.decoded(answer)
        known = {name: receipt[name] for name in Receipt._fields if name in receipt}
        warnings = known.pop("warnings", [])
        if not isinstance(warnings, list) or not all(isinstance(v, str) for v in known.values()):
            raise self._transport.not_expected()
        return Receipt(**known, warnings=tuple(map(str, warnings)))

    def send_batch(
        self, kind: EventKind, lines: Sequence[bytes], *, first: int, idempotency_key: str
    ) -> list[LineResult]:
        """Hand over events of one kind, one a line; the results of the lines that aren't blank.

        `first` is the number of the first line. Repeated while it isn't known which of them are
        stored: `idempotency_key` and the numbers keep the agent from storing an event twice.
        """
        from msgspec.structs import replace

        uncertain: set[int] = set()
        for pause in PAUSES:
            time.sleep(pause)
            results = self._send_lines(kind, lines, first, idempotency_key)
            uncertain.update(each.line for each in results if each.may_have_been_stored)
            uncertain.intersection_update(each.line for each in results if each.status in FOR_NOW)
            if not uncertain:
                break
        return [replace(each, may_have_been_stored=each.line in uncertain) for each in results]

    def _send_lines(
        self, kind: EventKind, lines: Sequence[bytes], first: int, idempotency_key: str
    ) -> list[LineResult]:
        from pdagent.localclient.answers import LineResult

        headers = {
            "Content-Type": "application/x-ndjson",
            "Pd-Event-Version": kind,
            "Pd-First-Line": str(first),
            "Idempotency-Key": idempotency_key,
        }
        body = b"".join(line + b"\n" for line in lines)
        answer = self._transport.call_until_known("POST", "/send/batch", body=body, headers=headers)
        results = [self._decoded(line, LineResult) for line in answer.splitlines()]
        sent = [number for number, line in enumerate(lines, first) if line.strip()]
        if [result.line for result in results] != sent:
            raise self._transport.stranger("it answered other lines than were sent")
        return results

    def queue_status(
        self, routing_key: str | None = None, *, show_keys: bool = False
    ) -> JsonObject:
        """The counts of all queues, or of one; keys masked or named unless `show_keys`."""
        query = _of_key(routing_key) | {"show_keys": "1" if show_keys else "0"}
        return self._transport.decoded(self._get("/queue/status", query))

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
        from pdagent.localclient.answers import Page

        query = {"limit": str(limit), **_of_key(routing_key)}
        query |= {"state": states} if states else {}
        query |= {"after": after} if after else {}
        return self._decoded(self._get("/queue/events", query), Page)

    def event(self, event: str) -> bytes:
        """One event, by its id or the beginning of it: the agent's JSON, to the letter."""
        answer = self._get(f"/queue/events/{quote(event, safe='')}", {})
        self._transport.decoded(answer)
        return answer

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
        from pdagent.localclient.answers import Changed

        return self._decoded(self._post("/queue/retry", _of_key(routing_key), wish), Changed)

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
        from pdagent.localclient.answers import Changed

        return self._decoded(self._post("/queue/discard", query, wish), Changed)

    def hold(self, routing_key: str, *, reason: str | None = None) -> JsonObject:
        """Accept events of a key, but don't deliver any: `{"message", "queue", ...}`."""
        answer = self._post("/queue/hold", _of_key(routing_key), {"reason": reason or ""})
        return self._transport.decoded(answer)

    def release(self, routing_key: str) -> JsonObject:
        """Deliver events of a key again: `{"message", "queue", ...}`."""
        return self._transport.decoded(self._post("/queue/release", _of_key(routing_key), {}))

    def tail(self, routing_key: str | None = None) -> AbstractContextManager[Iterator[bytes]]:
        """Transitions of one key, or of all, as JSON lines while they happen.

        An empty line comes at once, and whenever nothing happens for some seconds.
        """
        return self._transport.lines("/queue/tail", _of_key(routing_key))

    def status(self, query: Mapping[str, str] | None = None) -> JsonObject:
        """The agent, PagerDuty as it sees it, totals and queues.

        `query` may have `sort`, `match`, `limit` and `offset`, see `GET /status`.
        """
        return self._transport.decoded(self._get("/status", query or {}))

    def health(self, *, live: bool = False) -> str:
        """Return what a ready agent answers: `OK`, or that and a line about PagerDuty.

        `Refused` tells why it isn't ready.

        With `live`, return when it answers at all.
        """
        answer = self._get("/health/live" if live else "/health", {})
        if answer.split(b"\n")[0].strip() != b"OK":
            raise self._transport.stranger("its health isn't OK")
        return answer.decode("utf-8", "replace").strip()

    def _get(self, path: str, query: Mapping[str, str]) -> bytes:
        return self._transport.call_until_known("GET", path, query=query)

    def _post(self, path: str, query: Mapping[str, str], wish: Mapping[str, object]) -> bytes:
        return self._transport.call("POST", path, query=query, body=json.dumps(wish).encode())

    def _decoded(self, answer: bytes, kind: type[_Expected]) -> _Expected:
        import msgspec  # commands for single events do without it

        try:
            return msgspec.json.decode(answer, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self._transport.not_expected() from None


def _of_key(routing_key: str | None) -> dict[str, str]:
    """The queue of a key, which may be given by name or masked, as tables show it."""
    if not routing_key:
        return {}
    return {"rk" if _KEY.fullmatch(routing_key) else "queue": routing_key}
