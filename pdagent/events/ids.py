"""Ids of events: UUIDs, told apart by what they are made from."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from functools import lru_cache

_RANDOM_BYTES = 10
# Many at once: each call of the kernel gives the interpreter lock to another thread.
_AT_ONCE = 256


def new_event_id() -> str:
    """An id that grows with time, which keeps the journal's index compact (version 7, RFC 9562)."""
    if not _endings:
        _endings.extend(_random_endings())
    return _beginning(time.time_ns() // 1_000_000) + _endings.pop()


@lru_cache(maxsize=1)
def _beginning(milliseconds: int) -> str:
    text = f"{milliseconds:012x}"
    return f"{text[:8]}-{text[8:]}-7"


_endings: list[str] = []


def _random_endings() -> Iterator[str]:
    text = os.urandom(_RANDOM_BYTES * _AT_ONCE).hex()
    for start in range(0, len(text), 2 * _RANDOM_BYTES):
        random = text[start : start + 2 * _RANDOM_BYTES]
        variant = "89ab"[int(random[3], 16) % 4]
        yield f"{random[:3]}-{variant}{random[4:7]}-{random[7:19]}"


def repeatable_event_id(routing_key: str, idempotency_key: str) -> str:
    """The id of a request with an Idempotency-Key: a repetition has the same (version 8)."""
    seed = f"{routing_key}\n{idempotency_key}".encode()
    number = int.from_bytes(hashlib.blake2b(seed, digest_size=16).digest(), "big")
    text = f"{number & ~(0xF << 76 | 0x3 << 62) | 0x8 << 76 | 0x2 << 62:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
