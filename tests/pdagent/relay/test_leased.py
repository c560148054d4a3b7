"""The lease is looked at right before each request."""

from __future__ import annotations

from actors.core.verdict import Deferred, Delivered, Verdict
from actors.ports import OutgoingEvent
from pdagent.relay.leased import LeasedPort

EVENT = OutgoingEvent(kind="v2", routing_key="k" * 32, body=b"{}", event_id="1")


class CountingPort:
    """PagerDuty, which takes everything."""

    def __init__(self) -> None:
        self.taken = 0
        self.closed = False

    def deliver(self, event: OutgoingEvent) -> Verdict:
        self.taken += 1
        return Delivered(status=202)

    def close(self) -> None:
        self.closed = True


def test_nothing_is_sent_while_the_lease_is_not_held() -> None:
    held = False
    pagerduty = CountingPort()
    port = LeasedPort(pagerduty, lambda: held)
    verdict = port.deliver(EVENT)
    assert isinstance(verdict, Deferred)
    assert (verdict.reason, verdict.retry_after, pagerduty.taken) == ("not_owner", 1.0, 0)
    held = True
    assert port.deliver(EVENT) == Delivered(status=202)
    port.close()
    assert pagerduty.closed
