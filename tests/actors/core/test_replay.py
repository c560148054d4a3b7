"""Whatever happens to a queue, its records alone say how it stands."""

from __future__ import annotations

from typing import get_args

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.core.commands import (
    AcceptEvent,
    Command,
    DiscardEvents,
    ExpireDeadLetters,
    FinishDelivery,
    HoldQueue,
    LimitDeadLetters,
    NewEvent,
    Policy,
    Refusal,
    ReleaseQueue,
    ResumeQueue,
    RetryEvents,
    StartDelivery,
)
from actors.core.decide import Deliver, WakeAfter, decide, resume
from actors.core.evolve import evolve
from actors.core.state import QueueState, from_snapshot, to_snapshot
from actors.core.verdict import DeferReason, Deferred, Delivered, Rejected
from actors.core.waiting import stored
from store import codec
from store.records import ActorRestarted, EventId, Record
from tests.actors.core.life import NOW, QUEUE, A, accepted, after, deferred, given, started
from tests.simulation.witness import CLOSING, Witness

POLICY = Policy(max_queue_length=6, max_attempts=3)

REASONS = get_args(DeferReason)
WAITS = st.none() | st.floats(0.0, 3_600.0)
VERDICTS = (
    st.builds(Delivered, status=st.sampled_from([200, 202]), seconds=st.floats(0, 30))
    | st.builds(Deferred, reason=st.sampled_from(REASONS), retry_after=WAITS)
    | st.builds(Rejected, reason=st.just("http_400"), detail=st.text(max_size=5))
)
ACTIONS = st.sampled_from(["trigger", "acknowledge", "resolve"])
DEDUP_KEYS = st.sampled_from(["disk", "load"])


