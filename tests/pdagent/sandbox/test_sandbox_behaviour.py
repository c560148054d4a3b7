"""Settings of the sandbox: what is allowed, and what chance makes of them."""

from __future__ import annotations

from typing import Any

import pytest

from pdagent.sandbox.behaviour import Behaviour, BehaviourError, changed
from pdagent.sandbox.traffic import RateLimiter
from tests.pdagent.sandbox.sample_events import KEY, OTHER_KEY


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fail", 200),
        ("fail", 600),
        ("fail", "x"),
        ("fail", 503.5),
        ("fail", True),
        ("fail_rate", 1.1),
        ("fail_rate", -0.1),
        ("fail_rate", float("nan")),
        ("fail_rate", None),
        ("fail_code", None),
        ("drop_rate", "often"),
        ("latency", -1),
        ("latency", "2..1"),
        ("latency", "1..2..3"),
        ("latency", [1, 2, 3]),
        ("latency", {}),
        ("hang", 0),
        ("hang", float("inf")),
        ("hang_key", "short"),
        ("hang_key", [KEY, 5]),
        ("rate_limit", 0),
        ("rate_limit", 1.5),
        ("rate_window", 0),
        ("retry_after", -1),
        ("retry_after", ""),
        ("retry_after", "1\r\nX-Evil: 1"),
        ("heartbeat_interval", 0),
        ("nonsense", 1),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(BehaviourError) as refused:
        changed(Behaviour(), {name: value, "fail_rate" if name != "fail_rate" else "hang": 1})
    assert [problem[0] for problem in refused.value.problems] == [name]


@pytest.mark.parametrize(
    ("name", "value", "meaning"),
    [
        ("fail", 503, 503),
        ("fail", None, None),
        ("fail_rate", "0.25", 0.25),
        ("latency", "0.1..0.3", (0.1, 0.3)),
        ("latency", [0, 2], (0.0, 2.0)),
        ("latency", 1, (1.0, 1.0)),
        ("hang_key", KEY, frozenset({KEY})),
        ("hang_key", [KEY, OTHER_KEY], frozenset({KEY, OTHER_KEY})),
        ("hang_key", "*", frozenset({"*"})),
        ("hang_key", None, frozenset()),
        ("rate_limit", None, None),
        ("retry_after", 3, "3"),
        ("retry_after", "Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:28:00 GMT"),
    ],
)
def test_a_setting_is_understood(name: str, value: Any, meaning: Any) -> None:
    assert getattr(changed(Behaviour(), {name: value}), name) == meaning


def test_a_behaviour_shows_no_key() -> None:
    behaviour = changed(Behaviour(), {"hang_key": KEY})
    assert KEY not in repr(behaviour) + str(behaviour.as_json())


def test_calls_of_a_key_are_counted_in_a_sliding_window() -> None:
    limiter = RateLimiter()

    def allowed(now: float, key: str = KEY) -> bool:
        return limiter.allows(key, limit=2, window=60, now=now)

    assert [allowed(0), allowed(30), allowed(59)] == [True, True, False]
    assert allowed(59, OTHER_KEY)
    assert allowed(60)
    assert not allowed(89)
    assert allowed(90)
