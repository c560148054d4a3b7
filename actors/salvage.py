"""`journal salvage`: a new journal with all that is intact in a damaged one, ready to be used."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from actors.core.state import encoded, picture
from actors.verification import Replay
from store.environment import DATA_FILE, give_to_owner_of
from store.inspection.journal_file import Damage, JournalFile
from store.inspection.rebuilding import rebuild
from store.inspection.watching import WatchRows, unwatched
from store.records import (
    Entry,
    EventAccepted,
    EventDelivered,
    EventDiscarded,
    EventId,
)
from store.tables import AGENT_ID, SANDBOX


class Salvaged(msgspec.Struct, frozen=True, kw_only=True):
    """What was saved. `left_out` are intact records that mean nothing without lost ones.

    `lost` are events whose body or routing key is gone. If `may_have_lost_more`, events may be gone
    without a trace. `waiting` and `dead` count the events that the new journal
    will deliver or show.
    """

    damage: list[Damage]
    records: int
    left_out: int
    lost: list[EventId]
    may_have_lost_more: bool
    waiting: int
    dead: int


def salvage(source: Path, target: Path, watch: WatchRows = unwatched) -> Salvaged:
    """Write what can be saved of the journal in `source` as a new one in `target`.

    `source` is not changed. An event whose delivery was recorded in a lost record is delivered
    again. `watch` sees how far each of the two passes has come. Raises what `JournalFile` and
    `rebuild` raise.
    """
    with JournalFile(source, watch) as file:
        choice = _Choice(file)
        found_first = len(file.damage)
        for entry in file.entries():
            choice.note(entry)
        found_in_records = len(file.damage)
        choice.take_out(file.events())
        # With its tables and the index of events whole, the file names all that records have lost.
        may_have_lost_more = found_first > 0 or len(file.damage) > found_in_records
        agent_id = file.meta.get(AGENT_ID, b"").decode("ascii", "replace")
        sandbox = SANDBOX in file.meta
        last_seq = max(choice.last, file.newest)
        damage = file.damage
    with JournalFile(source, watch) as again:
        rebuild(
            target,
            agent_id=agent_id,
            last_seq=last_seq,
            queues=again.queues,
            snapshots={queue: encoded(picture(state)) for queue, state in choice.states.items()},
            entries=(entry for entry in again.entries() if entry.seq not in choice.left_out),
            room=(source / DATA_FILE).stat().st_size,
            sandbox=sandbox,
        )
    give_to_owner_of(source, target, *target.iterdir())
    states = choice.states.values()
    return Salvaged(
        damage=damage,
        records=choice.records - len(choice.left_out),
        left_out=len(choice.left_out),
        lost=choice.lost,
        may_have_lost_more=may_have_lost_more,
        waiting=sum(len(state.waiting) for state in states),
        dead=sum(len(state.dead) for state in states),
    )


class _Choice(Replay):
    """Folds what is there and finds out which records to leave out, and which events are lost."""

    def __init__(self, file: JournalFile) -> None:
        super().__init__(file)
        for queue in self.states.keys() - file.queues.keys():
            del self.states[queue]  # its routing key is gone
        self.left_out: set[int] = set()
        self.lost: list[EventId] = []
        self.records = 0
        self.last = 0
        self._ended: set[EventId] = set()

    def note(self, entry: Entry) -> None:
        """Fold one entry, or leave it out."""
        self.records += 1
        self.last = entry.seq
        record = entry.record
        if isinstance(record, EventDelivered | EventDiscarded):
            self._ended.add(record.event)
        if entry.queue not in self.states:
            self.left_out.add(entry.seq)
            if isinstance(record, EventAccepted):
                self.lost.append(record.event)
        elif not self.fold(entry):
            self.left_out.add(entry.seq)

    def take_out(self, index: Iterable[tuple[EventId, object, int]]) -> None:
        """Take out events that can't be delivered any more; what was under way starts again.

        The `index` of events knows those whose acceptance can't be read, unless they have ended.
        """
        known = self.accepted | self._ended | set(self.lost)
        lost = [event for event, *_ in index if event not in known]
        for state in self.states.values():
            for event in [id_ for id_ in state.waiting if id_ not in self.accepted]:
                state.waiting.take(event)
                self.lost.append(event)
            for event in [id_ for id_ in state.dead if id_ not in self.accepted]:
                state.dead.take(event)
                self.lost.append(event)
            state.in_flight = None
            for waiting in list(state.waiting.values()):
                if waiting.state == "in_flight":
                    trials = msgspec.structs.replace(waiting.trials, state="queued")
                    state.waiting.change(waiting.after(trials))
        self.lost = list(dict.fromkeys([*self.lost, *lost]))
