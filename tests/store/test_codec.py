"""A journal value tells whether it is what was written, and where."""

from __future__ import annotations

import struct
import zlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store import codec, records, version_1
from store.codec import BadRecordError, key_of, queue_key, sealed
from store.records import Entry, EventId, QueueId, Record, event_of
from tests.store.sample_records import accepted, started

RECORD_TYPES: list[type[Record]] = [
    records.EventAccepted,
    records.DeliveryStarted,
    records.DeliveryDeferred,
    records.EventDelivered,
    records.EventDeadLettered,
    records.EventRetried,
    records.EventDiscarded,
    records.QueueHeld,
    records.QueueReleased,
    records.ActorRestarted,
]

PLACE = queue_key(QueueId(3), 7)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
instants = st.floats(0, 4e9)
whole = st.integers(1, 2**63 - 1)
numbers_of_queues = st.integers(1, 2**32 - 1).map(QueueId)
st.register_type_strategy(str, texts)
expectations = st.builds(
    records.Expectation, by=instants, event=texts.map(EventId), body=st.binary(max_size=200)
)
fields: dict[str, st.SearchStrategy[object]] = {
    "event": texts.map(EventId),
    "position": whole,
    "attempt": whole,
    "status": st.integers(200, 299),
    "kind": st.sampled_from(["v1", "v2", "change"]),
    "body": st.binary(max_size=200),
    "fingerprint": st.binary(max_size=16),
    "counts": st.none() | st.booleans(),
    "link_failing": st.booleans(),
    "passed": st.lists(texts, max_size=3).map(tuple),
    "warnings": st.lists(texts, max_size=3).map(tuple),
    "forced": st.booleans(),
    "at": instants,
    "occurred_at": st.none() | instants,
    "job": st.none() | st.builds(records.JobReport, expected=st.none() | expectations),
    "retry_at": instants,
    "seconds": st.floats(0, 100),
}


def a(kind: type[Record]) -> st.SearchStrategy[Record]:
    """Any record of one type."""
    return st.builds(kind, **{name: fields.get(name, texts) for name in kind.__struct_fields__})


def encode(seq: int, queue: QueueId, record: Record) -> bytes:
    """The value of the row of one record."""
    [(key, value)] = codec.rows_of(queue, [(seq, record)])
    assert key == queue_key(queue, seq)
    return value


def decode(key: bytes, value: bytes) -> Entry:
    """The entry of a row of one record."""
    [entry] = codec.entries_in(key, value)
    return entry


any_record = st.one_of([a(kind) for kind in RECORD_TYPES])


def test_every_record_type_is_in_this_test() -> None:
    assert set(RECORD_TYPES) == set(Record.__args__)


@pytest.mark.parametrize("kind", RECORD_TYPES, ids=lambda kind: kind.__name__)
def test_a_record_comes_back_as_it_was(kind: type[Record]) -> None:
    @settings(max_examples=50)
    @given(seq=whole, queue=numbers_of_queues, record=a(kind))
    def check(seq: int, queue: QueueId, record: Record) -> None:
        assert decode(queue_key(queue, seq), encode(seq, queue, record)) == Entry(
            seq, queue, record
        )

    check()


@pytest.mark.parametrize("kind", RECORD_TYPES, ids=lambda kind: kind.__name__)
def test_a_records_tag_on_disk_is_its_name(kind: type[Record]) -> None:
    assert kind.__struct_config__.tag == kind.__name__


@settings(max_examples=40, deadline=None)
@given(record=any_record, bit=st.integers(0, 7))
def test_every_flipped_bit_in_every_byte_is_noticed(record: Record, bit: int) -> None:
    value = encode(7, QueueId(3), record)
    for place in range(len(value)):
        damaged = bytearray(value)
        damaged[place] ^= 1 << bit
        with pytest.raises(BadRecordError):
            decode(PLACE, bytes(damaged))


@settings(max_examples=40)
@given(record=any_record)
def test_a_value_cut_short_anywhere_is_noticed(record: Record) -> None:
    value = encode(7, QueueId(3), record)
    for length in range(len(value)):
        with pytest.raises(BadRecordError):
            decode(PLACE, value[:length])


@given(record=any_record, tail=st.binary(min_size=1, max_size=8))
def test_bytes_behind_a_record_are_noticed(record: Record, tail: bytes) -> None:
    with pytest.raises(BadRecordError):
        decode(PLACE, encode(7, QueueId(3), record) + tail)


@given(record=any_record, queue=numbers_of_queues, seq=whole, other=numbers_of_queues, at=whole)
def test_a_record_at_the_wrong_place_is_noticed(
    record: Record, queue: QueueId, seq: int, other: QueueId, at: int
) -> None:
    if (queue, seq) == (other, at):
        return
    with pytest.raises(BadRecordError, match="checksum"):
        decode(queue_key(other, at), encode(seq, queue, record))


def row_with(body: bytes) -> bytes:
    """The value of a row with one record whose msgpack is `body`."""
    head = len(encode(7, QueueId(3), started("e1"))) - len(msgspec.msgpack.encode(started("e1")))
    crc = zlib.crc32(body, zlib.crc32(PLACE))
    assert head == 11
    return b"\x02" + struct.pack(">HII", 0, len(body), crc) + body


def test_a_record_with_an_unknown_tag_is_refused_and_its_tag_is_named() -> None:
    body = msgspec.msgpack.encode(["EventTranslated", "e1", 1.0])
    with pytest.raises(BadRecordError, match="EventTranslated"):
        decode(PLACE, row_with(body))


