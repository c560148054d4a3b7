"""A journal value tells whether it is what was written, and where."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store import codec, records
from store.codec import BadRecordError, decode, encode, key_of, sealed
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

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
instants = st.floats(0, 4e9)
whole = st.integers(1, 2**63 - 1)
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


any_record = st.one_of([a(kind) for kind in RECORD_TYPES])


def test_every_record_type_is_in_this_test() -> None:
    assert set(RECORD_TYPES) == set(Record.__args__)


@pytest.mark.parametrize("kind", RECORD_TYPES, ids=lambda kind: kind.__name__)
def test_a_record_comes_back_as_it_was(kind: type[Record]) -> None:
    @settings(max_examples=50)
    @given(seq=whole, queue=st.integers(1, 2**32 - 1).map(QueueId), record=a(kind))
    def check(seq: int, queue: QueueId, record: Record) -> None:
        assert decode(key_of(seq), encode(seq, queue, record)) == Entry(seq, queue, record)

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
            decode(key_of(7), bytes(damaged))


@settings(max_examples=40)
@given(record=any_record)
def test_a_value_cut_short_anywhere_is_noticed(record: Record) -> None:
    value = encode(7, QueueId(3), record)
    for length in range(len(value)):
        with pytest.raises(BadRecordError):
            decode(key_of(7), value[:length])


@given(record=any_record, tail=st.binary(min_size=1, max_size=8))
def test_bytes_behind_a_record_are_noticed(record: Record, tail: bytes) -> None:
    with pytest.raises(BadRecordError):
        decode(key_of(7), encode(7, QueueId(3), record) + tail)


@given(record=any_record, seq=whole, other=whole)
def test_a_record_at_the_wrong_place_is_noticed(record: Record, seq: int, other: int) -> None:
    if seq == other:
        return
    with pytest.raises(BadRecordError, match="checksum"):
        decode(key_of(other), encode(seq, QueueId(3), record))


def test_a_record_with_an_unknown_tag_is_refused_and_its_tag_is_named() -> None:
    body = msgspec.msgpack.encode((3, {"type": "EventTranslated", "event": "e1", "at": 1.0}))
    with pytest.raises(BadRecordError, match="EventTranslated"):
        decode(key_of(7), sealed(key_of(7), body))


def test_a_record_of_a_newer_format_is_refused_and_both_versions_are_named() -> None:
    value = encode(7, QueueId(3), started("e1"))
    newer = bytes([codec.FORMAT_VERSION + 1]) + value[1:]
    with pytest.raises(BadRecordError, match="format 2 is unknown, this program knows 1"):
        decode(key_of(7), newer)


def test_a_record_without_a_field_that_it_needs_is_refused() -> None:
    body = msgspec.msgpack.encode((3, {"type": "DeliveryStarted", "event": "e1", "at": 1.0}))
    with pytest.raises(BadRecordError, match="attempt"):
        decode(key_of(7), sealed(key_of(7), body))


def test_a_field_that_a_later_version_added_does_not_harm() -> None:
    tagged = {"type": "DeliveryStarted", "event": "e1", "attempt": 1, "at": 2.0, "proxy": "p"}
    value = sealed(key_of(7), msgspec.msgpack.encode((3, tagged)))
    assert decode(key_of(7), value) == Entry(7, QueueId(3), started("e1"))


def test_a_record_written_before_a_field_was_added_reads_with_its_default() -> None:
    old = {"type": "EventDelivered", "event": "e1", "status": 202, "at": 3.0}
    entry = decode(key_of(7), sealed(key_of(7), msgspec.msgpack.encode((3, old))))
    assert entry.record == records.EventDelivered(event=EventId("e1"), status=202, at=3.0)


def test_the_bytes_of_format_1_stay_what_they_are() -> None:
    # A journal written by the first release must be readable for ever.
    value = bytes.fromhex(
        "01a9c62498920384a474797065af44656c697665727953746172746564"
        "a56576656e74a26531a7617474656d707401a26174cb4000000000000000"
    )
    assert encode(7, QueueId(3), started("e1")) == value
    assert decode(key_of(7), value).record == started("e1")


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
