"""Keeps a relay's table of hosts in the engine, for the relay that takes over."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial

import msgspec

from pdagent.fleet.table import BUCKETS, Fleet, SavedHost
from store.errors import JournalError
from store.log import Log

logger = logging.getLogger(__name__)

ROUND = 32.0
"""Seconds in which every part of the table is written once. Evenly, one after the other, so that
commits of events never wait behind many of these writes."""

_PREFIX = "hosts."
_decode = msgspec.msgpack.Decoder(list[SavedHost]).decode
_encode = msgspec.msgpack.Encoder().encode


class FleetKeeper:
    """Reads the table of the owner before, then writes this owner's again and again.

    A relay that has lost its ownership may still write for a moment. Its rows are as old as its
    last report at most, and the next round of the new owner replaces them.
    """

    def __init__(self, fleet: Fleet, log: Log, *, round_seconds: float = ROUND) -> None:
        self._fleet = fleet
        self._pause = round_seconds / BUCKETS
        self._log = log
        self._written: set[int] = set()
        self._failing = False

    async def keep_for_ever(self) -> None:
        """Runs until it is cancelled; trouble with the engine is logged once, and repeated."""
        while not await self._done(self.load):
            await asyncio.sleep(self._pause)
        while True:
            for bucket in range(BUCKETS):
                await asyncio.sleep(self._pause)
                if self._fleet.buckets[bucket] or bucket in self._written:
                    await self._done(partial(self.save, bucket))

    async def _done(self, work: Callable[[], None]) -> bool:
        try:
            await asyncio.to_thread(work)  # the engine may take seconds to answer
        except JournalError as error:
            if not self._failing:
                logger.warning("the table of hosts is not kept for now: %s", error)
            self._failing = True
            return False
        self._failing = False
        return True

    def load(self) -> None:
        """Take what the table has; raises `store.errors.JournalError`."""
        rows = self._log.rows(_PREFIX)
        for key, row in rows.items():
            try:
                saved = _decode(row.value)
            except msgspec.DecodeError:
                logger.warning("row %s of the table of hosts can't be read: it is left out", key)
                continue
            self._fleet.restore(saved, time.monotonic())
            self._written |= {bucket for bucket in range(BUCKETS) if key == _key(bucket)}

    def save(self, bucket: int) -> None:
        """Write one part of the table; raises `store.errors.JournalError`."""
        self._log.put(_key(bucket), _encode(self._fleet.saved(bucket, time.monotonic())))
        self._written.add(bucket)


def _key(bucket: int) -> str:
    return f"{_PREFIX}{bucket:02d}"
