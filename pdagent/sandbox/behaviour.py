"""How the stand-in misbehaves, and how that is changed, by option or while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from pdagent.events import is_routing_key
from pdagent.masking import mask

EVERY_KEY = "*"
LONGEST_PAUSE = 3600.0  # seconds


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """What the stand-in does to its callers; the default is to behave.

    `latency` is a range of seconds, `hang` and `rate_window` are seconds, `rate_limit` counts calls
    per key in any `rate_window`, `fail_rate` and `drop_rate` are shares from 0 to 1, `retry_after`
    is sent as it is, `heartbeat_interval` (seconds) is sent to agents.
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
        shown["hang_key"] = sorted(key if key == EVERY_KEY else mask(key) for key in self.hang_key)
        return shown

    def __repr__(self) -> str:
        return f"Behaviour({self.as_json()})"


class BehaviourError(Exception):
    """A setting can't be used. `problems` are pairs of the setting's name and what is wrong."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{name} {text}" for name, text in problems))
        self.problems = problems


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


def _parser(kind: Any, allowed: str) -> Callable[[object], Any]:
    def parse(value: object) -> Any:
        try:
            return msgspec.convert(value, kind, strict=False)
        except msgspec.ValidationError:
            raise ValueError(f"must be {allowed}") from None

    return parse


seconds = _parser(
    Annotated[float, Meta(gt=0, le=LONGEST_PAUSE)], "a number of seconds above 0 and up to 3600"
)
"""A length of time in seconds; raises ValueError."""

_LATENCY = "seconds (up to 3600), or a range of seconds MIN..MAX, the smaller first"
_pause = _parser(Annotated[float, Meta(ge=0, le=LONGEST_PAUSE)], _LATENCY)


def _latency(value: object) -> tuple[float, float]:
    match value:
        case str() if ".." in value:
            ends: list[object] = list(value.split("..", 1))
        case [shortest, longest]:
            ends = [shortest, longest]
        case _:
            ends = [value, value]
    first, last = map(_pause, ends)
    if first > last:
        raise ValueError(f"must be {_LATENCY}")
    return first, last


def _keys(value: object) -> frozenset[str]:
    keys = list(value) if isinstance(value, list | tuple) else [] if value is None else [value]
    if not all(isinstance(key, str) and (key == EVERY_KEY or is_routing_key(key)) for key in keys):
        raise ValueError("must be a routing key (32 letters and digits), a list of them, or *")
    return frozenset(map(str, keys))


def _retry_after(value: object) -> str | None:
    match value:
        case None:
            return None
        case int() if not isinstance(value, bool) and value >= 0:
            return str(value)
        case str() if value.isascii() and value.isprintable() and value.strip():
            return value
    raise ValueError("must be a number of whole seconds or an HTTP date")


_Failure = Annotated[int, Meta(ge=300, le=599)]
_STATUS = "an HTTP status code from 300 to 599"
_Share = Annotated[float, Meta(ge=0, le=1)]
_SHARE = "a number from 0 to 1"

_SETTINGS: dict[str, Callable[[object], Any]] = {
    "fail": _parser(_Failure | None, _STATUS),
    "fail_rate": _parser(_Share, _SHARE),
    "fail_code": _parser(_Failure, _STATUS),
    "latency": _latency,
    "hang_key": _keys,
    "hang": seconds,
    "rate_limit": _parser(Annotated[int, Meta(ge=1)] | None, "a whole number of calls, at least 1"),
    "rate_window": seconds,
    "retry_after": _retry_after,
    "drop_rate": _parser(_Share, _SHARE),
    "heartbeat_interval": _parser(
        Annotated[int, Meta(ge=1, le=86_400)], "a whole number of seconds from 1 to 86400"
    ),
}
