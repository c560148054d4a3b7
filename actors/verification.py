"""`journal verify`: whether the records of a journal, folded, give what its snapshots say."""

from __future__ import annotations

from pathlib import Path

import msgspec

from actors.core.evolve import evolve
from actors.core.state import QueueState, from_snapshot, to_snapshot
from store.inspection.journal_file import Damage, JournalFile
from store.inspection.verification import Consistency
from store.port import Snapshot
from store.records import Entry, EventAccepted, EventId, QueueHeld, QueueId, QueueReleased


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """The result. `compared`: snapshots for which every record was still there to compare.

    `waiting` and `dead` count the events that a start would find.
    """

    damage: list[Damage]
    records: int
    queues: int
    snapshots: int
    compared: int
    waiting: int
    dead: int


def verify(directory: Path) -> Verification:
    """Read everything in a journal that no agent has open, and list all damage.

    Changes nothing. Raises what `store.journal_file.JournalFile` raises.
    """
    with JournalFile(directory) as file:
        consistency, replay = Consistency(file), Replay(file)
        for entry in file.entries():
            consistency.note(entry)
            replay.note(entry)
        consistency.finish()
        replay.finish()
        file.check_free_list()
    states = [track.state for track in replay.tracks.values()]
    return Verification(
        damage=file.damage,
        records=consistency.records,
        queues=len(file.queues),
        snapshots=len(file.snapshots),
        compared=replay.compared,
        waiting=sum(len(state.waiting) for state in states),
        dead=sum(len(state.dead) for state in states),
    )


class _Track:
    """One queue: its state as a start would find it, and its whole life as far as it is there."""

    def __init__(
        self, queue: QueueId, state: QueueState | None, seq: int, *, comparable: bool = False
    ) -> None:
        self.state = QueueState(queue=queue) if state is None else state
        self.snapshot = None if state is None else to_snapshot(state)
        self.seq = seq
        self.whole: QueueState | None = QueueState(queue=queue) if comparable else None
        self.has_holds = False


class Replay:
    """To be shown every intact entry in order, then asked to `finish`; damage goes to `file`."""

    def __init__(self, file: JournalFile) -> None:
        self._file = file
        self._accepted: set[EventId] = set()
        self.compared = 0
        self.tracks = {
            queue: self._track(queue, file.snapshots.get(queue))
            for queue in sorted(file.queues.keys() | file.snapshots.keys())
        }

    def note(self, entry: Entry) -> None:
        """Fold one entry into its queue."""
        track = self.tracks.get(entry.queue)
        if track is None:
            track = self.tracks[entry.queue] = _Track(entry.queue, None, 0)
        if isinstance(entry.record, EventAccepted):
            self._accepted.add(entry.record.event)
        if entry.seq > track.seq:
            try:
                evolve(track.state, entry.record)
            except KeyError:
                self._file.note("it does not fit what came before it", entry.seq)
        elif track.whole is not None:
            track.has_holds |= isinstance(entry.record, QueueHeld | QueueReleased)
            try:
                evolve(track.whole, entry.record)
            except KeyError:
                track.whole = None  # the retention has removed what it builds upon

    def finish(self) -> None:
        """Compare snapshots, and see whether each event that is to be delivered has its record."""
        for queue, track in self.tracks.items():
            if track.whole is not None and track.snapshot is not None:
                self._compare(queue, track.whole, track)
            for event in [*track.state.waiting, *track.state.dead]:
                if event not in self._accepted:
                    self._file.note(f"event {event} of queue {queue} has lost its record")

    def _track(self, queue: QueueId, snapshot: Snapshot | None) -> _Track:
        if snapshot is None:
            return _Track(queue, None, 0)
        try:
            state = from_snapshot(snapshot.state)
        except (msgspec.MsgspecError, ValueError, TypeError) as error:
            self._file.note(f"the snapshot of queue {queue} can't be understood ({error})")
            return _Track(queue, None, 0)
        if state.queue != queue:
            self._file.note(f"the snapshot of queue {queue} is that of queue {state.queue}")
        return _Track(queue, state, snapshot.seq, comparable=not self._file.is_incomplete)

    def _compare(self, queue: QueueId, whole: QueueState, track: _Track) -> None:
        """Skipped if the counters show that records were removed."""
        assert track.snapshot is not None
        saved = from_snapshot(track.snapshot)
        counted, expected = (msgspec.structs.astuple(each.counters) for each in (whole, saved))
        if any(seen > known for seen, known in zip(counted, expected, strict=True)):
            self._file.note(f"the snapshot of queue {queue} lacks records that came before it")
        if counted != expected:
            return
        if not track.has_holds:
            whole.hold = saved.hold  # nothing counts holds, so their records may be gone
        self.compared += 1
        if to_snapshot(whole) != track.snapshot:
            self._file.note(f"the snapshot of queue {queue} is not what its records give")
