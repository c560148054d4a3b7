"""Wall clocks that jump: an early attempt is fine, one that is a day late is not."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from actors.core.verdict import Deferred, Delivered
from tests.actors.running_actors import KEY, RunningActors, wait_for

DAY = 86_400.0


class Clock:
    """The wall clock, and how far somebody has set it off."""

    offset = 0.0

    def __call__(self) -> float:
        """Seconds since 1970."""
        return time.time() + self.offset


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_a_wait_does_not_outlast_a_jump_of_the_clock(
    tmp_path: Path, jump: float, restarted: bool
) -> None:
    clock = Clock()
    with RunningActors(tmp_path, clock=clock) as actors:
        actors.pagerduty.answer = lambda event: Deferred(reason="rate_limited", retry_after=3600.0)
        events = actors.accepted(count=2)
        wait_for(lambda: actors.entry().state.failures == 1, "the first attempt")
        if not restarted:
            actors.pagerduty.answer = lambda event: Delivered(status=202)
            clock.offset = jump
            events += actors.accepted()  # what makes the queue look at the clock
            actors.wait_until_delivered(events)
    if restarted:
        clock.offset = jump
        with RunningActors(tmp_path, clock=clock) as actors:
            actors.wait_until_delivered(events)


def test_without_a_jump_the_wait_is_kept_over_a_restart(tmp_path: Path) -> None:
    with RunningActors(tmp_path) as actors:
        actors.pagerduty.answer = lambda event: Deferred(reason="rate_limited", retry_after=5.0)
        events = actors.accepted(count=2)
        wait_for(lambda: actors.entry().state.failures == 1, "the first attempt")
        due = actors.entry().state.not_before
    with RunningActors(tmp_path) as actors:
        assert actors.pagerduty.attempts == {}
        actors.wait_until_delivered(events)
        assert time.time() >= due


def test_a_clock_that_jumps_to_and_fro_reorders_nothing(tmp_path: Path) -> None:
    clock = Clock()
    with RunningActors(tmp_path, clock=clock) as actors:
        answers = iter(
            [Deferred(reason="server_error", retry_after=0.02), Delivered(status=202)] * 30
        )
        actors.pagerduty.answer = lambda event: next(answers, Delivered(status=202))
        events = []
        for number in range(30):
            clock.offset = (-DAY, 0.0, DAY)[number % 3]
            events += actors.accepted()
        wait_for(lambda: len(actors.delivered(KEY)) == 30, "all deliveries")
        assert actors.delivered() == events
