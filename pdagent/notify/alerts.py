"""One alert for each condition: triggered when it begins, resolved when it has ended."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import msgspec

from actors.core.accepting import OWN_NAME
from actors.core.commands import AcceptEvent, Answer, Receipt, Refusal, RetryEvents
from pdagent.events import MAX_SUMMARY_CHARACTERS, parse
from pdagent.events.shortening import shorten
from pdagent.httpapi.agent import Agent, EventSender, completed, perform
from pdagent.notify.conditions import Condition, Conditions
from pdagent.operating.reading import first
from store.records import Entry, EventAccepted, EventId, RoutingKey

logger = logging.getLogger(__name__)

_LOOK_EVERY = 1.0  # seconds
# Seconds from the refusal of an alert by PagerDuty to its retry: the first time, and at most.
_RETRY_AFTER, _RETRY_LATEST = 10.0, 3600.0
_MOST_RETRIED = 100
_TEST = "test"
_TEST_SECONDS, _TEST_LOOK_EVERY = 20.0, 0.1
# Seconds: a queue at its limit is full, and not, with each delivery. A dead letter has ended when
# it is retried or discarded.
_ENDED_AFTER = 60.0
# Seconds: so often at most an open alert is triggered again, when its condition has happened again.
_AGAIN_AFTER = 60.0


class Change(NamedTuple):
    """An alert to send. `condition` is None for one that has ended."""

    action: Literal["trigger", "resolve"]
    name: str
    condition: Condition | None


class OpenAlerts:
    """Which alerts are open: by the names of their conditions, the `count` of the last trigger."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        self._open = dict(counts)
        self._triggered_at: dict[str, float] = {}
        self._gone_since: dict[str, float] = {}

    def changes(self, found: Mapping[str, Condition], now: float) -> list[Change]:
        """The alerts that `found` asks for at `now` (monotonic seconds), until they are `sent`."""
        changes = [
            Change("trigger", name, condition)
            for name, condition in found.items()
            if name not in self._open
            or (
                condition.count > self._open[name]
                and now - self._triggered_at.get(name, -math.inf) >= _AGAIN_AFTER
            )
        ]
        gone = self._open.keys() - found.keys()
        self._gone_since = {name: self._gone_since.get(name, now) for name in gone}
        for name, since in self._gone_since.items():
            if now - since >= (0 if name.startswith("dead_letters") else _ENDED_AFTER):
                changes.append(Change("resolve", name, None))
        return changes

    def sent(self, change: Change, now: float) -> None:
        """The alert is stored."""
        if change.condition is None:
            self._open.pop(change.name, None)
        else:
            self._open[change.name] = change.condition.count
            self._triggered_at[change.name] = now


