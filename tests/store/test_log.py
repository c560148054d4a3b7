"""The contract of `store.log.Log`: the same tests for the engine and for its twin in memory."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator

import pytest

from store.log import Log, LogConflictError, LogTrimmedError, LogUnavailableError, Message
from tests.both_logs import LogOpener


@pytest.fixture
def log(open_log: LogOpener) -> Log:
    """A handle on an empty log."""
    return open_log()


def numbers(messages: Iterator[Message]) -> list[int]:
    """The numbers of messages."""
    return [message.seq for message in messages]


def test_an_empty_log_begins_at_one(log: Log) -> None:
    assert log.bounds() == (1, 0)
    assert list(log.read(0)) == []


def test_messages_are_read_by_all_in_the_order_of_their_numbers(open_log: LogOpener) -> None:
    one, other = open_log(), open_log()
    data = [secrets.token_bytes(10 * i) for i in range(1, 6)]
    for number, text in enumerate(data):
        assert one.append(number, text) == number + 1
    assert list(other.read(0)) == [Message(i + 1, text) for i, text in enumerate(data)]
    assert numbers(other.read(3)) == [4, 5]
    assert numbers(other.read(5)) == []
    assert other.bounds() == one.bounds() == (1, 5)


def test_a_message_may_be_empty_and_as_large_as_is_promised(log: Log) -> None:
    largest = secrets.token_bytes(log.max_message)
    log.append(0, b"")
    log.append(1, largest)
    assert [message.data for message in log.read(0)] == [b"", largest]
    with pytest.raises(ValueError, match="at most"):
        log.append(2, largest + b"x")
    assert log.bounds() == (1, 2)


def test_only_one_writer_gets_a_number(open_log: LogOpener) -> None:
    one, other = open_log(), open_log()
    assert one.append(0, b"first") == 1
    for expected in (0, 2):
        with pytest.raises(LogConflictError):
            other.append(expected, b"late")
    assert other.append(1, b"second") == 2
    assert [message.data for message in one.read(0)] == [b"first", b"second"]


def test_of_writers_at_the_same_time_one_wins_each_number(open_log: LogOpener) -> None:
    won: list[int] = []

    def write(log: Log) -> None:
        for expected in range(20):
            try:
                won.append(log.append(expected, b"x"))
            except LogConflictError:
                while log.bounds()[1] <= expected:
                    pass

    writers = [threading.Thread(target=write, args=(open_log(),)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(won) == list(range(1, 21))


def test_a_reader_waits_for_the_next_message(open_log: LogOpener) -> None:
    reader, writer = open_log(), open_log()
    begin = time.monotonic()
    assert list(reader.read(0, wait=0.2)) == []
    assert time.monotonic() - begin >= 0.2
    for number in range(3):
        late = threading.Timer(0.1, writer.append, (number, b"late"))
        late.start()
        assert numbers(reader.read(number, wait=30)) == [number + 1]
        late.join()


def test_a_reader_may_stop_in_the_middle_and_begin_again(log: Log) -> None:
    for number in range(5):
        log.append(number, b"x")
    assert next(log.read(0)).seq == 1
    first = log.read(1)
    assert next(first).seq == 2
    assert numbers(log.read(3)) == [4, 5]
    assert numbers(first) == [3, 4, 5]


def test_what_is_trimmed_is_gone_and_numbers_go_on(open_log: LogOpener) -> None:
    log, other = open_log(), open_log()
    for number in range(6):
        log.append(number, b"x" * 1_000)
    full = log.size()
    assert full >= 6_000
    log.trim(3)
    assert log.bounds() == other.bounds() == (4, 6)
    assert log.size() < full
    assert numbers(other.read(3)) == [4, 5, 6]
    with pytest.raises(LogTrimmedError) as caught:
        list(other.read(1))
    assert caught.value.first == 4
    log.trim(2)
    assert log.bounds() == (4, 6)


def test_a_log_that_is_trimmed_to_its_end_keeps_its_numbers(open_log: LogOpener) -> None:
    log = open_log()
    for number in range(4):
        log.append(number, b"x")
    log.trim(4)
    assert log.bounds() == (5, 4)
    assert list(log.read(4)) == []
    with pytest.raises(LogTrimmedError) as caught:
        list(log.read(0))
    assert caught.value.first == 5
    with pytest.raises(LogConflictError):
        log.append(0, b"x")
    assert open_log().append(4, b"next") == 5
    assert log.bounds() == (5, 5)


def test_the_table_keeps_the_last_value_of_each_key(open_log: LogOpener) -> None:
    one, other = open_log(), open_log()
    assert one.get("lease") is None
    first = one.put("lease", b"a")
    row = other.get("lease")
    assert row is not None and (row.revision, row.value) == (first, b"a")
    second = other.put("lease", b"")
    assert second > first
    row = one.get("lease")
    assert row is not None and (row.revision, row.value) == (second, b"")


def test_a_row_is_written_only_over_the_revision_that_is_expected(open_log: LogOpener) -> None:
    one, other = open_log(), open_log()
    first = one.put("lease", b"one", expected=0)
    with pytest.raises(LogConflictError):
        other.put("lease", b"other", expected=0)
    second = other.put("lease", b"other", expected=first)
    with pytest.raises(LogConflictError):
        one.put("lease", b"one", expected=first)
    # Rows are independent of each other and of the log.
    one.put("status", b"x", expected=0)
    one.append(0, b"x")
    assert one.put("lease", b"one", expected=second) > second


def test_rows_are_found_by_the_beginning_of_their_keys(open_log: LogOpener) -> None:
    log = open_log()
    assert log.rows("hosts/") == {}
    for number in range(10):
        log.put(f"hosts/{number}", b"old")
        log.put(f"hosts/{number}", b"%d" % number)
    log.put("host", b"x")
    log.put("lease", b"x")
    found = open_log().rows("hosts/")
    assert {key: row.value for key, row in found.items()} == {
        f"hosts/{number}": b"%d" % number for number in range(10)
    }
    assert all(log.get(key) == row for key, row in found.items())


def test_all_who_open_a_log_see_the_same_identity(open_log: LogOpener) -> None:
    one = open_log()
    assert len(one.identity) >= 16
    one.append(0, b"x")
    assert open_log().identity == one.identity


def test_a_closed_log_is_unavailable_and_ends_what_waits_on_it(log: Log) -> None:
    threading.Timer(0.1, log.close).start()
    begin = time.monotonic()
    with pytest.raises(LogUnavailableError):
        list(log.read(0, wait=60))
    assert time.monotonic() - begin < 10
    for call in (log.bounds, lambda: log.append(0, b"x"), lambda: log.get("lease"), log.close):
        if call == log.close:
            call()
        else:
            with pytest.raises(LogUnavailableError):
                call()
