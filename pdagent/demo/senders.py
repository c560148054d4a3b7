"""The senders of the demo's events: monitoring tools that speak HTTP.

Each of them numbers its events and sends the next one only when the last one was acknowledged, so
that its numbers are in order of acceptance. While the agent is down they repeat the same request
with the same Idempotency-Key.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import requests

from pdagent.demo.processes import DemoFailed, direct_session

_RETRY_SECONDS = 0.2
_ANSWER_SECONDS = 10.0
_TRY_AGAIN = (429, 503)

Offer = Callable[[int], bool]
"""Offers the event with this number once; True if it was acknowledged, False to try again."""


class DemoSender(threading.Thread):
    """Sends an event every `interval` seconds until `finish`.

    After a time in which the agent was down it catches up. `accepted` holds the numbers that
    were acknowledged, in order; `refused` counts the tries that were not.
    """

    def __init__(self, queue: str, interval: float, offer: Offer) -> None:
        super().__init__(name=f"sender-{queue}", daemon=True)
        self.queue = queue
        self.accepted: list[int] = []
        self.refused = 0
        self.failure: Exception | None = None
        self._interval = interval
        self._offer = offer
        self._enough = threading.Event()
        self._abandoned = threading.Event()

    def run(self) -> None:
        """Send; an error is kept in `failure` for the main thread."""
        due = time.monotonic()
        number = 0
        try:
            while not self._enough.wait(max(0.0, due - time.monotonic())):
                number += 1
                due += self._interval
                while not self._offer(number):
                    self.refused += 1
                    if self._abandoned.wait(_RETRY_SECONDS):
                        return
                self.accepted.append(number)
        except Exception as error:  # noqa: BLE001 - raised again by `check`
            self.failure = error

    def check(self) -> None:
        """Raise what ended this sender, if anything did."""
        if self.failure is not None:
            raise self.failure

    def finish(self) -> None:
        """Begin no further event; the one that is being sent is still seen through."""
        self._enough.set()

    def abandon(self) -> None:
        """Give up, whatever was acknowledged."""
        self._enough.set()
        self._abandoned.set()


def over_http(url: str, routing_key: str, source: str, summary: str) -> Offer:
    """Events API v2, sent to the agent at `url` as Alertmanager or Grafana would."""
    session = direct_session()
    run = uuid.uuid4()

    def offer(number: int) -> bool:
        event: dict[str, Any] = {
            "routing_key": routing_key,
            "event_action": "trigger",
            "payload": {
                "summary": f"{summary} (event {number})",
                "source": source,
                "severity": "error",
                "custom_details": {"number": number},
            },
        }
        headers = {"Idempotency-Key": f"{run}-{number}"}
        try:
            answer = session.post(
                f"{url}/v2/enqueue", json=event, headers=headers, timeout=_ANSWER_SECONDS
            )
        except requests.RequestException:
            return False
        if answer.status_code == requests.codes.accepted:
            return True
        if answer.status_code in _TRY_AGAIN:
            return False
        raise DemoFailed(f"the agent refused an event: HTTP {answer.status_code} {answer.text}")

    return offer


def number_of(event: dict[str, Any]) -> int:
    """The number of an event as the sandbox shows it."""
    return int(event["body"]["payload"]["custom_details"]["number"])