class Alerts:
    """Sends alerts about conditions through the agent's own queue of `key`."""

    def __init__(self, agent: Agent, key: RoutingKey, host: str, conditions: Conditions) -> None:
        self._agent = agent
        self._key = key
        self._host = host
        self._conditions = conditions
        self._prefix = f"pagerduty-agent/{agent.journal.agent_id}/"
        self._retries: dict[EventId, tuple[float, float]] = {}

    async def send_for_ever(self) -> None:
        """Look every second. A refused alert is tried again."""
        alerts: OpenAlerts | None = None
        failing = False
        while True:
            try:
                if alerts is None:
                    alerts = OpenAlerts(await asyncio.to_thread(self._open_in_the_journal))
                now = time.monotonic()
                for change in alerts.changes(self._conditions.now(), now):
                    answer = await self._send(change.action, change.name, change.condition)
                    if isinstance(answer, Receipt):
                        alerts.sent(change, now)
                await self._retry_the_refused(now)
                failing = False
            except Exception:  # a mistake here must not be the end of looking
                if not failing:
                    logger.exception("alerts about stuck events fail, they are tried again")
                failing = True
            await asyncio.sleep(_LOOK_EVERY)

    async def test(self) -> str | None:
        """Send a trigger that says it is a test, and its resolve; why PagerDuty has not taken it.

        None if it has.
        """
        condition = Condition(
            kind="dead_letters",
            summary="this is a test of notifications: nothing is wrong",
            remedy="nothing to do",
        )
        trigger = await self._send("trigger", _TEST, condition)
        resolve = await self._send("resolve", _TEST, None)
        for answer in (trigger, resolve):
            if isinstance(answer, Refusal):
                return answer.message
        assert isinstance(trigger, Receipt)
        return await self._failure_of(trigger.event)

    async def _failure_of(self, event: EventId) -> str | None:
        until = time.monotonic() + _TEST_SECONDS
        while (entry := self._agent.system.directory.by_key(self._key)) is not None:
            if (letter := entry.state.dead.get(event)) is not None:
                return f"PagerDuty refuses it: {letter.error}"
            if event not in entry.state.waiting:
                break
            if time.monotonic() > until:
                why = entry.state.last_error or "it waits"
                return f"not delivered within {_TEST_SECONDS:.0f} s, it stays queued: {why}"
            await asyncio.sleep(_TEST_LOOK_EVERY)
        return None

    async def _retry_the_refused(self, now: float) -> None:
        """Retry dead letters among the alerts: no alert reports them."""
        entry = self._agent.system.directory.by_key(self._key)
        due = []
        for letter in [] if entry is None else first(entry.state.dead, _MOST_RETRIED):
            name = letter.dedup_key.removeprefix(self._prefix)
            if name in (letter.dedup_key, _TEST):
                continue  # it is not ours, or somebody has seen that it failed
            at, pause = self._retries.setdefault(letter.id, (now + _RETRY_AFTER, _RETRY_AFTER))
            if now >= at:
                due.append(letter.id)
                pause = min(2 * pause, _RETRY_LATEST)
                self._retries[letter.id] = now + pause, pause
        if due:
            await perform(self._agent, self._key, RetryEvents(tuple(due)))

    def _open_in_the_journal(self) -> Mapping[str, int]:
        """The alerts that an earlier process has triggered and not resolved, with their counts."""
        entry = self._agent.system.directory.by_key(self._key)
        if entry is None:
            return {}
        return open_alerts(self._agent.journal.entries(entry.id), self._prefix)

    async def _send(self, action: str, name: str, condition: Condition | None) -> Answer:
        event: dict[str, object] = {
            "routing_key": self._key,
            "event_action": action,
            "dedup_key": self._prefix + name,
        }
        if condition is not None:
            summary = f"pagerduty-agent on {self._host}: {condition.summary}"
            event["payload"] = {
                "summary": shorten(summary, MAX_SUMMARY_CHARACTERS),
                "source": self._host,
                "severity": "critical",
                "component": OWN_NAME,
                "class": condition.kind,
                "custom_details": {
                    name: value
                    for name, value in msgspec.structs.asdict(condition).items()
                    if value
                },
            }
        parsed = parse("v2", msgspec.json.encode(event))
        key, new = completed(
            self._agent, parsed, sender=EventSender(OWN_NAME), idempotency_key=None
        )
        # Past the limit of the journal: the alert about a full one has to be stored too. There is
        # one per condition, and the room beyond the limit is far larger.
        return await perform(self._agent, key, AcceptEvent(new, None))


def open_alerts(entries: Iterable[Entry], prefix: str) -> Mapping[str, int]:
    """The alerts that `entries`, a queue's history, trigger and do not resolve, with their counts.

    By the names of their conditions.
    """
    last: dict[str, EventAccepted] = {}
    for entry in entries:
        record = entry.record
        if isinstance(record, EventAccepted) and record.dedup_key.startswith(prefix):
            last[record.dedup_key.removeprefix(prefix)] = record
    return {
        name: _count_in(record.body) for name, record in last.items() if record.action == "trigger"
    }


def _count_in(body: bytes) -> int:
    try:
        return int(msgspec.json.decode(body)["payload"]["custom_details"]["count"])
    except (LookupError, TypeError, ValueError):  # others may use this dedup key too
        return 0
