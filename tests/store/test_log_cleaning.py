"""The log is cleaned: what is left of it fills an empty copy, and commits go on meanwhile."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.errors import EngineSilentError, JournalBehindError
from store.memory_log import MemoryLog
from store.port import Append
from store.records import QueueId, RoutingKey
from store.replicated_journal import ReplicatedJournal
from tests.store.relays import Relay, Relays, all_of
from tests.store.sample_records import (
    FIRST,
    KEYS,
    accepted,
    append,
    commit,
    delivered,
    scanned,
    seqs_of,
    started,
)

ALWAYS = -(1 << 40)
"""Bytes to spare with which any log is too large."""


@pytest.fixture
def relays(tmp_path: Path) -> Iterator[Relays]:
    relays = Relays(tmp_path)
    yield relays
    relays.close()


def clean_all(journal: ReplicatedJournal, relays: Relays) -> None:
    """Pass over everything that is in the log now."""
    last = relays.engine.last
    while relays.engine.first <= last:
        assert journal.clean(spare=ALWAYS, step=1_000)


class Life:
    """Does to the owner's journal what an agent does, by small numbers; two relays take turns."""

    def __init__(self, relays: Relays, max_message: int) -> None:
        names = ("relay-a", "relay-b")
        logs = [MemoryLog(relays.engine, max_message=max_message) for _ in names]
        self.owner, self.standby = (
            relays.relay(name, log=log) for name, log in zip(names, logs, strict=True)
        )
        self.owner.journal.take_over()
        self._events = 0
        self._queues: dict[int, QueueId] = {}

    def queue(self, number: int) -> QueueId:
        """The queue of a routing key: another one after it was forgotten."""
        known = len(self._queues) and max(self._queues.values())
        return self._queues.setdefault(number, QueueId(known + 1))

    def commit(self, number: int, events: int, size: int, pieces: int) -> None:
        """Accept some events of a key and deliver all but the last; save its state in pieces."""
        records = []
        for _ in range(events):
            self._events += 1
            event = f"e{self._events}"
            records += [accepted(event, body=bytes(size)), started(event), delivered(event)]
        snapshot = [b"%d" % self._events * 20 for _ in range(pieces)] if pieces else None
        queue = self.queue(number)
        self.owner.journal.commit(
            [
                Append(queue=queue, records=records[:-1], routing_key=RoutingKey(f"key {number}")),
                Append(queue=queue, snapshot=snapshot),
            ]
        )

    def remove(self, number: int, begin: int, count: int) -> None:
        """Remove some entries of a queue."""
        entries = list(self.owner.journal.entries(self.queue(number)))
        self.owner.journal.remove(entries[begin : begin + count])

    def forget(self, number: int, count: int) -> None:
        """Forget a queue, which the journal only does if it is empty."""
        journal, key = self.owner.journal, RoutingKey(f"key {number}")
        queue = self.queue(number)
        journal.commit([Append(queue=queue, routing_key=key, forget={"accepted": count})])
        if queue not in journal.queues():
            del self._queues[number]
            self._queues[-queue] = queue  # its number is not given again

    def clean(self, steps: int) -> None:
        """Clean the oldest messages."""
        for _ in range(steps):
            self.owner.journal.clean(spare=ALWAYS, step=1)

    def follow(self) -> None:
        """The standby catches up."""
        self.standby.journal.follow()

    def change_over(self) -> None:
        """The standby takes over; the owner becomes a standby, in a new process."""
        self.standby.journal.take_over()
        self.owner.reopened()
        self.owner, self.standby = self.standby, self.owner


