"""The engine's log with a count of what is appended."""

from __future__ import annotations

import time

from store.nats_log import NatsLog


class MeasuredLog(NatsLog):
    """Counts appends that were confirmed, and the seconds that all took."""

    appends = 0
    seconds = 0.0

    def append(self, expected: int, data: bytes) -> int:
        """As `store.log.Log.append`."""
        began = time.perf_counter()
        try:
            seq = super().append(expected, data)
        finally:
            self.seconds += time.perf_counter() - began
        self.appends += 1
        return seq
