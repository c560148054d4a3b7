"""Bytes of the journal's rows. Each record has a CRC-32, so that damage is known by its number.

A row holds the records that one queue has appended in one commit, in order: key `queue_key` of the
first one, value the version (1 byte) and for each record how far its number lies behind the first
one (2 bytes), its size (4), its CRC-32 (4) and its msgpack. Rows that would be longer than
`ROW_SIZE` are split between records. The checksums cover queue and number too, so that a record
found at a wrong place is noticed. Records that are removed leave a row whose key stays.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Container, Iterable, Iterator
from typing import TypeVar, get_args
from zlib import crc32

import msgspec

from store.records import (
    QUEUE_RECORDS,
    Entry,
    EventAccepted,
    EventId,
    Numbered,
    QueueId,
    Record,
)

FORMAT_VERSION = 2
"""Of the journal as a whole; version 1 is converted by `store.conversion`."""

ROW_SIZE = 4 * 4_096 - 16
"""Bytes of a value that fill four pages of LMDB, less their header."""

QUEUE_BYTES = 4
SEQ_BYTES = 8

AFTER_ALL = b"\xff" * SEQ_BYTES
"""The end of a key that is greater than that of any entry of its queue."""

_ROW_VERSION = b"\x02"
_FRAME = struct.Struct(">HII")
_frame, _unframed, _FRAME_BYTES = _FRAME.pack, _FRAME.unpack_from, _FRAME.size
_FIRST_BODY = len(_ROW_VERSION) + _FRAME_BYTES
_PLACE = struct.Struct(">IQ")
_FARTHEST = 0xFFFF

_SEAL = 1
_SEAL_BYTES = 5

# The tag is the first field of a record.
_ABOUT_A_QUEUE = re.compile("|".join(kind.__struct_config__.tag for kind in QUEUE_RECORDS).encode())
_TAG_WITHIN = 20
_TAGS = {kind.__struct_config__.tag.encode() for kind in get_args(Record)}
# msgpack's first byte of an array of less than 16, and of a text of less than 32 bytes.
_SHORT_ARRAY, _SHORT_TEXT = 0x90, 0xA0


class StoredSnapshot(msgspec.Struct, frozen=True):
    """The first row of a snapshot: `state` is its first piece, so many `more` have rows behind."""

    seq: int
    state: bytes
    more: int = 0


_encode = msgspec.msgpack.Encoder().encode
_decode_record: Callable[[bytes], Record] = msgspec.msgpack.Decoder(Record).decode
_snapshot_decoder = msgspec.msgpack.Decoder(StoredSnapshot)
_figures_decoder = msgspec.msgpack.Decoder(dict[str, int])

_T = TypeVar("_T")

Body = tuple[int, bytes | None]
"""The number of a record and its msgpack; None if its checksum does not match."""


class BadRecordError(Exception):
    """The bytes are not what this program wrote; the text says in which way.

    `seq` is the number of the record, if they are a row of records.
    """

    def __init__(self, what: str, seq: int | None = None) -> None:
        super().__init__(what)
        self.seq = seq


def key_of(seq: int) -> bytes:
    """A number as 8 bytes big-endian, so that LMDB's order is that of the numbers."""
    return seq.to_bytes(SEQ_BYTES, "big")


def queue_key(queue: QueueId, seq: int | None = None) -> bytes:
    """What stands for a queue (4 bytes), or for the place of a record (12 bytes)."""
    return queue.to_bytes(QUEUE_BYTES, "big") if seq is None else _PLACE.pack(queue, seq)


def queue_id(key: bytes) -> QueueId:
    """The inverse of `queue_key` for the first 4 bytes."""
    return QueueId(int.from_bytes(key[:QUEUE_BYTES], "big"))


def seq_in(key: bytes) -> int:
    """The inverse of `queue_key` for the last 8 bytes."""
    return int.from_bytes(key[-SEQ_BYTES:], "big")


def row_of(key: bytes, record: Record) -> bytes:
    """The value of the row `key` of one record."""
    body = _encode(record)
    return b"%b%b%b" % (_ROW_VERSION, _frame(0, len(body), crc32(body, crc32(key))), body)


