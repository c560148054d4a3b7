"""Few Senders compute at once; one that has waited long enough goes on all the same."""

from __future__ import annotations

import threading

import pytest

from actors import gate
from actors.gate import PLACES, Gate
from tests.actors.running_actors import wait_for


class Visitors:
    """Threads that enter, and stay until they are told to leave."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.inside: list[int] = []
        self._go = [threading.Event() for _ in range(10)]

    def come(self, number: int) -> None:
        threading.Thread(target=self._stay, args=(number,), daemon=True).start()

    def go(self, number: int) -> None:
        self._go[number].set()
        wait_for(lambda: number not in self.inside, "leaving")

    def _stay(self, number: int) -> None:
        self.gate.enter()
        self.inside.append(number)
        self._go[number].wait(30)
        self.inside.remove(number)
        self.gate.leave()


def test_one_comes_in_when_one_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "_PATIENCE", 60.0)
    visitors = Visitors()
    for number in range(PLACES):
        assert not visitors.gate.is_crowded()
        visitors.come(number)
        wait_for(lambda number=number: number in visitors.inside, "a free place")
    visitors.come(PLACES)
    wait_for(visitors.gate.is_crowded, "one that waits")
    assert PLACES not in visitors.inside
    visitors.go(0)
    wait_for(lambda: PLACES in visitors.inside, "its turn")
    assert not visitors.gate.is_crowded()


def test_one_that_has_waited_long_goes_on_and_leaves_no_place_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gate, "_PATIENCE", 0.01)
    visitors = Visitors()
    for number in range(PLACES + 1):
        visitors.come(number)
    wait_for(lambda: len(visitors.inside) == PLACES + 1, "all of them")
    for number in range(PLACES + 1):
        visitors.go(number)
    monkeypatch.setattr(gate, "_PATIENCE", 60.0)
    for number in range(PLACES + 1, 2 * PLACES + 2):
        visitors.come(number)
    wait_for(lambda: visitors.gate.is_crowded() and len(visitors.inside) == PLACES, "the places")
