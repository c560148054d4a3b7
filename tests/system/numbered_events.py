"""Events that carry a number, so that their order can be read off at the other end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"


def key_number(number: int) -> str:
    """A routing key made from a number."""
    return f"{number:032d}"


def trigger(key: str = KEY, number: int = 0) -> dict[str, Any]:
    """A valid v2 trigger that carries `number`."""
    return {
        "routing_key": key,
        "event_action": "trigger",
        "payload": {
            "summary": "disk usage on /var is 97%",
            "source": "web-17.example.com",
            "severity": "critical",
            "custom_details": {"number": number},
        },
    }


def number_of(received: Mapping[str, Any]) -> int:
    """The number of an event as the sandbox shows it."""
    number: int = received["body"]["payload"]["custom_details"]["number"]
    return number


def numbers_by_key(received: Iterable[Mapping[str, Any]]) -> dict[str, list[int]]:
    """The numbers of effective events by key, in order of arrival."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for event in received:
        if event["effective"]:
            numbers[event["routing_key"]].append(number_of(event))
    return dict(numbers)


def without_repetitions(numbers: Sequence[int]) -> list[int]:
    """`numbers` without those that only repeat the one before them."""
    return [n for place, n in enumerate(numbers) if place == 0 or n != numbers[place - 1]]


def repetitions(numbers: Sequence[int]) -> int:
    """How many of `numbers` were there before."""
    return sum(count - 1 for count in Counter(numbers).values())
