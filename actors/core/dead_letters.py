"""Events that can't be delivered as they are, and which of them a later event has superseded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import msgspec

from store.records import EventId, EventKind

# Which later event makes the retry of a dead letter harmful. After its alert was resolved, a
# trigger would open an incident that nothing closes; after the alert was triggered anew, an
# acknowledge or a resolve would silence an incident that it was not meant for.
SUPERSEDED_BY = {"trigger": "resolve", "acknowledge": "trigger", "resolve": "trigger"}


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event that can't be delivered as it is.

    `superseded_by` names the first event that was delivered later for the same alert, and after
    which a retry of this one would do harm (see `SUPERSEDED_BY`).
    """

    id: EventId
    position: int
    kind: EventKind
    action: str
    dedup_key: str
    accepted_at: float
    died_at: float
    attempts: int
    error: str
    room: int = 0
    superseded_by: EventId | None = None


class DeadLetters(OrderedDict[EventId, DeadLetter]):
    """By id, in the order in which they died. `add`, `change`, `take` and `supersede` change it.

    `room` is how many bytes of the journal all of them take.

    Those that a later event may supersede are found by that event: there can be a hundred thousand
    of them, and each delivery asks.
    """

    def __init__(self, letters: Iterable[DeadLetter] = ()) -> None:
        super().__init__()
        self.room = 0
        self._by_what_supersedes: dict[tuple[str, str], dict[EventId, None]] = {}
        for letter in letters:
            self.add(letter)

    def add(self, letter: DeadLetter) -> None:
        """An event has died."""
        self[letter.id] = letter
        self.room += letter.room
        what = _what_supersedes(letter)
        if what is not None:
            self._by_what_supersedes.setdefault(what, {})[letter.id] = None

    def change(self, letter: DeadLetter) -> None:
        """Replace the letter with this id by one that differs in its room."""
        self.room += letter.room - self[letter.id].room
        self[letter.id] = letter

    def take(self, event: EventId) -> DeadLetter | None:
        """The letter of this event, which is none any more; None if it wasn't one."""
        letter = self.get(event)
        if letter is None:
            return None
        del self[event]
        self.room -= letter.room
        what = _what_supersedes(letter)
        if what is not None:
            others = self._by_what_supersedes[what]
            del others[event]
            if not others:
                del self._by_what_supersedes[what]
        return letter

    def older_than(self, before: float, now: float) -> list[EventId]:
        """Those that died before `before` (seconds since 1970), by their order.

        Clocks get set: what died before an old one is old although its time lies in the future,
        what died after a recent one is recent although its time lies far back.
        """
        letters, old = list(self.values()), 0
        for number, letter in enumerate(letters, 1):
            if letter.died_at < before:
                old = number
            elif letter.died_at <= now:
                break
        return [letter.id for letter in letters[:old]]

    def beyond(self, room: int) -> list[EventId]:
        """The oldest, without which the others take `room` bytes at most."""
        excess, chosen = self.room - room, []
        for letter in self.values():
            if excess <= 0:
                break
            excess -= letter.room
            chosen.append(letter.id)
        return chosen

    def supersede(self, action: str, dedup_key: str, by: EventId) -> None:
        """Event `by` was delivered: note it with each letter that it supersedes."""
        for event in self._by_what_supersedes.pop((action, dedup_key), ()):
            self[event] = msgspec.structs.replace(self[event], superseded_by=by)


def _what_supersedes(letter: DeadLetter) -> tuple[str, str] | None:
    """Action and dedup key of the events that would; None if none can, or one has already."""
    action = SUPERSEDED_BY.get(letter.action)
    if action is None or letter.superseded_by is not None:
        return None
    return action, letter.dedup_key
