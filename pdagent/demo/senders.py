"""Who sends the demo's events: monitoring tools over HTTP, and a script on the command line.

Each of them numbers its events and sends the next one only when the last one was acknowledged, so
that its numbers are in order of acceptance. While the agent is down they do what a good sender
does: the same request again, with the same Idempotency-Key.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

import requests

from pdagent.demo.processes import Agent, DemoFailed

_RETRY_SECONDS = 0.2
_ANSWER_SECONDS = 10.0
_TRY_AGAIN = (429, 503)
_UNREACHABLE, _REFUSED_FOR_NOW = 69, 75

_Done = TypeVar("_Done")

Offer = Callable[[int], bool]
"""Offers the event with this number once; True if it was acknowledged, False to try again."""


class Sender(threading.Thread):
    """Sends an event every `interval` seconds until told that it is enough.

    One that is late, because the agent was down, catches up. `accepted` holds the numbers that
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
        """Send; what goes wrong is kept in `failure` for the thread that tells the story."""
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


def over_http(agent: Agent, queue: str, summary: str) -> Offer:
    """Events API v2, sent to the agent as Alertmanager or Grafana would."""
    session = requests.Session()
    session.trust_env = False
    run = uuid.uuid4()

    def offer(number: int) -> bool:
        event: dict[str, Any] = {
            "routing_key": agent.keys[queue],
            "event_action": "trigger",
            "payload": {
                "summary": f"{summary} (event {number})",
                "source": f"{queue}-1.example.com",
                "severity": "error",
                "custom_details": {"number": number},
            },
        }
        headers = {"Idempotency-Key": f"{run}-{number}"}
        url = f"{agent.url}/v2/enqueue"
        try:
            answer = session.post(url, json=event, headers=headers, timeout=_ANSWER_SECONDS)
        except requests.RequestException:
            return False
        if answer.status_code == requests.codes.accepted:
            return True
        if answer.status_code in _TRY_AGAIN:
            return False
        raise DemoFailed(f"the agent refused an event: HTTP {answer.status_code} {answer.text}")

    return offer


class Undisturbed:
    """Lets commands finish before the agent is killed.

    A command makes up its own Idempotency-Key, so nobody could repeat one that the agent's death
    cut short.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._closed = False
        self._running = 0

    def run(self, command: Callable[[], _Done]) -> _Done:
        """Run a command, after a wait if the agent is about to be killed."""
        with self._changed:
            self._changed.wait_for(lambda: not self._closed)
            self._running += 1
        try:
            return command()
        finally:
            with self._changed:
                self._running -= 1

    def close(self) -> None:
        """Let no further command begin."""
        with self._changed:
            self._closed = True

    def is_quiet(self) -> bool:
        """Whether no command runs; after `close`, none will."""
        with self._changed:
            return self._running == 0

    def open(self) -> None:
        """Let commands begin again."""
        with self._changed:
            self._closed = False
            self._changed.notify_all()


def by_command_line(agent: Agent, queue: str, summary: str, undisturbed: Undisturbed) -> Offer:
    """`send` (v1) and `enqueue` (v2) in turn."""

    def offer(number: int) -> bool:
        text = f"{summary} (event {number})"
        if number % 2:
            arguments = ["send", "-k", f"@{queue}", "-t", "trigger", "-d", text]
        else:
            arguments = ["enqueue", "-k", f"@{queue}", "-t", "trigger", "-d", text, "-u", queue]
        done = undisturbed.run(lambda: agent.command(*arguments, "-f", f"number={number}"))
        if done.returncode in (_UNREACHABLE, _REFUSED_FOR_NOW):
            return False
        if done.returncode:
            raise DemoFailed(f"'{arguments[0]}' failed: {done.stderr.strip()}")
        return True

    return offer


def number_of(event: dict[str, Any]) -> int:
    """The number of an event as the sandbox shows it, v1 or v2."""
    body = event["body"]
    details = body["details"] if event["kind"] == "v1" else body["payload"]["custom_details"]
    return int(details["number"])