class Life(RuleBasedStateMachine):
    """One queue; every record goes through the codec, as it would over the disk."""

    @initialize()
    def begin(self) -> None:
        self.now = NOW
        self.state = given()
        self.journal: list[Record] = []
        self.snapshot = to_snapshot(self.state)
        self.snapshot_at = 0
        self.names: list[EventId] = []
        # It knows nothing of the core: only what must be true of the next record.
        self.witness = Witness(POLICY.max_queue_length)
        self.witness.clock_jumps = True

    def perform(self, command: Command) -> None:
        before = to_snapshot(self.state)
        records = decide(self.state, command, self.now, POLICY)
        assert to_snapshot(self.state) == before, "deciding changes nothing"
        if isinstance(records, Refusal):
            assert records.message
            return
        for record in records:
            seq = len(self.journal) + 1
            [row] = codec.rows_of(QUEUE, [(seq, record)])
            [(_, _, stored)] = map(msgspec.structs.astuple, codec.entries_in(*row))
            assert stored == record
            self.witness.see(QUEUE, record)
            self.journal.append(record)
            self.state = evolve(self.state, record)

    @rule(
        action=ACTIONS,
        dedup_key=DEDUP_KEYS,
        kind=st.sampled_from(["v1", "v2", "change"]),
        lag=st.none() | st.floats(0.0, 100.0),
    )
    def accept(self, action: str, dedup_key: str, kind: str, lag: float | None) -> None:
        name = EventId(f"event-{len(self.names)}")
        self.names.append(name)
        event = NewEvent(id=name, kind=kind, action=action, dedup_key=dedup_key, body=b"{}")  # type: ignore[arg-type]
        if lag is not None:
            closing = msgspec.structs.replace(
                event, id=EventId(f"{CLOSING} {name}"), action="resolve"
            )
            event = msgspec.structs.replace(event, occurred_at=self.now - lag, closing=closing)
        self.perform(AcceptEvent(event))

    @precondition(lambda self: self.state.waiting or self.state.dead)
    @rule(data=st.data())
    def accept_again(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from([*self.state.waiting, *self.state.dead]))
        event = NewEvent(id=name, kind="v2", action="trigger", dedup_key="disk", body=b"{}")
        assert decide(self.state, AcceptEvent(event), self.now, POLICY) == []

    @rule()
    def start(self) -> None:
        self.perform(StartDelivery())

    @precondition(lambda self: self.state.in_flight)
    @rule(verdict=VERDICTS, chance=st.floats(0, 1, exclude_max=True))
    def finish(self, verdict: Delivered | Deferred | Rejected, chance: float) -> None:
        assert self.state.in_flight is not None
        self.perform(FinishDelivery(self.state.in_flight, verdict, chance))

    @precondition(lambda self: self.names)
    @rule(data=st.data(), verdict=VERDICTS)
    def finish_late(self, data: st.DataObject, verdict: Delivered | Deferred | Rejected) -> None:
        name = data.draw(st.sampled_from(self.names))
        if name != self.state.in_flight:
            assert decide(self.state, FinishDelivery(name, verdict, 0.5), self.now, POLICY) == []

    @rule(data=st.data(), force=st.booleans())
    def retry(self, data: st.DataObject, force: bool) -> None:
        self.perform(RetryEvents(self.some(data), force=force))

    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        self.perform(DiscardEvents(self.some(data), "by hand"))

    def some(self, data: st.DataObject) -> list[EventId] | None:
        if not self.names:
            return None
        return data.draw(st.none() | st.lists(st.sampled_from(self.names), max_size=3))

    @rule(age=st.floats(0.0, 1_000.0))
    def expire(self, age: float) -> None:
        self.perform(ExpireDeadLetters(self.now - age))

    @rule(room=st.integers(0, 5_000))
    def limit_dead_letters(self, room: int) -> None:
        self.witness.journal_limit = 4 * room  # a key's dead letters may fill a quarter
        self.perform(LimitDeadLetters(room))
        self.witness.journal_limit = 1 << 62
        assert self.state.dead.room <= room

    @invariant()
    def the_room_that_is_taken_is_the_sum_over_the_events(self) -> None:
        for events in (self.state.waiting, self.state.dead):
            assert all(event.room > 0 for event in events.values())
        assert self.state.waiting_room == sum(e.room for e in self.state.waiting.values())
        assert self.state.dead.room == sum(e.room for e in self.state.dead.values())

    @rule(reason=st.sampled_from(["one", "another"]))
    def hold(self, reason: str) -> None:
        self.perform(HoldQueue(reason))

    @rule()
    def release(self) -> None:
        self.perform(ReleaseQueue())

    @rule(seconds=st.floats(0.0, 100.0) | st.sampled_from([-86_400.0, 86_400.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def save(self) -> None:
        self.snapshot, self.snapshot_at = to_snapshot(self.state), len(self.journal)

    @rule()
    def crash(self) -> None:
        """Memory is lost, the attempt that was under way has no outcome."""
        self.state = self.replayed()
        self.perform(ResumeQueue("killed"))
        assert self.state.in_flight is None

    def replayed(self) -> QueueState:
        state = from_snapshot(self.snapshot)
        for record in self.journal[self.snapshot_at :]:
            state = evolve(state, record)
        return state

    @invariant()
    def replay_gives_the_same_state_bit_for_bit(self) -> None:
        live = to_snapshot(self.state)
        assert to_snapshot(given(*self.journal)) == live, "from all records"
        assert to_snapshot(self.replayed()) == live, "from the snapshot and what came after it"
        assert to_snapshot(from_snapshot(live)) == live

    @invariant()
    def only_the_first_is_in_flight(self) -> None:
        in_flight = [e.id for e in self.state.waiting.values() if e.state == "in_flight"]
        assert in_flight == ([] if self.state.in_flight is None else [self.state.in_flight])
        if in_flight:
            assert in_flight == list(self.state.waiting)[:1]
        # What a retry of deferred events relies on:
        others = list(self.state.waiting.values())[1:]
        assert all(event.state == "queued" for event in others)

    @invariant()
    def the_counters_add_up(self) -> None:
        state, counters = self.state, self.state.counters
        ended = counters.delivered + counters.discarded
        assert counters.accepted == ended + len(state.waiting) + len(state.dead)
        unknown = counters.restarts + bool(state.in_flight)
        finished = counters.delivered + counters.deferred + counters.dead_lettered
        assert counters.started == finished + unknown

    @invariant()
    def the_positions_rise(self) -> None:
        positions = [event.position for event in self.state.waiting.values()]
        assert positions == sorted(set(positions))
        assert all(position < self.state.next_position for position in positions)

    @invariant()
    def what_waits_has_something_to_wait_for(self) -> None:
        state = self.state
        match resume(state, self.now):
            case Deliver(event=event):
                assert event == next(iter(state.waiting))
            case WakeAfter(seconds=seconds):
                assert 0 < seconds <= 3_600.0
                assert isinstance(resume(state, self.now + seconds + 0.001), Deliver)
            case None:
                assert state.in_flight or state.hold or not state.waiting


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)


def test_a_restart_of_queue_or_agent_keeps_what_counts_towards_giving_up() -> None:
    state = given(accepted(A), started(A), deferred(A), started(A, 2), deferred(A), started(A, 3))
    before = msgspec.structs.asdict(stored(state.waiting[A]))
    assert before["strikes"] == 2
    restarted = after(state, ActorRestarted(reason="the agent ended", at=NOW))
    kept = msgspec.structs.asdict(stored(from_snapshot(to_snapshot(restarted)).waiting[A]))
    for fields in (before, kept):
        del fields["state"], fields["last_error"]
    assert kept == before


def test_a_snapshot_of_a_long_queue_has_pieces_and_earlier_ones_have_one() -> None:
    state = given(*(accepted(EventId(f"e{number}"), number) for number in range(1, 2_502)))
    pieces = to_snapshot(state)
    assert len(pieces) == 3
    assert from_snapshot(pieces) == state
    whole, *more = (msgspec.msgpack.decode(piece) for piece in pieces)
    for piece in more:
        whole["waiting"] += piece.pop("waiting")
        assert piece == {}
    assert from_snapshot([msgspec.msgpack.encode(whole)]) == state


def test_a_snapshot_of_an_older_program_is_understood() -> None:
    """New fields have defaults, so that a journal outlives the program that wrote it."""
    state = given()
    plain = msgspec.msgpack.decode(*to_snapshot(state))
    for name in ("pace", "alerts", "last_error", "last_started_at"):
        del plain["state"][name]
    assert "alerts" not in plain
    assert from_snapshot([msgspec.msgpack.encode(plain)]) == state
