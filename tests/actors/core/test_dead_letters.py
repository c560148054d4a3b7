"""The dead letters of a queue against a plain list of them, whatever happens in which order."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from actors.core.dead_letters import SUPERSEDED_BY, DeadLetter, DeadLetters
from store.records import EventId

ACTIONS = ("trigger", "acknowledge", "resolve", "change")
ALERTS = ("disk", "load")

Step = tuple[str, int, str, str]

steps = st.lists(
    st.tuples(
        st.sampled_from(("died", "taken", "delivered")),
        st.integers(0, 5),
        st.sampled_from(ACTIONS),
        st.sampled_from(ALERTS),
    )
)


def letter(number: int, action: str, alert: str) -> DeadLetter:
    return DeadLetter(
        id=EventId(f"event-{number}"),
        position=number,
        kind="v2",
        action=action,
        dedup_key=alert,
        accepted_at=0.0,
        died_at=0.0,
        attempts=1,
        error="http_400",
    )


@given(steps)
def test_each_letter_knows_the_first_event_that_superseded_it(steps: list[Step]) -> None:
    letters = DeadLetters()
    expected: dict[EventId, DeadLetter] = {}
    for place, (what, number, action, alert) in enumerate(steps):
        event = EventId(f"event-{number}")
        match what:
            case "died" if event not in expected:
                letters.add(letter(number, action, alert))
                expected[event] = letter(number, action, alert)
            case "taken":
                assert letters.take(event) == expected.pop(event, None)
            case "delivered":
                by = EventId(f"later-{place}")
                letters.supersede(action, alert, by)
                for id_, each in expected.items():
                    harmful = SUPERSEDED_BY.get(each.action) == action and each.dedup_key == alert
                    if harmful and each.superseded_by is None:
                        expected[id_] = msgspec.structs.replace(each, superseded_by=by)
        assert list(letters.items()) == list(expected.items())
        assert list(DeadLetters(expected.values()).items()) == list(expected.items())


def test_what_is_superseded_or_taken_is_not_looked_at_again() -> None:
    """A hundred thousand dead letters must not be gone through at each delivery."""
    letters = DeadLetters(letter(number, "trigger", "disk") for number in range(3))
    letters.take(EventId("event-0"))
    letters.supersede("resolve", "disk", EventId("later"))
    letters.take(EventId("event-1"))
    assert list(letters) == ["event-2"]
    assert not letters._by_what_supersedes