def rows_of(queue: QueueId, numbered: Iterable[Numbered]) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of the rows for records of one queue, given with ascending numbers."""
    parts: list[bytes] = []
    size = first = seed = 0
    key = b""
    for seq, record in numbered:
        body = _encode(record)
        size += _FRAME.size + len(body)
        if parts and (size > ROW_SIZE or seq - first > _FARTHEST):
            yield key, b"".join(parts)
            parts = []
        if not parts:
            key, first = queue_key(queue, seq), seq
            seed = crc32(key)
            parts.append(_ROW_VERSION)
            size = len(_ROW_VERSION) + _FRAME.size + len(body)
        behind = seq - first
        parts += (_frame(behind, len(body), crc32(body, seed ^ behind)), body)
    if parts:
        yield key, b"".join(parts)


def bodies_in(key: bytes, value: bytes) -> list[Body]:
    """Number and msgpack of each record of a row; None for one whose checksum does not match.

    If a record does not even say where it ends, it is the last one. Raises `BadRecordError` for
    what is no row.
    """
    first, seed, size = _PLACE.unpack(key)[1], crc32(key), len(value)
    if size <= _FIRST_BODY:
        raise BadRecordError("it is too short", first)
    if value[0] != _ROW_VERSION[0]:
        what = f"format {value[0]} is unknown, this program knows {FORMAT_VERSION}"
        raise BadRecordError(what, first)
    bodies: list[Body] = []
    seq, begin = first, _FIRST_BODY
    while begin < size:
        behind, length, crc = _unframed(value, begin - _FRAME_BYTES)
        seq, end = first + behind, begin + length
        body = value[begin:end]
        bodies.append((seq, body if crc32(body, seed ^ behind) == crc else None))
        begin = end + _FRAME_BYTES
    if begin != size + _FRAME_BYTES:
        bodies.append((seq + 1, None))
    return bodies


def body_in(key: bytes, value: bytes, wanted: int) -> Body:
    """As `bodies_in`, of the record with this number alone; raises `BadRecordError` if it lacks.

    What is in front of it is passed over, at a tenth of the cost of reading it.
    """
    first, begin = _PLACE.unpack(key)[1], _FIRST_BODY
    while value[:1] == _ROW_VERSION and begin < len(value):
        behind, length, crc = _unframed(value, begin - _FRAME_BYTES)
        if first + behind == wanted:
            body = value[begin : begin + length]
            return wanted, body if crc32(body, crc32(key) ^ behind) == crc else None
        begin += length + _FRAME_BYTES
    raise BadRecordError("the index names it, but it is not there", wanted)


def without(key: bytes, value: bytes, seqs: Container[int]) -> bytes | None:
    """The value of an intact row after the removal of these records; None if none is left."""
    first, at, kept = seq_in(key), len(_ROW_VERSION), [_ROW_VERSION]
    while at < len(value):
        behind, length, _ = _unframed(value, at)
        end = at + _FRAME_BYTES + length
        if first + behind not in seqs:
            kept.append(value[at:end])
        at = end
    return b"".join(kept) if len(kept) > 1 else None


def record_in(seq: int, body: bytes | None) -> Record:
    """The record in what `bodies_in` has given; raises `BadRecordError`."""
    if body is None:
        raise BadRecordError("its checksum does not match", seq)
    try:
        return _decode_record(body)
    except msgspec.MsgspecError as error:
        raise BadRecordError(f"it can't be understood ({error})", seq) from None


def records_in(bodies: list[Body]) -> list[Numbered]:
    """As `record_in`, for all that `bodies_in` has given; raises it for the first damaged one."""
    try:
        return [(seq, _decode_record(body or b"")) for seq, body in bodies]
    except msgspec.MsgspecError:
        return [(seq, record_in(seq, body)) for seq, body in bodies]


def entries_in(key: bytes, value: bytes) -> list[Entry]:
    """The entries of a row; raises `BadRecordError` for the first one that is not intact."""
    queue = queue_id(key)
    return [Entry(seq, queue, record) for seq, record in records_in(bodies_in(key, value))]


def accepted_in(seq: int, body: bytes | None) -> bytes | None:
    """The event's id if the record in what `bodies_in` has given is an `EventAccepted`, else None.

    Raises `BadRecordError` if the record is damaged or of an unknown type. Otherwise costs a fifth
    of decoding it.
    """
    if body is not None and len(body) > _TAG_WITHIN and body[0] ^ _SHORT_ARRAY < 16:
        end = 2 + (body[1] ^ _SHORT_TEXT)
        tag = body[2:end]
        if tag == b"EventAccepted":
            length = body[end] ^ _SHORT_TEXT
            if length < 32:
                return body[end + 1 : end + 1 + length]
        elif tag in _TAGS:
            return None
    record = record_in(seq, body)
    return record.event.encode() if isinstance(record, EventAccepted) else None


def may_concern(body: bytes | None, event: EventId) -> bool:
    """False if the record in what `bodies_in` has given is certainly about another event.

    Costs a tenth of decoding it.
    """
    return (
        body is None
        or event.encode() in body
        or _ABOUT_A_QUEUE.search(body, 0, _TAG_WITHIN) is not None
    )


def sealed(key: bytes, body: bytes) -> bytes:
    """`body` behind the header that `check` verifies for the same `key`."""
    crc = crc32(body, crc32(key))
    return b"%c%b%b" % (_SEAL, crc.to_bytes(4, "big"), body)


def check(key: bytes, value: bytes) -> bytes:
    """Return what was sealed; raise `BadRecordError` if it isn't intact."""
    if len(value) <= _SEAL_BYTES:
        raise BadRecordError("it is too short")
    if value[0] != _SEAL:
        raise BadRecordError(f"format {value[0]} is unknown, this program knows {_SEAL}")
    body = value[_SEAL_BYTES:]
    if crc32(body, crc32(key)) != int.from_bytes(value[1:_SEAL_BYTES], "big"):
        raise BadRecordError("its checksum does not match")
    return body


def encode_other(key: bytes, row: StoredSnapshot | dict[str, int]) -> bytes:
    """The value stored under `key` for what is no record."""
    return sealed(key, _encode(row))


def decode_snapshot(key: bytes, value: bytes) -> StoredSnapshot:
    """The first row of a snapshot, stored as `key` -> `value`; raises `BadRecordError`."""
    return _decoded(_snapshot_decoder, check(key, value))


def decode_figures(key: bytes, value: bytes) -> dict[str, int]:
    """The numbers by name stored as `key` -> `value`; raises `BadRecordError`."""
    return _decoded(_figures_decoder, check(key, value))


def _decoded(decoder: msgspec.msgpack.Decoder[_T], body: bytes) -> _T:
    try:
        return decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise BadRecordError(f"it can't be understood ({error})") from None
