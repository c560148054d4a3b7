"""What is wrong with an event, in sentences for its sender."""

from __future__ import annotations

import re

from msgspec import Raw

from pdagent.events import rawjson

MAX_PROBLEMS = 20
"""So many problems of one event are named; the others are only counted."""

_LIKE_A_KEY = re.compile("[A-Za-z0-9_+-]{20,}")
# A shorter key could be any word, and would blank out half of a sentence.
_SHORTEST_SECRET = 6
_LONGEST_QUOTE = 60


class Problems:
    """Problems in the order in which they are found.

    `secret`, a routing key that may be in the wrong field as well, is in none of the sentences.
    """

    def __init__(self) -> None:
        self.secret = ""
        self._named: list[str] = []
        self._unnamed = 0

    def __bool__(self) -> bool:
        return bool(self._named)

    @property
    def sentences(self) -> tuple[str, ...]:
        """One for each problem up to `MAX_PROBLEMS`, then one with the number of the others."""
        more = (f"the event: has {self._unnamed:,} more problems",) if self._unnamed else ()
        return (*self._named, *more)

    def add(self, sentence: str, *parts: object) -> None:
        """Name a problem; `parts` go into the braces of `sentence` only if it is needed."""
        if len(self._named) < MAX_PROBLEMS:
            self._named.append(sentence.format(*parts))
        else:
            self._unnamed += 1

    def add_lack(self, path: str, value: Raw | None, takes: str) -> None:
        """Say that a required value is missing (also null), empty or blank."""
        if value is None or rawjson.is_null(value):
            lack = "missing"
        else:
            lack = "empty" if bytes(value) == b'""' else "blank"
        self.add("{}: is {}, it takes {}", path, lack, takes)

    def add_type(self, path: str, value: Raw, takes: str) -> None:
        """Say that a value has the wrong type."""
        self.add("{}: is {}, it takes {}", path, rawjson.kind_of(value), takes)

    def add_value(self, path: str, given: str, rule: str) -> None:
        """Say that a text breaks a rule, and repeat it."""
        if len(self.secret) >= _SHORTEST_SECRET:
            given = given.replace(self.secret, "…")
        given = _LIKE_A_KEY.sub("…", given)
        quoted = repr(given if len(given) <= _LONGEST_QUOTE else f"{given[:_LONGEST_QUOTE]}…")
        self.add("{}: {} is not {}", path, quoted, rule)
