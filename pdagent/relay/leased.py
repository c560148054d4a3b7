"""A sender's port that looks at the lease first."""

from __future__ import annotations

from collections.abc import Callable

from actors.core.verdict import NOT_SENT, Deferred, Verdict
from actors.ports import DeliveryPort, OutgoingEvent
from pdagent.eventsapi.failures import MayNotSendError

_TRY_AGAIN_AFTER = 1.0  # seconds


class LeasedPort:
    """Delivers by `port` what `holds` lets; everything else is deferred, and counts for nothing.

    The port asks `holds` again right before it writes, and raises `MayNotSendError`.
    """

    def __init__(self, port: DeliveryPort, holds: Callable[[], bool]) -> None:
        self._port = port
        self._holds = holds
        self.close = port.close

    def deliver(self, event: OutgoingEvent) -> Verdict:
        """As `DeliveryPort.deliver`."""
        if self._holds():
            try:
                return self._port.deliver(event)
            except MayNotSendError:
                pass
        return Deferred(
            reason=NOT_SENT,
            detail="the lease of this relay could not be renewed in time",
            retry_after=_TRY_AGAIN_AFTER,
        )
