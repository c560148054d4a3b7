"""What the bytes of an answer come to, however they arrive."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdagent.eventsapi.answer import MAX_ANSWER_BYTES, AnswerReader

Outcome = tuple[int, bytes, bool]  # status, body, reusable

WHOLE: dict[str, tuple[bytes, Outcome]] = {
    "length": (b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}", (202, b"{}", True)),
    "no body": (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"", True)),
    "no reason": (b"HTTP/1.1 202\r\nContent-Length: 0\r\n\r\n", (202, b"", True)),
    "chunks": (
        b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n"
        b"Trailer: x\r\n\r\n",
        (400, b"abcde", True),
    ),
    "close": (
        b"HTTP/1.1 202 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
        (202, b"x", False),
    ),
    "old": (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", (200, b"x", False)),
    "continue": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n"
        b"HTTP/1.1 202 OK\r\nContent-Length: 1\r\n\r\nx",
        (202, b"x", True),
    ),
    "switching": (
        b"HTTP/1.1 101 S\r\nUpgrade: h\r\nConnection: upgrade\r\n\r\n",
        (101, b"", False),
    ),
    "switching, no header": (b"HTTP/1.1 101 S\r\n\r\n", (101, b"", False)),
    "odd code": (b"HTTP/1.1 799 Odd\r\nContent-Length: 0\r\n\r\n", (799, b"", True)),
}

CUT: dict[str, tuple[bytes, Outcome]] = {
    "nothing": (b"", (0, b"", False)),
    "half a status line": (b"HTTP/1.1 202 Acc", (0, b"", False)),
    "half a status": (b"HTTP/1.1 20", (0, b"", False)),
    "only a status line": (b"HTTP/1.1 202 Accepted\r\n", (202, b"", False)),
    "half a head": (b"HTTP/1.1 503 No\r\nContent-Le", (503, b"", False)),
    "half a body": (b"HTTP/1.1 202 OK\r\nContent-Length: 9\r\n\r\nabc", (202, b"abc", False)),
    "half a chunk": (
        b"HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
        (202, b"abc", False),
    ),
    "body to the end": (b"HTTP/1.1 400 Bad\r\n\r\nall of it", (400, b"all of it", False)),
    "interim only": (b"HTTP/1.1 100 Continue\r\n\r\n", (0, b"", False)),
    "cut behind an interim": (
        b"HTTP/1.1 100 C\r\nA: b\r\n\r\nHTTP/1.1 202 OK\r\nX",
        (202, b"", False),
    ),
    "half behind an interim": (b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 202 O", (0, b"", False)),
}

GARBLED: dict[str, tuple[bytes, Outcome]] = {
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n", (0, b"", False)),
    "our own request": (b"POST /v2/enqueue HTTP/1.1\r\nHost: x\r\n\r\n", (0, b"", False)),
    "TLS": (b"\x15\x03\x01\x00\x02\x02\x46", (0, b"", False)),
    "a code too long": (b"HTTP/1.1 2020 OK\r\n\r\n", (0, b"", False)),
    "no code": (b"HTTP/1.1 abc OK\r\n\r\n", (0, b"", False)),
    "a bad header": (b"HTTP/1.1 202 OK\r\nBad Header\x00: x\r\n\r\n", (202, b"", False)),
    "a bad length": (b"HTTP/1.1 429 No\r\nContent-Length: many\r\n\r\n", (429, b"", False)),
    "bare line feeds": (b"HTTP/1.1 202 OK\nContent-Length: 0\n\n", (202, b"", False)),
    "a bad chunk": (
        b"HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        (202, b"", False),
    ),
}


def read(*pieces: bytes) -> AnswerReader:
    """Feed the pieces as the connection does, and end where they end."""
    reader = AnswerReader()
    for piece in pieces:
        if not reader.complete:
            reader.feed(piece)
    if not reader.complete:
        reader.end()
    return reader


def outcome(reader: AnswerReader) -> Outcome:
    return reader.status, reader.body, reader.reusable


ALL = WHOLE | CUT | GARBLED


@pytest.mark.parametrize("name", ALL)
def test_an_answer_is_read_in_one_piece(name: str) -> None:
    received, expected = ALL[name]
    reader = read(received)
    assert outcome(reader) == expected
    assert reader.garbled == (name in GARBLED and expected[0] == 0)


@pytest.mark.parametrize("name", ALL)
def test_an_answer_is_read_byte_by_byte(name: str) -> None:
    received, expected = ALL[name]
    assert outcome(read(*(bytes([byte]) for byte in received))) == expected


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_answer_is_complete_before_the_connection_ends(name: str) -> None:
    reader = AnswerReader()
    reader.feed(WHOLE[name][0])
    assert reader.complete


def test_answers_of_one_connection_are_read_one_after_the_other() -> None:
    reader = AnswerReader()
    for name in ("length", "continue", "chunks", "no body", "length"):
        reader.start()
        reader.feed(WHOLE[name][0])
        assert outcome(reader) == WHOLE[name][1]


@pytest.mark.parametrize("more", [b"HTTP/1.1 202 OK\r\n", b"H", b"garbage", b"\x00"])
def test_a_connection_with_more_bytes_than_the_answer_is_not_used_again(more: bytes) -> None:
    reader = read(WHOLE["length"][0] + more)
    assert outcome(reader) == (202, b"{}", False)


def test_retry_after_is_found_in_any_spelling_and_only_in_the_final_answer() -> None:
    interim = b"HTTP/1.1 100 C\r\nRetry-After: 1\r\n\r\n"
    assert read(interim + WHOLE["length"][0]).retry_after is None
    for name in (b"Retry-After", b"retry-after", b"RETRY-AFTER"):
        reader = read(b"HTTP/1.1 429 No\r\n" + name + b": 7 \r\nContent-Length: 0\r\n\r\n")
        assert (reader.retry_after or "").strip() == "7"


def test_no_more_than_64_kib_are_kept() -> None:
    reader = AnswerReader()
    reader.feed(b"HTTP/1.1 400 Bad\r\nContent-Length: 999999999\r\n\r\n")
    while not reader.complete:
        reader.feed(b"x" * min(16_384, reader.room))
    assert outcome(reader) == (400, reader.body, False)
    assert MAX_ANSWER_BYTES - 100 < len(reader.body) < MAX_ANSWER_BYTES


def test_a_head_without_end_has_its_status() -> None:
    reader = AnswerReader()
    reader.feed(b"HTTP/1.1 202 OK\r\nX: ")
    while not reader.complete:
        reader.feed(b"x" * min(16_384, reader.room))
    assert outcome(reader) == (202, b"", False)


def test_interim_answers_without_end_are_no_answer() -> None:
    reader = AnswerReader()
    while not reader.complete:
        reader.feed((b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)[: reader.room])
    assert outcome(reader) == (0, b"", False)
    assert reader.garbled


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_no_bytes_raise(pieces: list[bytes]) -> None:
    read(*pieces)


@given(st.sampled_from(list(WHOLE)), st.lists(st.integers(0, 200), max_size=8))
def test_it_does_not_matter_where_an_answer_is_split(name: str, cuts: list[int]) -> None:
    received, expected = WHOLE[name]
    edges = sorted({0, len(received), *(cut for cut in cuts if cut < len(received))})
    pieces = [received[start:end] for start, end in pairwise(edges)]
    assert outcome(read(*pieces)) == expected
