"""The way of an event to one of the relays, whichever takes it."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec

from actors.core.verdict import Deferred, Delivered, Rejected, Verdict
from actors.ports import OutgoingEvent
from pdagent.eventsapi.explanation import presentable
from pdagent.forwarding.choice import RelayChoice
from pdagent.forwarding.relay_api import NotTaken, RelayApi

_SILENT_SECONDS = 1.0
"""A failure that took longer is silence; a refused or broken connection is noticed at once."""


class Forwarder:
    """Delivers events to the relay that took the last one, else to the next; a `DeliveryPort`.

    For one thread; only `close` may be called by another. All senders share `choice`, each has its
    own connections, which `connect` makes for a relay's URL.

    An attempt that no relay takes concerns every key and counts against no event. The next one
    follows after 1 to 1.5 s, so that after a takeover deliveries go on within 2 s, and many hosts
    do not come back at the same instant.
    """

    def __init__(self, choice: RelayChoice, connect: Callable[[str], RelayApi]) -> None:
        self._choice = choice
        self._connect = connect
        self._apis: dict[str, RelayApi] = {}
        self._closed = False
        self.repeated = False
        """Whether the relay knew the event of the last delivery already."""

    def deliver(self, event: OutgoingEvent) -> Verdict:
        """Try each relay at most once. Trouble with the network is a verdict, never raised."""
        failed: dict[str, Deferred] = {}
        owner = None
        while not self._closed and (url := self._choice.next(failed, owner)) is not None:
            api = self._apis.get(url) or self._apis.setdefault(url, self._connect(url))
            verdict = api.deliver(event)
            if isinstance(verdict, Delivered | Rejected):
                self._choice.took(url)
                self.repeated = api.repeated
                return verdict
            if isinstance(verdict, NotTaken):
                self._choice.answered(url)
                owner = verdict.owner
            elif verdict.reason in ("unreachable", "no_answer"):
                if verdict.seconds > _SILENT_SECONDS:
                    self._choice.gave_no_answer(url)
                owner = None
            else:
                self._choice.answered(url)
                return msgspec.structs.replace(
                    verdict, detail=presentable(f"relay {url}: {verdict.detail}")
                )
            failed[url] = verdict
        return _of_all(failed)

    def close(self) -> None:
        """Close for good; see `actors.ports.DeliveryPort`."""
        self._closed = True
        for api in list(self._apis.values()):
            api.close()


def _of_all(failed: dict[str, Deferred]) -> Deferred:
    """The verdict when no relay took the event."""
    details = "; ".join(f"relay {url}: {verdict.detail}" for url, verdict in failed.items())
    seconds = sum(verdict.seconds for verdict in failed.values())
    # A relay that answers and can't store this event may take those of other keys.
    for_now = any(isinstance(verdict, NotTaken) and verdict.for_now for verdict in failed.values())
    return Deferred(
        reason="refused_for_now" if for_now else "unreachable",
        detail=presentable(details or "the agent's sender was closed"),
        retry_after=random.uniform(0.75, 1.5),
        seconds=seconds,
    )