keys = st.integers(0, 2)
some = st.integers(1, 6)
STEPS: dict[str, tuple[Callable[..., None], tuple[st.SearchStrategy[int], ...]]] = {
    "commit": (Life.commit, (keys, some, st.sampled_from((2, 500)), st.integers(0, 3))),
    "remove": (Life.remove, (keys, st.integers(0, 5), st.integers(1, 30))),
    "remove all": (Life.remove, (keys, st.just(0), st.just(1_000))),
    "forget": (Life.forget, (keys, some)),
    "clean": (Life.clean, (some,)),
    "follow": (Life.follow, ()),
    "change over": (Life.change_over, ()),
}
step = st.sampled_from(sorted(STEPS)).flatmap(
    lambda name: st.tuples(st.just(name), st.tuples(*STEPS[name][1]))
)


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(step, min_size=5, max_size=40), max_message=st.sampled_from((300, 1 << 20)))
def test_an_empty_an_old_and_a_complete_copy_come_to_the_same_journal(
    steps: list[tuple[str, tuple[Any, ...]]], max_message: int
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        relays = Relays(Path(directory))
        try:
            life = Life(relays, max_message)
            for name, arguments in steps:
                STEPS[name][0](life, *arguments)
            expected = all_of(life.owner.journal)
            assert relays.content_of_log() == expected
            life.follow()
            assert all_of(life.standby.journal) == expected
            clean_all(life.owner.journal, relays)
            assert all_of(life.owner.journal) == expected
            assert relays.content_of_log() == expected
        finally:
            relays.close()


def test_a_copy_that_follows_has_the_owners_rows_while_the_log_is_cleaned(relays: Relays) -> None:
    life = Life(relays, 1_000)
    for number in range(20):
        life.commit(number % 3, 3, 100, number % 2)
        life.remove(number % 3, 1, 2)
        life.clean(2)
        life.follow()

    assert relays.engine.first > 20
    assert life.standby.rows() == life.owner.rows()


def test_a_queue_that_had_entries_when_it_was_to_be_forgotten_keeps_its_snapshot(
    relays: Relays,
) -> None:
    owner = relays.owner("relay-a")
    commit(owner.journal, FIRST, accepted("e1"))
    owner.journal.commit([append(FIRST, snapshot=b"state")])
    owner.journal.commit([Append(queue=FIRST, routing_key=KEYS[FIRST], forget={"accepted": 1})])
    for _ in range(2):
        assert owner.journal.clean(spare=ALWAYS, step=1)

    assert relays.engine.first == 3, "the snapshot is read before the entries"
    assert relays.content_of_log() == all_of(owner.journal)


def churn(relay: Relay, count: int) -> None:
    """So many events come and go."""
    for number in range(count):
        commit(relay.journal, FIRST, accepted(f"e{number}", body=bytes(5_000)))
        relay.journal.remove(list(relay.journal.entries(FIRST)))


def test_a_log_stays_in_proportion_to_what_is_alive(relays: Relays) -> None:
    owner = relays.owner("relay-a")
    commit(owner.journal, FIRST, accepted("stays"))
    for _ in range(10):
        churn(owner, 20)
        while owner.journal.clean(spare=50_000, step=20_000):
            assert relays.engine.last < 10_000
        assert owner.log.size() <= 2 * owner.journal.usage().used + 50_000

    commit(owner.journal, FIRST, started("stays"))
    assert not owner.journal.clean(), "there is plenty to spare"
    assert relays.content_of_log() == all_of(owner.journal)


def test_a_copy_that_is_too_old_is_filled_anew(relays: Relays) -> None:
    owner, standby = relays.owner("relay-a"), relays.relay("relay-b")
    commit(owner.journal, FIRST, accepted("old"), accepted("kept", position=2))
    standby.journal.follow()
    old, _ = owner.journal.entries(FIRST)
    owner.journal.remove([old])
    commit(owner.journal, FIRST, started("kept"))
    clean_all(owner.journal, relays)

    standby.journal.follow()
    assert seqs_of(scanned(standby.journal)) == [2, 3]
    assert all_of(standby.reopened()) == all_of(owner.journal)
    standby.journal.take_over()
    assert commit(standby.journal, FIRST, delivered("kept")) == 4


def test_what_could_not_be_appended_again_is_not_trimmed_later(relays: Relays) -> None:
    log = MemoryLog(relays.engine)
    owner = relays.owner("relay-a", log=log)
    for number in range(10):
        commit(owner.journal, FIRST, accepted(f"e{number}"))
    assert owner.journal.clean(spare=ALWAYS, step=300)
    log.delay_appends = 1_000
    with pytest.raises(EngineSilentError):
        owner.journal.clean(spare=ALWAYS, step=300)
    log.delay_appends = 0
    owner.journal.recover()
    assert owner.journal.clean(spare=ALWAYS, step=300)

    assert relays.content_of_log() == all_of(owner.journal)


def test_a_cleaning_that_failed_fails_no_commit_once_the_engine_answers(relays: Relays) -> None:
    log = MemoryLog(relays.engine)
    owner = relays.owner("relay-a", log=log)
    commit(owner.journal, FIRST, accepted("e1"))
    log.delay_appends = 1_000
    with pytest.raises(EngineSilentError):
        owner.journal.clean(spare=ALWAYS)
    with pytest.raises(EngineSilentError):
        commit(owner.journal, FIRST, accepted("e2"))
    log.delay_appends = 0
    assert commit(owner.journal, FIRST, accepted("e3")) == 2
    assert log.deliver_late() == [], "a barrier is before all that was given up"

    log.delay_appends = 1_000
    with pytest.raises(EngineSilentError):
        commit(owner.journal, FIRST, accepted("e4"))
    log.delay_appends = 0
    with pytest.raises(JournalBehindError, match="after a failed commit"):
        commit(owner.journal, FIRST, accepted("e5"))
    with pytest.raises(JournalBehindError, match="after a failed commit"):
        owner.journal.clean(spare=ALWAYS)
    owner.journal.recover()
    assert owner.journal.clean(spare=ALWAYS)
    assert relays.content_of_log() == all_of(owner.journal)


def test_only_the_owner_cleans(relays: Relays) -> None:
    old = relays.owner("relay-a")
    churn(old, 5)
    new = relays.owner("relay-b")
    standby = relays.relay("relay-c")
    standby.journal.follow()
    bounds = new.log.bounds()

    assert not standby.journal.clean(spare=ALWAYS)
    with pytest.raises(Exception, match="relay-b has taken over"):
        old.journal.clean(spare=ALWAYS)
    assert new.log.bounds() == bounds


def test_commits_go_on_while_the_log_is_cleaned_and_a_copy_is_filled(relays: Relays) -> None:
    owner = relays.owner("relay-a")
    churn(owner, 50)
    done = threading.Event()
    cleaned = []

    def clean() -> None:
        while not done.is_set():
            cleaned.append(owner.journal.clean(spare=ALWAYS, step=10_000))

    thread = threading.Thread(target=clean)
    thread.start()
    try:
        deadline = time.monotonic() + 30
        number = 0
        while (number < 100 or len(cleaned) < 20) and time.monotonic() < deadline:
            number += 1
            owner.journal.commit([append(FIRST, accepted(f"n{number}"), snapshot=b"%d" % number)])
            if number % 20 == 0:
                reader = relays.relay(f"reader at {number}")
                reader.journal.follow()
    finally:
        done.set()
        thread.join()

    assert relays.content_of_log() == all_of(owner.journal)
    assert owner.journal.usage().entries == number
