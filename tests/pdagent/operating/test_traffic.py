"""The last minutes in steps: what came, went and waited, and how fast it goes now."""

from __future__ import annotations

from typing import Any

from pdagent.operating.traffic import STEP, STEPS, Traffic


class Counted:
    """A clock and totals that a test sets; starts in the middle of a step."""

    def __init__(self) -> None:
        self.now = 1_000_002.0
        self.totals = {"accepted": 100, "delivered": 90, "waiting": 10}
        self.traffic = Traffic(lambda: self.totals, lambda: self.now)

    def after(self, seconds: float, accepted: int = 0, delivered: int = 0) -> None:
        """Let time pass, then count events, and sample."""
        self.now += seconds
        waiting = self.totals["waiting"] + accepted - delivered
        self.totals = {
            "accepted": self.totals["accepted"] + accepted,
            "delivered": self.totals["delivered"] + delivered,
            "waiting": waiting,
        }
        self.traffic.sample()

    def report(self) -> dict[str, Any]:
        return self.traffic.report()


def test_each_step_has_what_came_went_and_waited_at_its_end() -> None:
    counted = Counted()
    counted.after(3, accepted=7, delivered=2)
    counted.after(STEP, delivered=5)
    counted.after(1, accepted=50)  # in a step that has not ended
    report = counted.report()
    assert report["accepted"] == [7, 0]
    assert report["delivered"] == [2, 5]
    assert report["waiting"] == [15, 10]
    assert report["until"] == "1970-01-12T13:46:50.000Z"
    assert report["step_seconds"] == STEP


def test_rates_are_of_the_last_seconds_up_to_now() -> None:
    counted = Counted()
    for _ in range(20):
        counted.after(STEP, accepted=1_000)
    for _ in range(4):
        counted.after(STEP, accepted=10, delivered=20)
    report = counted.report()
    assert report["accepted_per_second"] == 2.0
    assert report["delivered_per_second"] == 4.0
    assert Counted().report()["accepted_per_second"] == 0


def test_steps_without_a_sample_share_what_came_in_them() -> None:
    counted = Counted()
    counted.after(STEP, accepted=4)
    counted.after(3 * STEP, accepted=11)
    report = counted.report()
    assert report["accepted"] == [4, 4, 4, 3]
    assert report["waiting"] == [14, 25, 25, 25]


def test_ten_minutes_are_kept() -> None:
    counted = Counted()
    for number in range(2 * STEPS):
        counted.after(STEP, accepted=number)
    report = counted.report()
    assert report["accepted"] == list(range(STEPS, 2 * STEPS))
    assert len(report["waiting"]) == STEPS


def test_a_clock_that_was_set_begins_anew() -> None:
    for jump in (-3600, 86_400):
        counted = Counted()
        counted.after(STEP, accepted=5)
        counted.after(jump, accepted=5)
        assert counted.report()["accepted"] == []
        counted.after(STEP, accepted=3)
        assert counted.report()["accepted"] == [3]
        assert counted.report()["accepted_per_second"] >= 0
