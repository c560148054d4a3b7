"""The journal of relays on three real servers that are killed, paused and started again."""

from __future__ import annotations

import itertools
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from store.errors import CommitFailedError, EngineSilentError, JournalError, JournalFencedError
from store.nats_log import NatsLog
from store.records import EventId
from tests.engine import Engine
from tests.store.relays import Relay, Relays, all_of
from tests.store.sample_records import FIRST, accepted, append, commit, delivered, started

Opener = Callable[..., Relays]
ALWAYS = -(1 << 40)


@pytest.fixture
def on_engine(tmp_path: Path) -> Iterator[Opener]:
    """Relays on a log of their own on an engine, with the name "relay" or another one."""
    made: list[Relays] = []

    def make(engine: Engine, name: str = "relay") -> Relays:
        made.append(Relays(tmp_path, lambda: NatsLog(engine.urls, name)))
        return made[-1]

    yield make
    for relays in made:
        relays.close()


def test_relays_take_turns_and_an_empty_copy_is_filled_from_what_is_left_of_the_log(
    engine: Engine, on_engine: Opener
) -> None:
    relays = on_engine(engine, f"relays-{secrets.token_hex(4)}")
    first = relays.owner("relay-a", patience=5.0)
    large = bytes(range(256)) * 6_000
    for number in range(10):
        commit(first.journal, FIRST, accepted(f"e{number}"), started(f"e{number}"))
        first.journal.commit([append(FIRST, delivered(f"e{number}"), snapshot=large)])
    first.journal.remove(list(first.journal.entries(FIRST))[:20])
    second = relays.owner("relay-b", patience=5.0)
    with pytest.raises(JournalFencedError, match="relay-b"):
        commit(first.journal, FIRST, accepted("late"))
    expected = all_of(second.journal)
    assert relays.content_of_log() == expected
    assert first.reopened().follow() >= 1
    assert second.rows() == first.rows()
    second.journal.take_over()
    last = second.log.bounds()[1]
    while second.log.bounds()[0] <= last:
        second.journal.clean(spare=ALWAYS)

    assert second.log.size() < 5 * len(large)
    assert relays.content_of_log() == expected


def commit_until_stored(relay: Relay, event: str) -> None:
    """As a JournalWriter and a client do it: recover, look, and commit again."""
    journal = relay.journal
    while True:
        try:
            commit(journal, FIRST, accepted(event))
        except CommitFailedError:
            while True:
                try:
                    journal.recover()
                    break
                except JournalError:
                    continue
            if journal.accepted(EventId(event)) is None:
                continue
        return


def test_nothing_is_lost_or_stored_twice_while_nodes_are_killed(
    own_engine: Engine, on_engine: Opener
) -> None:
    relays = on_engine(own_engine)
    owner = relays.owner("relay-a", patience=1.0)
    done, stored = threading.Event(), []

    def commit_on() -> None:
        for number in itertools.count():
            commit_until_stored(owner, f"e{number}")
            stored.append(number)
            if done.is_set():
                return

    thread = threading.Thread(target=commit_on)
    thread.start()
    try:
        own_engine.wait_for(lambda: len(stored) > 20, "commits")
        own_engine.leader("relay_log").kill()
        own_engine.start()
        stored.clear()
        own_engine.wait_for(lambda: len(stored) > 20, "commits after a crash")
        own_engine.leader("relay_log").pause()
        stored.clear()
        own_engine.wait_for(lambda: len(stored) > 20, "commits under a new leader")
    finally:
        done.set()
        thread.join()
    count = stored[-1] + 1
    for journal in (owner.journal, relays.owner("relay-b", patience=5.0).journal):
        events = [getattr(entry.record, "event", "") for entry in journal.entries(FIRST)]
        assert events == [f"e{number}" for number in range(count)]


def test_without_a_majority_a_commit_fails_in_time_and_works_again_after_it(
    own_engine: Engine, on_engine: Opener
) -> None:
    relays = on_engine(own_engine)
    owner = relays.owner("relay-a", patience=1.0)
    commit(owner.journal, FIRST, accepted("e1"))
    for node in own_engine.nodes[:2]:
        node.kill()
    with pytest.raises(EngineSilentError, match="the engine did not confirm"):
        commit(owner.journal, FIRST, accepted("e2"))
    own_engine.start()

    commit_until_stored(owner, "e3")
    assert relays.content_of_log() == all_of(owner.journal)
