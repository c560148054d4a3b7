"""`journal verify`: what a start would find, and whether the records of a journal make sense."""

from __future__ import annotations

from pathlib import Path

import msgspec

from actors.core.evolve import evolve
from actors.core.state import QueueState, from_snapshot
from store.inspection.journal_file import Damage, JournalFile
from store.inspection.verification import Consistency
from store.inspection.watching import WatchRows, unwatched
from store.port import Snapshot
from store.records import Entry, EventAccepted, EventId, QueueId


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """The result. `waiting` and `dead` count the events that a start would find."""

    damage: list[Damage]
    records: int
    queues: int
    snapshots: int
    waiting: int
    dead: int


def verify(directory: Path, watch: WatchRows = unwatched) -> Verification:
    """Read everything in a journal that no agent has open, and list all damage.

    Changes nothing. `watch` sees how far it has come. Raises what `JournalFile` raises.
    """
    with JournalFile(directory, watch) as file:
        consistency, replay = Consistency(file), Replay(file)
        for entry in file.entries():
            consistency.note(entry)
            replay.fold(entry)
        consistency.finish()
        replay.finish()
        file.check_free_list()
    states = replay.states.values()
    return Verification(
        damage=file.damage,
        records=consistency.records,
        queues=len(file.queues),
        snapshots=len(file.snapshots),
        waiting=sum(len(state.waiting) for state in states),
        dead=sum(len(state.dead) for state in states),
    )


class Replay:
    """Folds intact entries in order to the `states` that a start would find.

    What doesn't fit is noted as damage of `file`.
    """

    def __init__(self, file: JournalFile) -> None:
        self._file = file
        self.accepted: set[EventId] = set()
        self._folded: dict[QueueId, int] = {}
        self.states = {queue: QueueState(queue=queue) for queue in file.queues}
        for queue, snapshot in file.snapshots.items():
            self._begin_with(queue, snapshot)

    def fold(self, entry: Entry) -> bool:
        """Fold one entry into its queue; False if it does not fit."""
        if entry.seq > self._folded.get(entry.queue, 0):
            state = self.states.setdefault(entry.queue, QueueState(queue=entry.queue))
            try:
                evolve(state, entry.record)
            except KeyError:
                self._file.note("it does not fit what came before it", entry.seq)
                return False
        if isinstance(entry.record, EventAccepted):
            self.accepted.add(entry.record.event)
        return True

    def finish(self) -> None:
        """See whether each event that is to be delivered has its record."""
        for queue, state in self.states.items():
            for event in [*state.waiting, *state.dead]:
                if event not in self.accepted:
                    self._file.note(f"event {event} of queue {queue} has lost its record")

    def _begin_with(self, queue: QueueId, snapshot: Snapshot) -> None:
        try:
            state = from_snapshot(snapshot.pieces)
        except (msgspec.MsgspecError, ValueError, TypeError) as error:
            self._file.note(f"the snapshot of queue {queue} can't be understood ({error})")
            return
        if state.queue == queue:
            self.states[queue], self._folded[queue] = state, snapshot.seq
        else:
            self._file.note(f"the snapshot of queue {queue} is that of queue {state.queue}")
