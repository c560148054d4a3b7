"""Bytes of a journal value: format version (1 byte), CRC-32 (4 bytes), msgpack of [queue, record].

The checksum covers the sequence number too, so that a record found at a wrong place is noticed.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import TypeVar

import msgspec

from store.port import Snapshot
from store.records import QUEUE_RECORDS, Entry, EventId, QueueId, Record, RoutingKey

FORMAT_VERSION = 1
_HEADER = 5

AFTER_ALL = b"\xff" * 8
"""A key that is greater than that of any entry."""

# The tag is the first field of a record, behind the header and the queue.
_ABOUT_A_QUEUE = re.compile(
    "type.(?:{})".format("|".join(kind.__struct_config__.tag for kind in QUEUE_RECORDS)).encode()
)
_TAG_WITHIN = 40


class _Body(msgspec.Struct, array_like=True, frozen=True):
    queue: QueueId
    record: Record


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Body)
_snapshot_decoder = msgspec.msgpack.Decoder(Snapshot)
_figures_decoder = msgspec.msgpack.Decoder(dict[str, int])

_T = TypeVar("_T")


class BadRecordError(Exception):
    """The bytes are not a record that this program wrote; the text says in which way."""


def key_of(seq: int) -> bytes:
    """A sequence number as a key: 8 bytes big-endian, so that LMDB's order is the journal's."""
    return seq.to_bytes(8, "big")


def encode(seq: int, queue: QueueId, record: Record) -> bytes:
    """The value stored under `key_of(seq)`."""
    return sealed(key_of(seq), _encoder.encode((queue, record)))


def sealed(key: bytes, body: bytes) -> bytes:
    """`body` behind the header that `check` verifies for the same `key`."""
    crc = zlib.crc32(body, zlib.crc32(key))
    return b"%c%b%b" % (FORMAT_VERSION, crc.to_bytes(4, "big"), body)


def check(key: bytes, value: bytes) -> bytes:
    """Return the msgpack body of a stored value; raise `BadRecordError` if it isn't intact."""
    if len(value) <= _HEADER:
        raise BadRecordError("it is too short")
    if value[0] != FORMAT_VERSION:
        raise BadRecordError(f"format {value[0]} is unknown, this program knows {FORMAT_VERSION}")
    body = value[_HEADER:]
    if zlib.crc32(body, zlib.crc32(key)) != int.from_bytes(value[1:_HEADER], "big"):
        raise BadRecordError("its checksum does not match")
    return body


def decode(key: bytes, value: bytes) -> Entry:
    """The entry stored as `key` -> `value`; raises `BadRecordError`."""
    decoded = _decoded(_decoder, check(key, value))
    return Entry(int.from_bytes(key, "big"), decoded.queue, decoded.record)


def _decoded(decoder: msgspec.msgpack.Decoder[_T], body: bytes) -> _T:
    try:
        return decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise BadRecordError(f"it can't be understood ({error})") from None


def encode_other(key: bytes, row: Snapshot | dict[str, int]) -> bytes:
    """The value stored under `key` for what is no record."""
    return sealed(key, _encoder.encode(row))


def decode_snapshot(key: bytes, value: bytes) -> Snapshot:
    """The snapshot stored as `key` -> `value`; raises `BadRecordError`."""
    return _decoded(_snapshot_decoder, check(key, value))


def decode_figures(key: bytes, value: bytes) -> dict[str, int]:
    """The numbers by name stored as `key` -> `value`; raises `BadRecordError`."""
    return _decoded(_figures_decoder, check(key, value))


def routing_key_seal(queue: QueueId, key: RoutingKey) -> tuple[bytes, bytes]:
    """Name and value of the row in `meta` that vouches for a row of `queues`.

    A routing key whose bytes have changed would send a queue's events to another service.
    """
    name = b"queue_%d_crc32" % queue
    return name, b"%d" % zlib.crc32(key.encode(), zlib.crc32(name))


def routing_key(queue: QueueId, stored: bytes, meta: Callable[[bytes], bytes | None]) -> RoutingKey:
    """The key of a row of `queues`; raises `BadRecordError` if it isn't intact.

    `meta` looks up a row of that table. A journal from before there were seals has none.
    """
    try:
        key = RoutingKey(stored.decode())
    except UnicodeDecodeError:
        raise BadRecordError("it is no text") from None
    name, seal = routing_key_seal(queue, key)
    if meta(name) not in (None, seal):
        raise BadRecordError("its checksum does not match")
    return key


def may_concern(value: bytes, event: EventId) -> bool:
    """False if the record in a stored value is certainly about another event, else unknown.

    Costs a tenth of decoding it.
    """
    return event.encode() in value or _ABOUT_A_QUEUE.search(value, 0, _TAG_WITHIN) is not None
