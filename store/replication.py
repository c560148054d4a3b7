"""The messages with which a relay's journal is replicated.

A message is the version of its format (1 byte), a CRC-32 (4) of the version and of all that
follows, the id of the writer (8), the number of the change among the writer's (8), the number of
this part of the change and of all its parts (2 each), and the part of the change's msgpack. The
version and the CRC-32 have this place in every format.

A change that is larger than a message may be goes in several. They count only when all are there
and nothing lies between them.

Rows of records are those of `store.codec`, with the checksums of their records, so that a copy
applies a change without decoding them. Relays are upgraded one after the other: versions next to
each other must read each other's messages. So a new form of them, and a new type of record or form
of rows, raises `VERSION`; a version that knows it can read it, and only the version after that
writes it. A new field comes last and gets a default.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple, Self
from zlib import crc32

import msgspec

from store.errors import LogDamagedError, LogNewerError
from store.log import Message
from store.records import QueueId

VERSION = 1
_READABLE = (VERSION,)

_CRC = struct.Struct(">BI")
_HEAD = struct.Struct(">8sQHH")
_BEGIN = _CRC.size + _HEAD.size
_POSITION = struct.Struct(">Q8sQ")

WRITER_BYTES = 8

Row = tuple[bytes, bytes]
SnapshotRow = tuple[QueueId, int, list[bytes]]
"""A queue, the number that its snapshot has, and the snapshot's pieces."""


class Replicated(msgspec.Struct, frozen=True, array_like=True):
    """Base of all changes. In a message, the fields stand in their order, without their names."""


class Committed(Replicated, frozen=True, tag="Committed"):
    """One commit. Its records have the numbers behind `after`, up to `newest`.

    `rows` and `events` are rows of these tables (see `store.tables.Tables`). `keys` has each queue
    with its routing key: it is new, or with figures, it is forgotten.
    """

    after: int
    newest: int
    rows: list[Row]
    events: list[Row]
    snapshots: list[SnapshotRow]
    keys: list[tuple[QueueId, str, dict[str, int] | None]]


class Removed(Replicated, frozen=True, tag="Removed"):
    """Entries were removed: the numbers of each queue's, in order."""

    entries: list[tuple[QueueId, list[int]]]


class Kept(Replicated, frozen=True, tag="Kept"):
    """What was still needed of the oldest messages, which are then trimmed.

    A copy that has applied all messages so far has all of it. `newest`, `removed` and `forgotten`
    are the copy's figures at this point.
    """

    newest: int
    removed: int
    forgotten: dict[str, int]
    rows: list[Row]
    events: list[Row]
    snapshots: list[SnapshotRow]
    keys: list[tuple[QueueId, str, None]]


class TakenOver(Replicated, frozen=True, tag="TakenOver"):
    """From here on the log is this relay's."""

    owner: str


class Barrier(Replicated, frozen=True, tag="Barrier"):
    """Nothing that was sent before, and did not arrive, can be stored any more."""


Alteration = Committed | Removed | Kept | TakenOver | Barrier

_encode = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[Alteration] = msgspec.msgpack.Decoder(Alteration)


class Position(NamedTuple):
    """How far a copy is: the last message it has applied, whose it was, and of which log."""

    seq: int
    writer: bytes
    number: int
    log: str

    def encoded(self) -> bytes:
        """As it is stored in the copy."""
        return _POSITION.pack(self.seq, self.writer, self.number) + self.log.encode()

    @classmethod
    def decoded(cls, stored: bytes) -> Self:
        """The inverse of `encoded`."""
        seq, writer, number = _POSITION.unpack_from(stored)
        return cls(seq, writer, number, stored[_POSITION.size :].decode())


def messages_of(change: Replicated, writer: bytes, number: int, limit: int) -> Iterator[bytes]:
    """The messages for a change, each with at most `limit` bytes."""
    data, room = _encode(change), limit - _BEGIN
    parts = -(-len(data) // room)
    for part in range(parts):
        head = _HEAD.pack(writer, number, part, parts)
        rest = head + data[part * room : (part + 1) * room]
        yield _CRC.pack(VERSION, _crc(VERSION, rest)) + rest


def _crc(version: int, rest: bytes) -> int:
    return crc32(rest, version)


class Part(NamedTuple):
    """What a message is: part number `part` of `parts` of a change."""

    writer: bytes
    number: int
    part: int
    parts: int
    data: bytes


def part_in(message: Message) -> Part:
    """Raises `LogDamagedError` and `LogNewerError`."""
    data = message.data
    if len(data) <= _BEGIN:
        raise LogDamagedError(message.seq, "it is too short")
    version, crc = _CRC.unpack_from(data)
    if _crc(version, data[_CRC.size :]) != crc:
        raise LogDamagedError(message.seq, "its checksum does not match")
    if version not in _READABLE:
        raise LogNewerError(message.seq, version, VERSION)
    writer, number, part, parts = _HEAD.unpack_from(data, _CRC.size)
    return Part(writer, number, part, parts, data[_BEGIN:])


class Whole(NamedTuple):
    """A change of which all parts are there; `seq` is the message with the last one."""

    seq: int
    writer: bytes
    number: int
    change: Alteration
    size: int


class Assembly:
    """Puts parts together. What another message interrupts never becomes whole."""

    def __init__(self) -> None:
        self._parts: list[Part] = []

    def add(self, seq: int, part: Part) -> Whole | None:
        """Take the next message of the log; returns the change that it completes, if it does.

        Raises `LogDamagedError`.
        """
        last = self._parts[-1] if self._parts else None
        follows = last is not None and last[:2] == part[:2] and last.part + 1 == part.part
        if not follows:
            self._parts.clear()
            if part.part:
                return None
        self._parts.append(part)
        if part.part + 1 < part.parts:
            return None
        data = b"".join(each.data for each in self._parts)
        self._parts.clear()
        try:
            change = _decoder.decode(data)
        except msgspec.MsgspecError as error:
            raise LogDamagedError(seq, f"it can't be understood: {error}") from None
        return Whole(seq, part.writer, part.number, change, len(data))
