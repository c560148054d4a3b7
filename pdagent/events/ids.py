"""Ids of events: UUIDs, told apart by what they are made from."""

from __future__ import annotations

import hashlib
import os
import time


def new_event_id() -> str:
    """An id that grows with time, which keeps the journal's index compact (version 7, RFC 9562)."""
    milliseconds = time.time_ns() // 1_000_000
    return _uuid(milliseconds << 80 | int.from_bytes(os.urandom(10), "big"), 7)


def repeatable_event_id(routing_key: str, idempotency_key: str) -> str:
    """The id of a request with an Idempotency-Key: a repetition has the same (version 8)."""
    seed = f"{routing_key}\n{idempotency_key}".encode()
    return _uuid(int.from_bytes(hashlib.blake2b(seed, digest_size=16).digest(), "big"), 8)


def _uuid(number: int, version: int) -> str:
    number = number & ~(0xF << 76) | version << 76
    text = f"{number & ~(0x3 << 62) | 0x2 << 62:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
