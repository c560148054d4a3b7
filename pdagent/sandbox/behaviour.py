"""How the stand-in misbehaves, and how that is changed, by option or while it runs."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from pdagent.masking import mask
from pdagent.sandbox.validation import is_routing_key

EVERY_KEY = "*"
LONGEST_PAUSE = 3600.0


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """What the stand-in does to its callers; the default is to behave.

    `latency` is a range of seconds, `hang` and `rate_window` are seconds, `rate_limit` counts calls
    per key in any `rate_window`, `fail_rate` and `drop_rate` are shares from 0 to 1, `retry_after`
    is sent as it is, `heartbeat_interval` (seconds) is what agents are told.
    """

    fail: int | None = None
    fail_rate: float = 0.0
    fail_code: int = 500
    latency: tuple[float, float] = (0.0, 0.0)
    hang_key: frozenset[str] = frozenset()
    hang: float = 30.0
    rate_limit: int | None = None
    rate_window: float = 60.0
    retry_after: str | None = None
    drop_rate: float = 0.0
    heartbeat_interval: int = 3600

    def hangs(self, routing_key: str) -> bool:
        """Whether answers for `routing_key` hang."""
        return routing_key in self.hang_key or EVERY_KEY in self.hang_key

    def as_json(self) -> dict[str, Any]:
        """The settings as a JSON object, keys masked."""
        shown = msgspec.structs.asdict(self)
        shown["latency"] = list(self.latency)
        shown["hang_key"] = sorted(key if key == EVERY_KEY else mask(key) for key in self.hang_key)
        return shown

    def __repr__(self) -> str:
        return f"Behaviour({self.as_json()})"


class BehaviourError(Exception):
    """A setting can't be used. `problems` are pairs of the setting's name and what is wrong."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{name} {text}" for name, text in problems))
        self.problems = problems


class Dice:
    """The chances the stand-in takes; the same seed and calls give the same outcomes.

    Each kind of chance has its own dice, so that changing one rate doesn't shift the others.
    """

    def __init__(self, seed: int | None = None) -> None:
        def dice(name: str) -> random.Random:
            return random.Random(None if seed is None else f"{seed}:{name}")

        self._fail, self._drop, self._latency = dice("fail"), dice("drop"), dice("latency")

    def fails(self, behaviour: Behaviour) -> bool:
        """Whether this answer is one of those that `fail_rate` spoils."""
        return behaviour.fail_rate > 0 and self._fail.random() < behaviour.fail_rate

    def drops(self, behaviour: Behaviour) -> bool:
        """Whether this answer is one of those that `drop_rate` withholds."""
        return behaviour.drop_rate > 0 and self._drop.random() < behaviour.drop_rate

    def latency(self, behaviour: Behaviour) -> float:
        """Seconds to wait before this answer."""
        shortest, longest = behaviour.latency
        return shortest if shortest == longest else self._latency.uniform(shortest, longest)


def changed(behaviour: Behaviour, changes: Mapping[str, Any]) -> Behaviour:
    """`behaviour` with `changes` (setting name -> value as in JSON or from the command line).

    Raises BehaviourError, naming every problem, if a name is unknown or a value is not allowed.
    """
    problems: list[tuple[str, str]] = []
    values: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in _SETTINGS:
            problems.append((name, f"is unknown; there are {', '.join(_SETTINGS)}"))
            continue
        try:
            values[name] = _SETTINGS[name](value)
        except ValueError as error:
            problems.append((name, str(error)))
    if problems:
        raise BehaviourError(problems)
    return msgspec.structs.replace(behaviour, **values)


def seconds(value: object) -> float:
    """`value` as a length of time above zero in seconds; raises ValueError."""
    return _number(value, LONGEST_PAUSE, "a number of seconds above 0 and up to 3600", above=True)


def _number(value: object, longest: float, allowed: str, *, above: bool = False) -> float:
    try:
        # A JSON true is an int to Python, but nobody means one second by it.
        number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0 <= number <= longest or (above and number == 0):
        raise ValueError(f"must be {allowed}")
    return number


def _share(value: object) -> float:
    return _number(value, 1, "a number from 0 to 1")


def _whole(least: int, greatest: int, allowed: str) -> Callable[[object], int]:
    def parse(value: object) -> int:
        number = _number(value, greatest, allowed)
        if number < least or number != int(number):
            raise ValueError(f"must be {allowed}")
        return int(number)

    return parse


def _or_none(parse: Callable[[object], int]) -> Callable[[object], int | None]:
    return lambda value: None if value is None else parse(value)


def _latency(value: object) -> tuple[float, float]:
    allowed = "seconds (up to 3600), or a range of seconds MIN..MAX"
    match value:
        case str() if ".." in value:
            ends: list[object] = list(value.split("..", 1))
        case [shortest, longest]:
            ends = [shortest, longest]
        case _:
            ends = [value, value]
    first, last = (_number(end, LONGEST_PAUSE, allowed) for end in ends)
    if first > last:
        raise ValueError(f"must be {allowed}, the smaller first")
    return first, last


def _keys(value: object) -> frozenset[str]:
    match value:
        case None:
            keys: list[object] = []
        case str():
            keys = [value]
        case list() | tuple():
            keys = list(value)
        case _:
            keys = [None]
    found = frozenset(
        key for key in keys if isinstance(key, str) and (key == EVERY_KEY or is_routing_key(key))
    )
    if len(found) < len(set(map(str, keys))):
        raise ValueError("must be a routing key (32 letters and digits), a list of them, or *")
    return found


def _retry_after(value: object) -> str | None:
    match value:
        case None:
            return None
        case int() if not isinstance(value, bool) and value >= 0:
            return str(value)
        case str() if value.isascii() and value.isprintable() and value.strip():
            return value
    raise ValueError("must be a number of whole seconds or an HTTP date")


_FAILURE_ALLOWED = "an HTTP status code from 300 to 599"
_failure = _whole(300, 599, _FAILURE_ALLOWED)

_SETTINGS: dict[str, Callable[[object], Any]] = {
    "fail": _or_none(_failure),
    "fail_rate": _share,
    "fail_code": _failure,
    "latency": _latency,
    "hang_key": _keys,
    "hang": seconds,
    "rate_limit": _or_none(_whole(1, 1_000_000, "a whole number of calls, at least 1")),
    "rate_window": seconds,
    "retry_after": _retry_after,
    "drop_rate": _share,
    "heartbeat_interval": _whole(1, 86_400, "a whole number of seconds from 1 to 86400"),
}
