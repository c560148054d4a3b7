"""What commands on this host use to talk to the running agent over its local HTTP API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from pdagent.config import Config
from pdagent.localtransport import (
    AgentError,
    NoAnswer,
    NotUnderstood,
    Refused,
    Transport,
    Unreachable,
)

if TYPE_CHECKING:
    from pdagent.events import EventKind

__all__ = [
    "AgentError",
    "LineResult",
    "LocalClient",
    "NoAnswer",
    "NotUnderstood",
    "Receipt",
    "Refused",
    "Unreachable",
]

JsonObject = dict[str, object]


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


class LocalClient:
    """The agent's local API, one method a call, one connection a request.

    Every method raises `Unreachable`, `NoAnswer`, `NotUnderstood` or `Refused`.
    """

    def __init__(self, config: Config) -> None:
        self._transport = Transport(config)

    def send(self, version: Literal["v1", "v2"], event: bytes, *, idempotency_key: str) -> Receipt:
        """Hand over one alert event, as JSON in PagerDuty's own form with its routing key.

        A connection that breaks is tried once more: `idempotency_key` keeps the agent from storing
        the event twice.
        """
        headers = {"Pd-Event-Version": version, "Idempotency-Key": idempotency_key}
        answer = self._transport.call_twice("POST", "/send", body=event, headers=headers)
        return self._transport.decoded(answer, Receipt)

    def send_change(self, event: bytes, *, idempotency_key: str) -> Receipt:
        """Hand over one change event; otherwise like `send`."""
        headers = {"Idempotency-Key": idempotency_key}
        answer = self._transport.call_twice(
            "POST", "/v2/change/enqueue", body=event, headers=headers
        )
        return self._transport.decoded(answer, Receipt)

    def send_batch(
        self, kind: EventKind, lines: Sequence[bytes], *, first: int, idempotency_key: str
    ) -> list[LineResult]:
        """Hand over events of one kind, one a line; the results of the lines that aren't blank.

        `first` is the number of the first line. A connection that breaks is tried once more:
        `idempotency_key` and the numbers keep the agent from storing an event twice.
        """
        headers = {
            "Content-Type": "application/x-ndjson",
            "Pd-Event-Version": kind,
            "Pd-First-Line": str(first),
            "Idempotency-Key": idempotency_key,
        }
        body = b"".join(line + b"\n" for line in lines)
        answer = self._transport.call_twice("POST", "/send/batch", body=body, headers=headers)
        results = [self._transport.decode(line, LineResult) for line in answer.content.splitlines()]
        sent = [number for number, line in enumerate(lines, first) if line.strip()]
        if [result.line for result in results] != sent:
            raise NotUnderstood(self._transport.stranger("it answered other lines than were sent"))
        return results

    def queue_status(
        self, routing_key: str | None = None, *, show_keys: bool = False
    ) -> JsonObject:
        """The counts of all queues, or of one; keys masked or named unless `show_keys`."""
        query = _of_key(routing_key) | ({"show_keys": "1"} if show_keys else {})
        return self._transport.decoded(
            self._transport.call_twice("GET", "/queue/status", query=query), JsonObject
        )

    def retry(self, routing_key: str | None = None) -> JsonObject:
        """Queue the dead-lettered events of one key, or of all, again: `{"message", "count"}`."""
        answer = self._transport.call("POST", "/queue/retry", query=_of_key(routing_key))
        return self._transport.decoded(answer, JsonObject)

    def status(self) -> JsonObject:
        """The agent, PagerDuty as it sees it, totals and queues."""
        return self._transport.decoded(self._transport.call_twice("GET", "/status"), JsonObject)

    def health(self) -> None:
        """Return when the agent is well; `Refused` tells why it isn't."""
        answer = self._transport.call_twice("GET", "/health")
        if answer.content.strip() != b"OK":
            raise NotUnderstood(self._transport.stranger("its health isn't OK"))


def _of_key(routing_key: str | None) -> dict[str, str]:
    return {"rk": routing_key} if routing_key else {}
