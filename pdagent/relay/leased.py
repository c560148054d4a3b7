"""A sender's port that looks at the lease first."""

from __future__ import annotations

from collections.abc import Callable

from actors.core.verdict import NOT_SENT, Deferred, Verdict
from actors.ports import DeliveryPort, OutgoingEvent

_TRY_AGAIN_AFTER = 1.0  # seconds


class LeasedPort:
    """Delivers by `port` what `holds` lets; everything else is deferred, and counts for nothing."""

    def __init__(self, port: DeliveryPort, holds: Callable[[], bool]) -> None:
        self._port = port
        self._holds = holds
        self.close = port.close

    def deliver(self, event: OutgoingEvent) -> Verdict:
        """As `DeliveryPort.deliver`."""
        if not self._holds():
            return Deferred(
                reason=NOT_SENT,
                detail="the lease of this relay could not be renewed in time",
                retry_after=_TRY_AGAIN_AFTER,
            )
        return self._port.deliver(event)
