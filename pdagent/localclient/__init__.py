"""The command line's way to the running agent: its local HTTP API."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar
from urllib.parse import quote

from pdagent.config import Config
from pdagent.localclient.errors import FOR_NOW, NotUnderstood
from pdagent.localclient.transport import PAUSES, Exchange, stranger, until_known
from pdagent.masking import is_routing_key

if TYPE_CHECKING:
    from pdagent.events import EventKind
    from pdagent.localclient.answers import Changed, EventPage, LineResult

JsonObject = dict[str, Any]
_Expected = TypeVar("_Expected")


class AgentReceipt(NamedTuple):
    """The agent's confirmation that an event is stored; at most one of the two keys is filled in.

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
    """The agent's local API, one method per call, one connection per request.

    Every method raises an `AgentError` (see `errors.py`). The agent has `answer_seconds` for each
    answer. A `routing_key` may be the key, its name, or its mask; with `show_keys`, keys without a
    name are not masked in the answer.
    """

    def __init__(self, config: Config, *, answer_seconds: float = 30.0) -> None:
        self._config = config
        self._seconds = answer_seconds

    def send(
        self,
        kind: EventKind,
        event: bytes,
        *,
        idempotency_key: str,
        occurred: str | None = None,
        job: Mapping[str, str] | None = None,
    ) -> AgentReceipt:
        """Send one event, as JSON in PagerDuty's own form with its routing key.

        Repeated while it isn't known whether the event is stored: `idempotency_key` keeps the agent
        from storing it twice. `occurred` is when it happened, in seconds since 1970;
        `job` are the parameters that make it the report of a job.
        """
        headers = {"Pd-Event-Version": kind, "Idempotency-Key": idempotency_key}
        if occurred is not None:
            headers["Pd-Occurred-At"] = occurred
        receipt = self._object(self._until_known("POST", "/send", job or {}, event, headers))
        known = {name: receipt[name] for name in AgentReceipt._fields if name in receipt}
        warnings = known.pop("warnings", [])
        if not isinstance(warnings, list) or not all(isinstance(v, str) for v in known.values()):
            raise self._not_expected()
        return AgentReceipt(**known, warnings=tuple(map(str, warnings)))

    def send_batch(
        self, kind: EventKind, lines: Sequence[bytes], *, first: int, idempotency_key: str
    ) -> list[LineResult]:
        """Send events of one kind, one per line; returns a result for each line that isn't blank.

        `first` is the number of the first line. Repeated while it isn't known which of them are
        stored: `idempotency_key` and the numbers keep the agent from storing an event twice.
        """
        from msgspec.structs import replace

        from pdagent.localclient.answers import LineResult

        headers = {
            "Content-Type": "application/x-ndjson",
            "Pd-Event-Version": kind,
            "Pd-First-Line": str(first),
            "Idempotency-Key": idempotency_key,
        }
        body = b"".join(line + b"\n" for line in lines)
        sent = [number for number, line in enumerate(lines, first) if line.strip()]
        uncertain: set[int] = set()
        for pause in PAUSES:
            time.sleep(pause)
            answer = self._until_known("POST", "/send/batch", {}, body, headers)
            results = [self._decoded(line, LineResult) for line in answer.splitlines()]
            if [result.line for result in results] != sent:
                raise stranger(self._config, "it answered other lines than were sent")
            uncertain |= {each.line for each in results if each.may_have_been_stored}
            uncertain &= {each.line for each in results if each.status in FOR_NOW}
            if not uncertain:
                break
        return [replace(each, may_have_been_stored=each.line in uncertain) for each in results]

    def queue_status(
        self, routing_key: str | None = None, *, show_keys: bool = False
    ) -> JsonObject:
        """The counts of all queues, or of one."""
        # Without the parameter, the agent shows a key that it is asked about.
        return self.json("/queue/status", routing_key, show_keys="1" if show_keys else "0")

    def queues(
        self, routing_key: str | None = None, *, show_keys: bool = False
    ) -> list[JsonObject]:
        """The rows of `queue_status`."""
        rows = self.queue_status(routing_key, show_keys=show_keys).get("status_items")
        return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []

    def events(
        self,
        routing_key: str | None = None,
        *,
        states: str | None = None,
        limit: int,
        after: str | None = None,
        show_keys: bool = False,
    ) -> EventPage:
        """At most `limit` (up to 1,000) events of one key, or of all.

        `states` are names with commas between, None means all that have not ended; `after` is the
        `next` of the previous page.
        """
        from pdagent.localclient.answers import EventPage

        answer = self.call(
            "/queue/events",
            routing_key,
            state=states or "",
            limit=str(limit),
            after=after or "",
            show_keys="1" if show_keys else "",
        )
        return self._decoded(answer, EventPage)

    def event(self, event: str, *, show_keys: bool = False) -> bytes:
        """One event, by its id or a part of it, as the agent's JSON object."""
        path = f"/queue/events/{quote(event, safe='')}"
        answer = self.call(path, show_keys="1" if show_keys else "")
        self._object(answer)
        return answer

    def change(
        self,
        verb: Literal["retry", "discard"],
        routing_key: str | None = None,
        *,
        states: str | None = None,
        **wish: object,
    ) -> Changed:
        """Retry or discard the events with `ids` (10,000 at most), else those of one key, else all.

        `wish` may have `ids`, for a retry `force`, for a discard `reason`.
        """
        from pdagent.localclient.answers import Changed

        answer = self.call(f"/queue/{verb}", routing_key, wish=wish, state=states or "")
        return self._decoded(answer, Changed)

    def json(self, path: str, routing_key: str | None = None, **more: Any) -> JsonObject:
        """The JSON object that the agent answers a `call` with."""
        return self._object(self.call(path, routing_key, **more))

    def call(
        self,
        path: str,
        routing_key: str | None = None,
        *,
        wish: Mapping[str, object] | None = None,
        **query: str,
    ) -> bytes:
        """The answer to a GET with `query`, or to a POST with `wish` as its JSON body."""
        query |= _of_key(routing_key)
        if wish is None:
            return self._until_known("GET", path, query)
        given = {name: value for name, value in wish.items() if value is not None}
        body = json.dumps(given).encode()
        with Exchange(self._config, self._seconds, "POST", path, query, body) as answer:
            return answer.body()

    @contextmanager
    def tail(self, routing_key: str | None = None) -> Iterator[Iterator[bytes]]:
        """Transitions of one key, or of all, as JSON lines while they happen.

        An empty line comes at once, and after some seconds without a transition. The lines end when
        the agent ends its answer, and raise `NoAnswer` when the connection breaks or times out.
        """
        query = _of_key(routing_key)
        with Exchange(self._config, self._seconds, "GET", "/queue/tail", query) as answer:
            yield answer.lines()

    def health(self, *, live: bool = False) -> str:
        """The answer of a ready agent: `OK`, perhaps with a line about PagerDuty.

        `Refused` has the reasons why it isn't ready. With `live`, any running agent answers `OK`.
        """
        answer = self.call("/health/live" if live else "/health")
        if answer.split(b"\n")[0].strip() != b"OK":
            raise stranger(self._config, "its health isn't OK")
        return answer.decode("utf-8", "replace").strip()

    def _until_known(self, *request: Any) -> bytes:
        return until_known(self._config, self._seconds, *request)

    def _not_expected(self) -> NotUnderstood:
        return stranger(self._config, "its answer isn't the JSON expected")

    def _object(self, body: bytes) -> JsonObject:
        """A JSON object, without the library that single events do without."""
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise self._not_expected()
        return answer

    def _decoded(self, answer: bytes, kind: type[_Expected]) -> _Expected:
        import msgspec  # it takes long to load

        try:
            return msgspec.json.decode(answer, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self._not_expected() from None


def _of_key(routing_key: str | None) -> dict[str, str]:
    if not routing_key:
        return {}
    return {"rk" if is_routing_key(routing_key) else "queue": routing_key}
