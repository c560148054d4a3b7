"""A real actor system on a real journal, with a scripted PagerDuty, for tests."""

from __future__ import annotations

import itertools
import queue
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from actors.core.commands import AcceptEvent, Answer, Command, NewEvent, Policy, Receipt
from actors.directory import QueueEntry
from actors.messages import Perform
from actors.system import ActorSystem
from store.lmdb_journal import LmdbJournal
from store.records import EventId, RoutingKey
from tests.actors.faulty_journal import FaultyJournal
from tests.actors.scripted_pagerduty import ScriptedPagerDuty

KEY = RoutingKey("a" * 32)
OTHER_KEY = RoutingKey("b" * 32)
LIMIT = 64 << 20

_numbers = itertools.count(1)


def wait_for(condition: Callable[[], object], what: str, timeout: float = 15.0) -> None:
    """Wait until `condition()` is true; AssertionError naming `what` after `timeout` (s)."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {what}"
        time.sleep(0.002)


def new_event(**fields: Any) -> NewEvent:
    """A trigger with a number of its own; `fields` override."""
    number = next(_numbers)
    given = {
        "id": EventId(f"event-{number:07d}"),
        "kind": "v2",
        "action": "trigger",
        "dedup_key": f"alert-{number}",
        "body": b'{"routing_key":""}',
    }
    return NewEvent(**{**given, **fields})


def idempotent(event: str = "again") -> NewEvent:
    """An event of a request with an Idempotency-Key: the Sequencer looks it up in the journal."""
    return new_event(id=EventId(event), idempotent=True)


class WallClock:
    """A wall clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1.8e9
        self.reads = 0

    def __call__(self) -> float:
        self.reads += 1
        return self.now


class Pending:
    """Waits for the one answer to a command."""

    def __init__(self, event: NewEvent | None = None) -> None:
        self.event = event
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()

    def reply(self, answer: Answer) -> None:
        """What the actors call."""
        self._answers.put(answer)

    def answer(self, timeout: float = 15.0) -> Answer:
        """The answer; AssertionError if there is none within `timeout` seconds, or a second one."""
        try:
            answer = self._answers.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"no answer within {timeout:g} s") from None
        assert self._answers.empty(), "answered twice"
        return answer

    @property
    def is_answered(self) -> bool:
        """Whether there is an answer already."""
        return not self._answers.empty()


class RunningActors:
    """The actor system of one agent; as a context manager it runs, and leaves in order.

    `options` are those of `ActorSystem`. `journal` is the one in which faults can be set.
    """

    def __init__(
        self, directory: Path, pagerduty: ScriptedPagerDuty | None = None, **options: Any
    ) -> None:
        self.pagerduty = pagerduty or ScriptedPagerDuty()
        self._directory = directory
        self._options: dict[str, Any] = {
            "policy": Policy(),
            "max_in_flight": 4,
            "retention": 3600.0,
            **options,
        }

    def __enter__(self) -> RunningActors:
        self.journal = FaultyJournal(LmdbJournal(self._directory, limit=LIMIT))
        self.system = ActorSystem(self.journal, self.pagerduty.make_port, **self._options)
        self.system.recover()
        self.system.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.system.stop(grace=0.5)
        self.journal.close()

    def accept(self, key: str = KEY, event: NewEvent | None = None) -> Pending:
        """Ask for an event to be accepted, as the HTTP API does."""
        pending = Pending(event or new_event())
        assert pending.event is not None
        self.system.accept(RoutingKey(key), pending.event, pending.reply)
        return pending

    def accepted(self, key: str = KEY, count: int = 1) -> list[EventId]:
        """Have `count` events accepted one after the other; their ids."""
        ids = []
        for _ in range(count):
            answer = self.accept(key).answer()
            assert isinstance(answer, Receipt), answer
            ids.append(answer.event)
        return ids

    def perform(self, command: Command, key: str = KEY) -> Answer:
        """Have a queue carry out a command."""
        pending = Pending()
        self.system.perform(RoutingKey(key), command, pending.reply)
        return pending.answer()

    def entry(self, key: str = KEY) -> QueueEntry:
        """The directory's entry of a key that was used before."""
        entry = self.system.directory.by_key(RoutingKey(key))
        assert entry is not None
        return entry

    def single(self, name: str) -> Any:
        """The reference of an actor of which there is one."""
        return self.system._singles[name]

    def delivered(self, key: str = KEY) -> list[str]:
        """Ids of delivered events in order."""
        return list(self.pagerduty.delivered.get(key, ()))

    def restarts(self, name: str) -> int:
        """How often actors of this kind were restarted."""
        return self.system.restarts[name]

    def wait_until_delivered(self, events: list[EventId], key: str = KEY) -> None:
        """Wait until exactly these events of the key are delivered, in this order."""
        wait_for(lambda: len(self.delivered(key)) >= len(events), f"{len(events)} deliveries")
        assert self.delivered(key) == events

    def make_sequencer_fail(self, key: str = KEY) -> Pending:
        """Make the handler of a tell raise: the look-up of a repeated request's first receipt."""

        def fault(event: EventId) -> None:
            if event == "fatal":
                raise RuntimeError("the disk does not answer")

        self.journal.before_accepted = fault
        return self.accept(key, idempotent("fatal"))


def ask(actors: RunningActors, key: str = KEY) -> Any:
    """The same failure under an `ask`; returns pykka's future."""
    pending = Pending()
    sequencer = actors.entry(key).sequencer
    assert sequencer is not None
    return sequencer.ask(Perform(AcceptEvent(idempotent("fatal")), pending.reply), block=False)
