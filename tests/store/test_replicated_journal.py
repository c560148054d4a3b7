"""The journal of a relay: one owner, whatever becomes of answers, messages, copies and disks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pytest

from store.errors import (
    CommitFailedError,
    EngineSilentError,
    JournalError,
    JournalFencedError,
    JournalForeignError,
    LogDamagedError,
    LogNewerError,
)
from store.lmdb_journal import LmdbJournal
from store.log import LogUnavailableError, Message
from store.memory_log import MemoryLog
from store.port import Append
from store.records import EventId
from tests.store.relays import LIMIT, Relay, Relays, all_of
from tests.store.sample_records import (
    FIRST,
    accepted,
    append,
    commit,
    delivered,
    scanned,
    seqs_of,
    started,
)
from tests.store.small_disk import no_more_writes

MANY = 1_000_000


class Breaking(MemoryLog):
    """A handle that loses its engine after `left` further appends.

    With `late`, what it sends then arrives at `deliver_late`.
    """

    left = MANY
    late = False

    def append(self, expected: int, data: bytes) -> int:
        self.connected = self.left > 0 or self.late
        self.delay_appends = 0 if self.left else 1
        seq = super().append(expected, data)
        self.left -= 1
        return seq


class Unreadable(MemoryLog):
    """A handle on which the next `unreadable` reads fail."""

    unreadable = 0

    def read(self, after: int, wait: float = 0.0) -> Iterator[Message]:
        if self.unreadable:
            self.unreadable -= 1
            raise LogUnavailableError("no node gives the message")
        return super().read(after, wait)


@pytest.fixture
def relays(tmp_path: Path) -> Iterator[Relays]:
    relays = Relays(tmp_path)
    yield relays
    relays.close()


def log_of(relay: Relay) -> MemoryLog:
    assert isinstance(relay.log, MemoryLog)
    return relay.log


def has(relay: Relay, event: str) -> bool:
    return relay.journal.accepted(EventId(event)) is not None


def test_nothing_of_an_earlier_owner_gets_in(relays: Relays) -> None:
    old = relays.owner("relay-a")
    commit(old.journal, FIRST, accepted("e1"))
    new = relays.owner("relay-b")
    commit(new.journal, FIRST, accepted("e2", position=2))
    before, messages = relays.content_of_log(), dict(relays.engine.messages)

    for attempt in (
        lambda: commit(old.journal, FIRST, accepted("e3")),
        lambda: old.journal.remove(list(scanned(old.journal))),
        old.journal.recover,
        lambda: commit(old.journal, FIRST, accepted("e3")),
    ):
        with pytest.raises(JournalFencedError, match="relay-b has taken over"):
            attempt()

    assert old.journal.fenced
    assert old.fencings == 1
    assert not new.journal.fenced
    assert relays.engine.messages == messages
    assert relays.content_of_log() == before == all_of(new.journal)
    assert not has(old, "e3")


def test_a_standby_writes_nothing(relays: Relays) -> None:
    relays.owner("relay-a")
    standby = relays.relay("relay-b")
    standby.journal.follow()
    messages = dict(relays.engine.messages)

    with pytest.raises(CommitFailedError, match="standby"):
        commit(standby.journal, FIRST, accepted("e1"))
    standby.journal.recover()

    assert relays.engine.messages == messages


def test_a_commit_whose_answer_is_lost_is_stored_once(relays: Relays) -> None:
    owner = relays.owner("relay-a")
    log_of(owner).lose_answers = 1

    assert commit(owner.journal, FIRST, accepted("e1"), started("e1")) == 2
    assert commit(owner.journal, FIRST, delivered("e1")) == 3
    assert relays.content_of_log() == all_of(owner.journal)
    assert relays.engine.last == 3, "the takeover and two commits"


def test_a_commit_without_an_answer_is_looked_for_until_the_log_can_be_read(
    relays: Relays,
) -> None:
    log = Unreadable(relays.engine)
    owner = relays.owner("relay-a", log=log)
    log.lose_answers, log.unreadable = 1, 2

    assert commit(owner.journal, FIRST, accepted("e1")) == 1
    assert log.unreadable == 0
    assert relays.engine.last == 2, "the takeover and one commit"


def test_a_commit_that_is_sent_again_and_arrives_twice_is_stored_once(relays: Relays) -> None:
    owner = relays.owner("relay-a")
    log_of(owner).delay_appends = 1
    commit(owner.journal, FIRST, accepted("e1"))

    assert log_of(owner).deliver_late() == []
    assert relays.content_of_log() == all_of(owner.journal)


@pytest.mark.parametrize("arrives", ["before", "after", "never"])
def test_a_commit_that_was_given_up_is_stored_before_the_barrier_or_never(
    relays: Relays, arrives: str
) -> None:
    owner = relays.owner("relay-a")
    log_of(owner).delay_appends = MANY
    with pytest.raises(EngineSilentError, match=r"within 0\.3 s"):
        commit(owner.journal, FIRST, accepted("e1"))
    with pytest.raises(CommitFailedError):
        commit(owner.journal, FIRST, accepted("e2"))
    log_of(owner).delay_appends = 0

    stored = len(log_of(owner).deliver_late()) if arrives == "before" else 0
    owner.journal.recover()
    if arrives == "after":
        assert log_of(owner).deliver_late() == []
    assert stored == (arrives == "before")
    assert has(owner, "e1") == (arrives == "before")
    assert commit(owner.journal, FIRST, accepted("e3")) == stored + 1
    assert relays.content_of_log() == all_of(owner.journal)
    assert relays.owner("relay-b").journal.usage().entries == stored + 1


def test_a_commit_on_its_way_is_not_stored_after_a_takeover(relays: Relays) -> None:
    old = relays.owner("relay-a")
    log_of(old).delay_appends = MANY
    with pytest.raises(EngineSilentError):
        commit(old.journal, FIRST, accepted("e1"))
    new = relays.owner("relay-b")

    assert log_of(old).deliver_late() == []
    with pytest.raises(JournalFencedError, match="relay-b"):
        old.journal.recover()
    assert not has(new, "e1")


def test_an_engine_that_is_away_for_a_moment_is_waited_for(relays: Relays) -> None:
    owner = relays.owner("relay-a", patience=30.0)
    log_of(owner).delay_appends = 3
    commit(owner.journal, FIRST, accepted("e1"))

    assert has(owner, "e1")


@pytest.mark.parametrize("who", ["itself", "another relay"])
def test_what_the_log_has_and_the_copy_has_not_comes_back_after_a_crash(
    relays: Relays, who: str
) -> None:
    owner = relays.owner("relay-a")
    commit(owner.journal, FIRST, accepted("e1"))
    log_of(owner).lose_answers = MANY
    with no_more_writes(), pytest.raises(CommitFailedError):
        commit(owner.journal, FIRST, started("e1"), accepted("e2"))
    log_of(owner).lose_answers = 0
    next_one = owner if who == "itself" else relays.relay("relay-b")
    journal = next_one.reopened()
    assert seqs_of(scanned(journal)) == ([1] if who == "itself" else [])

    journal.take_over()

    assert seqs_of(scanned(journal)) == [1, 2, 3]
    assert relays.content_of_log() == all_of(journal)


def test_a_disk_that_fails_behind_the_log_loses_nothing(relays: Relays) -> None:
    owner = relays.owner("relay-a")
    commit(owner.journal, FIRST, accepted("e1"))
    with no_more_writes():
        with pytest.raises(CommitFailedError, match="a commit to the journal failed"):
            commit(owner.journal, FIRST, started("e1"))
        with pytest.raises(CommitFailedError):
            commit(owner.journal, FIRST, delivered("e1"))
        with pytest.raises(CommitFailedError):
            owner.journal.recover()

    owner.journal.recover()
    assert seqs_of(scanned(owner.journal)) == [1, 2]
    assert commit(owner.journal, FIRST, delivered("e1")) == 3
    assert relays.content_of_log() == all_of(owner.journal)


def test_a_standby_has_all_rows_of_the_owner(relays: Relays) -> None:
    owner, standby = relays.owner("relay-a"), relays.relay("relay-b")
    for number in range(30):
        commit(owner.journal, FIRST, accepted(f"e{number}"), started(f"e{number}"))
        owner.journal.commit([append(FIRST, delivered(f"e{number}"), snapshot=b"%d" % number)])
        if number % 10 == 5:
            owner.journal.remove(list(scanned(owner.journal))[:5])
            standby.journal.follow()

    assert standby.journal.lag() > 0
    standby.journal.follow()
    assert standby.journal.lag() == 0
    assert standby.rows() == owner.rows()


def test_a_standby_waits_for_the_next_message(relays: Relays) -> None:
    owner, standby = relays.owner("relay-a"), relays.relay("relay-b")
    assert standby.journal.follow() == 1
    assert standby.journal.follow(wait=0.01) == 0
    commit(owner.journal, FIRST, accepted("e1"))

    assert standby.journal.follow(wait=30.0) == 1
    assert has(standby, "e1")


def test_a_commit_larger_than_a_message_counts_when_all_its_parts_are_there(
    relays: Relays,
) -> None:
    owner = relays.owner("relay-a", log=MemoryLog(relays.engine, max_message=200))
    pieces = (bytes([number]) * 100 for number in range(20))
    body = bytes(range(256)) * 4
    owner.journal.commit(
        [append(FIRST, accepted("e1", body=body)), Append(queue=FIRST, snapshot=pieces)]
    )

    assert relays.engine.last > 10
    assert relays.content_of_log() == all_of(owner.journal)
    snapshot = owner.journal.snapshot(FIRST)
    assert snapshot is not None
    assert snapshot.pieces == tuple(bytes([number]) * 100 for number in range(20))


@pytest.mark.parametrize("parts", [1, 5])
def test_parts_that_a_takeover_interrupts_count_for_nothing(relays: Relays, parts: int) -> None:
    breaking = Breaking(relays.engine, max_message=200)
    old = relays.owner("relay-a", log=breaking)
    commit(old.journal, FIRST, accepted("e1"))
    breaking.left = parts
    with pytest.raises(EngineSilentError):
        commit(old.journal, FIRST, accepted("e2", body=bytes(2_000)))
    assert relays.engine.last == 2 + parts

    new = relays.owner("relay-b", log=MemoryLog(relays.engine, max_message=200))
    new.journal.recover()  # reads these parts again: the older owner's, from before the takeover
    assert commit(new.journal, FIRST, accepted("e3", body=bytes(1_000))) == 2
    breaking.left, breaking.connected = MANY, True
    with pytest.raises(JournalFencedError):
        old.journal.recover()
    assert not has(new, "e2")
    assert relays.content_of_log() == all_of(new.journal)


@pytest.mark.parametrize("late", [False, True])
def test_parts_that_were_given_up_count_if_the_last_one_came_before_the_barrier(
    relays: Relays, late: bool
) -> None:
    breaking = Breaking(relays.engine, max_message=1_000)
    owner = relays.owner("relay-a", log=breaking)
    commit(owner.journal, FIRST, accepted("e1"))
    breaking.left, breaking.late = 1, late
    with pytest.raises(EngineSilentError):
        commit(owner.journal, FIRST, accepted("e2", body=bytes(1_500)))
    breaking.left, breaking.connected = MANY, True
    assert len(breaking.deliver_late()) == late

    owner.journal.recover()

    assert has(owner, "e2") == late
    assert commit(owner.journal, FIRST, accepted("e3", body=bytes(1_500))) == 2 + late
    assert relays.content_of_log() == all_of(owner.journal)


@pytest.mark.parametrize("place", [0, 4, 12, -1])
def test_a_damaged_message_is_named_and_not_applied(relays: Relays, place: int) -> None:
    owner, ahead = relays.owner("relay-a"), relays.relay("relay-b")
    commit(owner.journal, FIRST, accepted("e1"))
    commit(owner.journal, FIRST, accepted("e2"))
    ahead.journal.follow()
    data = bytearray(relays.engine.messages[3])
    data[place] ^= 1
    relays.engine.messages[3] = bytes(data)
    behind = relays.relay("relay-c")

    with pytest.raises(LogDamagedError, match=r"message 3 .* is damaged"):
        behind.journal.follow()
    with pytest.raises(LogDamagedError):
        behind.journal.take_over()
    assert has(behind, "e1")
    assert not has(behind, "e2")
    ahead.journal.take_over()
    assert commit(ahead.journal, FIRST, accepted("e3")) == 3


def test_a_message_of_a_newer_version_is_refused(relays: Relays) -> None:
    owner = relays.owner("relay-a")
    commit(owner.journal, FIRST, accepted("e1"))
    rest = relays.engine.messages[2][5:]
    crc = crc32(rest, 2)
    relays.engine.messages[2] = b"\x02" + crc.to_bytes(4, "big") + rest

    with pytest.raises(LogNewerError, match=r"message 2 .* format 2, .* up to 1: install"):
        relays.relay("relay-b").journal.follow()


def message_of_refusal(relay: Relay) -> str:
    with pytest.raises(JournalForeignError) as refusal:
        relay.journal.follow()
    with pytest.raises(JournalForeignError):
        relay.journal.take_over()
    return str(refusal.value)


def test_a_copy_of_another_log_is_refused(relays: Relays, tmp_path: Path) -> None:
    others = Relays(tmp_path)
    commit(others.owner("relay-a").journal, FIRST, accepted("e1"))
    others.close()

    assert "a copy of another log" in message_of_refusal(relays.relay("relay-a"))


@pytest.mark.parametrize("what", ["fewer messages", "other messages"])
def test_a_log_that_has_lost_messages_is_refused(relays: Relays, what: str) -> None:
    owner = relays.owner("relay-a")
    commit(owner.journal, FIRST, accepted("e1"))
    owner.journal.close()
    del relays.engine.messages[2]
    relays.engine.last = 1
    if what == "other messages":
        commit(relays.owner("relay-b").journal, FIRST, accepted("e2"))
    owner.journal = relays.relay("relay-a").journal

    assert "has message 2, which the engine has lost" in message_of_refusal(owner)


def test_an_agents_own_journal_and_a_relays_copy_are_not_mistaken(
    relays: Relays, tmp_path: Path
) -> None:
    own = LmdbJournal(tmp_path / "own", limit=LIMIT)
    commit(own, FIRST, accepted("e1"))
    own.close()
    with pytest.raises(JournalForeignError, match=r"an agent's own events: .* 'database'"):
        relays.relay("own")

    relays.owner("relay-a").journal.close()
    with pytest.raises(JournalError, match=r"a relay's copy, .* 'database'"):
        LmdbJournal(tmp_path / "relay-a", limit=LIMIT)
