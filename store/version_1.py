"""Rows of a journal of version 1: one for each record, with an index by queue beside it.

The key is the record's number; the value is sealed as `codec.sealed` says, and holds the queue and
the record with the names of its fields. The agent converts such a journal at its start, see
`store.conversion`; the commands for a stopped agent's journal read both.
"""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from store import codec
from store.codec import BadRecordError
from store.records import Entry, QueueId, Record

BY_QUEUE = b"by_queue"
"""The table that only this version has: place of a record (`codec.queue_key`) -> empty."""

_KINDS = {kind.__name__: msgspec.structs.fields(kind) for kind in get_args(Record)}
_decoder = msgspec.msgpack.Decoder(tuple[QueueId, dict[str, Any]])


def decode(key: bytes, value: bytes) -> Entry:
    """The entry stored as `key` -> `value`; raises `BadRecordError`."""
    seq = codec.seq_in(key)
    try:
        queue, named = _decoder.decode(codec.check(key, value))
        tag = named.get("type")
        fields = _KINDS.get(tag) if isinstance(tag, str) else None
        if fields is None:
            raise BadRecordError(f"it can't be understood (Invalid value {tag!r})", seq)
        listed = [tag]
        for field in fields:
            if field.name in named:
                listed.append(named[field.name])
            elif field.required:
                raise BadRecordError(f"it can't be understood ({field.name!r} is missing)", seq)
            else:
                listed.append(field.default)
        return Entry(seq, queue, codec.record_in(seq, msgspec.msgpack.encode(listed)))
    except msgspec.MsgspecError as error:
        raise BadRecordError(f"it can't be understood ({error})", seq) from None
    except BadRecordError as error:
        raise BadRecordError(str(error), seq) from None
