"""Which relay is tried next."""

from __future__ import annotations

import pytest

from pdagent.forwarding.choice import AVOID_SECONDS, RelayChoice

A, B, C = "https://a", "https://b", "https://c"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def choice(clock: Clock) -> RelayChoice:
    return RelayChoice((A, B, C), clock)


def tour(choice: RelayChoice, owner: str | None = None) -> list[str]:
    tried: list[str] = []
    while (url := choice.next(tried, owner)) is not None:
        tried.append(url)
    return tried


def test_all_in_turn_from_the_one_that_took_the_last_event(choice: RelayChoice) -> None:
    assert tour(choice) == [A, B, C]
    choice.took(B)
    assert (choice.current, choice.switches) == (B, 1)
    assert tour(choice) == [B, C, A]
    choice.took(B)
    assert choice.switches == 1


def test_the_owner_that_a_standby_names_comes_next(choice: RelayChoice) -> None:
    assert choice.next([A], C) == C
    assert choice.next([A, C], C) == B
    assert choice.next([A], "https://elsewhere") == B


def test_one_without_an_answer_is_left_out_for_a_while_even_as_owner(
    choice: RelayChoice, clock: Clock
) -> None:
    choice.gave_no_answer(A)
    assert tour(choice, owner=A) == [B, C]
    clock.now += AVOID_SECONDS
    assert choice.next([]) == A, "one caller finds out"
    assert choice.next([]) == B, "the others don't wait for that"
    choice.answered(A)
    assert tour(choice) == [A, B, C]


def test_when_none_answers_each_attempt_tries_one(choice: RelayChoice, clock: Clock) -> None:
    for url in (B, A, C):
        choice.gave_no_answer(url)
        clock.now += 0.5
    assert tour(choice) == [B]
