"""Clients that send numbered events without a pause, and remember what they were told."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from typing import Any

import requests

from tests.agent_process import AgentProcess
from tests.system.numbered_events import trigger

_PAUSE = 0.02


class ToldClients:
    """One thread per group of keys; as a context manager they send until it is left.

    Each key has one sender, so that its numbers rise in the order of acceptance. `acknowledged`
    are the numbers per key that were answered with 2xx, with their dedup keys. Every second key's
    client repeats a request that was not answered, with the same Idempotency-Key, until it is;
    the others go on to the next number, as a tool does that never retries.
    """

    def __init__(self, agent: AgentProcess, keys: Sequence[str], *, threads: int) -> None:
        self.acknowledged: dict[str, dict[int, str]] = {key: {} for key in keys}
        self.failures: list[str] = []
        self._agent = agent
        self._patient = set(keys[::2])
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._send, args=(keys[number::threads],), daemon=True)
            for number in range(threads)
        ]

    def __enter__(self) -> ToldClients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a client still waits for an answer"

    @property
    def count(self) -> int:
        """How many events were acknowledged so far."""
        return sum(len(numbers) for numbers in self.acknowledged.values())

    def _send(self, keys: Sequence[str]) -> None:
        number = 0
        while not self._over.is_set():
            for key in keys:
                self._send_one(key, number)
            number += 1

    def _send_one(self, key: str, number: int) -> None:
        same_request = str(uuid.uuid4()) if key in self._patient else None
        while True:
            answer = self._ask(trigger(key, number), same_request)
            if answer is not None:
                self.acknowledged[key][number] = answer["dedup_key"]
            if answer is not None or same_request is None or self._over.wait(_PAUSE):
                return

    def _ask(self, event: dict[str, Any], idempotency_key: str | None) -> dict[str, Any] | None:
        try:
            response = self._agent.send_v2(event, idempotency_key=idempotency_key)
        except requests.RequestException:
            self._over.wait(_PAUSE)
            return None
        if response.status_code == 200:
            answer: dict[str, Any] = response.json()
            return answer
        if response.status_code != 503:
            self.failures.append(f"{response.status_code} {response.text}")
        return None
