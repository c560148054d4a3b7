"""Ids of events: UUIDs, told apart by what they are made from."""

from __future__ import annotations

import hashlib
import os
import time

_RANDOM_BYTES = 10


def new_event_id() -> str:
    """An id that grows with time, which keeps the journal's index compact (version 7, RFC 9562)."""
    milliseconds = time.time_ns() // 1_000_000
    return _uuid(milliseconds << 80 | int.from_bytes(_random_bytes(), "big"), 7)


# Many at once: each call of the kernel gives the interpreter lock to another thread.
_random: list[bytes] = []


def _random_bytes() -> bytes:
    if not _random:
        many = os.urandom(_RANDOM_BYTES * 64)
        _random.extend(many[i : i + _RANDOM_BYTES] for i in range(0, len(many), _RANDOM_BYTES))
    return _random.pop()


def repeatable_event_id(routing_key: str, idempotency_key: str) -> str:
    """The id of a request with an Idempotency-Key: a repetition has the same (version 8)."""
    seed = f"{routing_key}\n{idempotency_key}".encode()
    return _uuid(int.from_bytes(hashlib.blake2b(seed, digest_size=16).digest(), "big"), 8)


def _uuid(number: int, version: int) -> str:
    number = number & ~(0xF << 76) | version << 76
    text = f"{number & ~(0x3 << 62) | 0x2 << 62:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
