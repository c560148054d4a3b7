"""Lists agree with the states of queues and with the journal, in pages of any size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.core.state import QueueState
from actors.directory import QueueEntry
from pdagent.operating import listing
from pdagent.operating.listing import BadCursor, Cursor, Listing
from pdagent.operating.lives import life_of
from pdagent.operating.names import QueueNames
from pdagent.operating.rows import DEAD, ENDED, STATES, WAITING, EventRow
from store.lmdb_journal import LmdbJournal
from store.records import (
    AcceptedEntry,
    DeliveryStarted,
    Entry,
    EventDelivered,
    EventDiscarded,
    EventId,
    QueueId,
)
from tests.lived_journal import LIMIT, key_of, live
from tests.store.sample_records import scanned

NAMES = QueueNames({"database": key_of(1)})


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[QueueId, QueueState]]:
    directory = tmp_path_factory.mktemp("lived") / "journal"
    return directory, live(directory, seed=4, steps=900)


@pytest.fixture
def journal(lived: tuple[Path, dict[QueueId, QueueState]]) -> Iterator[LmdbJournal]:
    reader = LmdbJournal(lived[0], limit=LIMIT)
    yield reader
    reader.close()


@pytest.fixture
def queues(lived: tuple[Path, dict[QueueId, QueueState]]) -> list[QueueEntry]:
    return [
        QueueEntry(id=queue, routing_key=key_of(queue), state=state)
        for queue, state in lived[1].items()
    ]


def everything(made: Listing, limit: int) -> list[EventRow]:
    rows, after = [], None
    while True:
        page = made.page(limit, after)
        assert len(page.events) <= limit
        rows += page.events
        if page.next is None:
            return rows
        after = Cursor.parse(page.next)


def expected_ids(
    journal: LmdbJournal, queues: list[QueueEntry], states: tuple[str, ...]
) -> list[str]:
    """What a list of these states holds, in its order, by the simplest way there is."""
    dead = [id_ for queue in queues for id_ in queue.state.dead if DEAD in states]
    waiting = [
        event.id
        for queue in queues
        for event in queue.state.waiting.values()
        if event.state in states
    ]
    kinds: dict[type, str] = {EventDelivered: "delivered", EventDiscarded: "discarded"}
    ids = {queue.id for queue in queues}
    ended = [
        entry.record.event
        for entry in journal.backwards()
        if isinstance(entry.record, EventDelivered | EventDiscarded)
        and kinds[type(entry.record)] in states
        and entry.queue in ids
    ]
    return [*dead, *waiting, *ended]


@pytest.mark.parametrize("limit", [1, 3, 50, 1000])
@pytest.mark.parametrize(
    "states",
    [STATES, WAITING, (DEAD,), ENDED, ("queued",), ("deferred", "in_flight"), ("discarded",)],
)
def test_pages_hold_every_event_once_and_in_order(
    journal: LmdbJournal, queues: list[QueueEntry], states: tuple[str, ...], limit: int
) -> None:
    for some in (queues, queues[1:2], []):
        rows = everything(Listing(journal, NAMES, some, states), limit)
        assert [row.id for row in rows] == expected_ids(journal, some, states)
        assert {row.state for row in rows} <= set(states)


def test_a_search_that_finds_little_comes_in_pages_that_hold_little(
    journal: LmdbJournal, queues: list[QueueEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_MOST_READ", 7)
    rows = everything(Listing(journal, NAMES, queues, ("discarded",)), 1000)
    assert [row.id for row in rows] == expected_ids(journal, queues, ("discarded",))


def test_attempts_are_counted_right_or_not_told(
    journal: LmdbJournal, queues: list[QueueEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: Counter[str] = Counter()
    for entry in scanned(journal):
        if isinstance(entry.record, DeliveryStarted):
            attempts[entry.record.event] = entry.record.attempt
    rows = everything(Listing(journal, NAMES, queues, ENDED), 1000)
    assert len(rows) > 30
    assert all(row.attempts in (attempts[row.id], None) for row in rows)
    assert sum(row.attempts is None for row in rows) < len(rows) / 2
    monkeypatch.setattr(listing, "_MOST_READ_FOR_ALL_ATTEMPTS", 20)
    few = everything(Listing(journal, NAMES, queues, ENDED), 1000)
    assert [row.id for row in few] == [row.id for row in rows]
    assert all(row.attempts in (attempts[row.id], None) for row in few)
    assert few[-1].attempts is None


def test_a_list_says_of_what_has_ended_what_its_life_says(
    lived: tuple[Path, dict[QueueId, QueueState]], journal: LmdbJournal, queues: list[QueueEntry]
) -> None:
    rows = everything(Listing(journal, NAMES, queues, ENDED), 1000)
    told = [row for row in rows if row.attempts is not None]
    for row in told:
        event = journal.accepted(EventId(row.id))
        assert event is not None
        life = life_of(journal, event, key=key_of(event.queue), name=row.queue, letter=None)
        assert life is not None and life.row == row
    # A discarded dead letter is no riddle, nor is an event whose attempt was cut short.
    errors = {row.state: {"none"} for row in told}
    for row in told:
        errors[row.state].add((row.last_error or "none").partition(":")[0])
    assert errors["discarded"] >= {"http_400", "none"}
    assert errors["delivered"] >= {"server_error", "rate_limited", "a test", "none"}


class FrugalJournal(LmdbJournal):
    """Counts the events that are looked up; whatever reads more than one record is refused."""

    looked_up = 0

    def accepted(self, event: EventId) -> AcceptedEntry | None:
        self.looked_up += 1
        return super().accepted(event)

    def entries(self, queue: QueueId, after: int = 0) -> Iterator[Entry]:
        raise AssertionError("a list must not read what has been")

    def scan(self) -> Iterator[Entry]:
        raise AssertionError("a list must not read what has been")

    def backwards(self, before: int | None = None, queue: QueueId | None = None) -> Iterator[Entry]:
        raise AssertionError("a list must not read what has been")


def test_a_page_of_what_has_not_ended_costs_what_it_shows(
    lived: tuple[Path, dict[QueueId, QueueState]], queues: list[QueueEntry]
) -> None:
    """However many events were ever delivered."""
    reader = FrugalJournal(lived[0], limit=LIMIT)
    page = Listing(reader, NAMES, queues, (*WAITING, DEAD)).page(10)
    assert len(page.events) == 10
    assert reader.looked_up == 10, "one summary for each row"
    reader.close()


def test_rows_name_their_queue(journal: LmdbJournal, queues: list[QueueEntry]) -> None:
    rows = everything(Listing(journal, NAMES, queues, STATES), 1000)
    assert {row.queue for row in rows} == {"database", "0000…0002", "0000…0003"}


@pytest.mark.parametrize("text", ["", "1", "1.2", "1.2.3.4", "3.0.0", "a.b.c", "-1.0.0", "1.².3"])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(BadCursor):
        Cursor.parse(text)
    assert str(Cursor.parse("2.0.17")) == "2.0.17"
