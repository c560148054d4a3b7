"""How many rows LMDB has to write: each costs a page and a chance to lose the interpreter lock."""

from __future__ import annotations

from collections.abc import Callable

from store.lmdb_journal import LmdbJournal
from store.records import EventId, Record
from tests.store.sample_records import FIRST, SECOND, accepted, append, delivered, started

Open = Callable[[], LmdbJournal]


def rows_for(journal: LmdbJournal, *appends: list[Record]) -> tuple[int, int]:
    """How many rows of records, and of the index of events, one commit of these adds."""

    def counted() -> tuple[int, int]:
        with journal._env.begin() as txn:
            tables = journal._tables
            return txn.stat(tables.journal)["entries"], txn.stat(tables.events)["entries"]

    before = counted()
    queues = (FIRST, SECOND)
    journal.commit([append(queues[n % 2], *records) for n, records in enumerate(appends)])
    after = counted()
    return after[0] - before[0], after[1] - before[1]


def test_an_append_is_one_row_and_an_accepted_event_one_more(open_lmdb: Open) -> None:
    journal = open_lmdb()
    assert rows_for(journal, [accepted("e1"), started("e1")]) == (1, 1)
    assert rows_for(journal, [delivered("e1"), started("e2")]) == (1, 0)
    assert rows_for(journal, [accepted("e3")], [accepted("e4")]) == (2, 2)
    many = [accepted(f"m{number}", body=bytes(50)) for number in range(60)]
    assert rows_for(journal, list(many)) == (1, 60)
    assert journal.usage().entries == 66
    assert journal.accepted(EventId("m30")) is not None


def test_records_that_fill_more_than_four_pages_are_split(open_lmdb: Open) -> None:
    large = [accepted(f"l{number}", body=bytes(6_000)) for number in range(4)]
    assert rows_for(open_lmdb(), list(large)) == (2, 4)