def test_a_record_of_a_newer_format_is_refused_and_both_versions_are_named() -> None:
    value = encode(7, QueueId(3), started("e1"))
    newer = bytes([codec.FORMAT_VERSION + 1]) + value[1:]
    with pytest.raises(BadRecordError, match="format 3 is unknown, this program knows 2"):
        decode(PLACE, newer)


def test_a_record_without_a_field_that_it_needs_is_refused() -> None:
    with pytest.raises(BadRecordError, match="at least"):
        decode(PLACE, row_with(msgspec.msgpack.encode(["DeliveryStarted", "e1"])))


def test_a_field_that_a_later_version_added_does_not_harm() -> None:
    body = msgspec.msgpack.encode(["DeliveryStarted", "e1", 1, 2.0, "proxy"])
    assert decode(PLACE, row_with(body)) == Entry(7, QueueId(3), started("e1"))


def test_a_record_written_before_a_field_was_added_reads_with_its_default() -> None:
    body = msgspec.msgpack.encode(["EventDelivered", "e1", 202, 3.0])
    record = decode(PLACE, row_with(body)).record
    assert record == records.EventDelivered(event=EventId("e1"), status=202, at=3.0)


def test_the_bytes_of_format_2_stay_what_they_are() -> None:
    value = bytes.fromhex(
        "0200000000001eb269c0fc94af44656c697665727953746172746564a2653101cb4000000000000000"
    )
    assert encode(7, QueueId(3), started("e1")) == value
    assert decode(PLACE, value).record == started("e1")


@given(appended=st.lists(any_record, min_size=1, max_size=5), data=st.data())
def test_records_of_one_append_share_a_row_and_leave_it_one_by_one(
    appended: list[Record], data: st.DataObject
) -> None:
    numbered = list(enumerate(appended, 7))
    [(key, value)] = codec.rows_of(QueueId(3), numbered)
    gone = data.draw(st.sets(st.sampled_from(range(7, 7 + len(appended)))))
    left = codec.without(key, value, gone)
    kept = [Entry(seq, QueueId(3), record) for seq, record in numbered if seq not in gone]
    assert ([] if left is None else codec.entries_in(key, left)) == kept


def test_a_row_ends_where_it_would_fill_more_than_its_pages() -> None:
    numbered = [(seq, accepted(f"e{seq}", body=bytes(3_000))) for seq in range(1, 40)]
    rows = list(codec.rows_of(QueueId(3), numbered))
    assert [len(codec.entries_in(*row)) for row in rows] == [5] * 7 + [4]
    assert max(len(value) for _, value in rows) <= codec.ROW_SIZE
    assert [(e.seq, e.record) for row in rows for e in codec.entries_in(*row)] == numbered


def test_a_row_of_more_than_one_record_names_the_damaged_one_and_keeps_the_others() -> None:
    [(key, value)] = codec.rows_of(QueueId(3), [(n, started(f"e{n}")) for n in (7, 8, 9)])
    damaged = value.replace(b"e8", b"E8")
    assert [seq for seq, body in codec.bodies_in(key, damaged) if body is None] == [8]
    with pytest.raises(BadRecordError) as caught:
        codec.entries_in(key, damaged)
    assert caught.value.seq == 8


def test_version_1_stays_readable() -> None:
    # A journal written by the first release must be readable for ever.
    value = bytes.fromhex(
        "01a9c62498920384a474797065af44656c697665727953746172746564"
        "a56576656e74a26531a7617474656d707401a26174cb4000000000000000"
    )
    assert version_1.decode(key_of(7), value) == Entry(7, QueueId(3), started("e1"))
    for place in range(len(value)):
        damaged = bytearray(value)
        damaged[place] ^= 4
        with pytest.raises(BadRecordError) as caught:
            version_1.decode(key_of(7), bytes(damaged))
        assert caught.value.seq == 7


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ({"type": "EventTranslated", "event": "e1", "at": 1.0}, "EventTranslated"),
        ({"type": "DeliveryStarted", "event": "e1", "at": 1.0}, "attempt"),
        ({"type": "DeliveryStarted", "event": "e1", "at": 1.0, "attempt": "x"}, "int"),
        ({"event": "e1"}, "None"),
    ],
)
def test_a_record_of_version_1_that_makes_no_sense_is_refused(
    named: dict[str, object], told: str
) -> None:
    value = sealed(key_of(7), msgspec.msgpack.encode((3, named)))
    with pytest.raises(BadRecordError, match=told):
        version_1.decode(key_of(7), value)


@given(record=any_record)
def test_the_event_of_an_acceptance_is_known_without_decoding(record: Record) -> None:
    event = record.event.encode() if isinstance(record, records.EventAccepted) else None
    assert codec.accepted_in(7, msgspec.msgpack.encode(record)) == event


def test_a_record_of_an_unknown_type_or_a_damaged_one_accepts_no_event() -> None:
    for body in (msgspec.msgpack.encode(["EventTranslated", "e1" * 20, 1.0]), None, b"", b"\x91"):
        with pytest.raises(BadRecordError) as caught:
            codec.accepted_in(7, body)
        assert caught.value.seq == 7


def test_keys_sort_as_their_numbers_do() -> None:
    numbers = [1, 2, 255, 256, 65_535, 65_536, 2**32, 2**63]
    assert sorted(map(key_of, reversed(numbers))) == [key_of(number) for number in numbers]


def test_the_body_and_its_key_never_show_in_a_representation() -> None:
    record = accepted("e1", body=b'{"payload": "secret"}')
    assert "secret" not in repr(record)
    assert "secret" not in repr(Entry(1, QueueId(1), record))


def test_a_record_knows_its_event() -> None:
    assert event_of(started("e1")) == "e1"
    assert event_of(records.QueueReleased(at=1.0)) is None
