"""Keys of a terminal, one by one and by name."""

from __future__ import annotations

import codecs
import os
import termios
import tty
from collections.abc import Iterator
from typing import Any

_NAMED = {
    "\x03": "interrupt",
    "\x15": "clear",
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\x08": "backspace",
}
_SEQUENCES = {
    "[A": "up",
    "OA": "up",
    "[B": "down",
    "OB": "down",
    "[H": "home",
    "OH": "home",
    "[1~": "home",
    "[F": "end",
    "OF": "end",
    "[4~": "end",
    "[5~": "page up",
    "[6~": "page down",
}
_LONGEST_READ = 1024


class Keyboard:
    """Reads keys from the terminal `descriptor`, unechoed, as long as its `with` block lasts.

    The terminal is as it was before at the end, whatever ends the block; `rest` and `wake` do that
    in between, for a process that is suspended.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._before: Any = None
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode

    def __enter__(self) -> Keyboard:
        self._before = termios.tcgetattr(self.descriptor)
        self.wake()
        return self

    def __exit__(self, *_: object) -> None:
        self.rest()

    def wake(self) -> None:
        """Take keys one by one."""
        tty.setcbreak(self.descriptor, termios.TCSADRAIN)

    def rest(self) -> None:
        """Give the terminal back as it was. What was typed meanwhile is thrown away."""
        termios.tcsetattr(self.descriptor, termios.TCSAFLUSH, self._before)

    def read(self) -> list[str]:
        """The names of the keys pressed so far; `interrupt` alone when the terminal is gone."""
        try:
            data = os.read(self.descriptor, _LONGEST_READ)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        return list(names(self._decode(data))) if data else ["interrupt"]


def names(text: str) -> Iterator[str]:
    """The keys in what a terminal sent: a character, or a name such as `up` and `enter`.

    A terminal sends a sequence at once, so an escape with nothing known behind it is the key.
    """
    place = 0
    while place < len(text):
        character = text[place]
        place += 1
        if character != "\x1b":
            yield _NAMED.get(character, character)
            continue
        found = next((s for s in _SEQUENCES if text.startswith(s, place)), None)
        if found is not None:
            place += len(found)
            yield _SEQUENCES[found]
        elif text[place : place + 1] in ("[", "O") and place + 1 < len(text):
            place = _behind_sequence(text, place + 1)  # some other key, which means nothing here
        else:
            yield "escape"


def _behind_sequence(text: str, place: int) -> int:
    while place < len(text) and not "@" <= text[place] <= "~":
        place += 1
    return place + 1
