"""The lease of a relay: never two who may deliver, and no change of owner without need."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from actors.core.lease import FREE, PATIENCE, RENEW_EVERY, VALID, Lease, ReadLease, WriteLease

PROCESSES = 3


class Engine:
    """The row, with all the values that it has had."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, int]] = [(FREE, 0)]

    def put(self, owner: str, expected: int) -> int | None:
        """The new revision, or None if another one was expected."""
        _, revision = self.rows[-1]
        if revision != expected:
            return None
        self.rows.append((owner, revision + 1))
        return revision + 1


class Operation(msgspec.Struct):
    """What a process has asked of the engine; `result` once the engine has done it."""

    owner: str
    step: ReadLease | WriteLease
    result: tuple[str, int] | int | None = None
    done: bool = False

    def reach(self, engine: Engine, behind: int = 0) -> None:
        """It arrives at the engine, a read at a node that is so many rows behind."""
        if not self.done:
            self.done = True
            match self.step:
                case WriteLease(expected=expected):
                    self.result = engine.put(self.owner, expected)
                case ReadLease():
                    self.result = engine.rows[max(0, len(engine.rows) - 1 - behind)]


class Process:
    def __init__(self, name: str, offset: float, rate: float) -> None:
        self.name, self.offset, self.rate = name, offset, rate
        self.life = 0
        self.operation: Operation | None = None
        self.lease = Lease(name)

    def restart(self, *, free_from: float) -> None:
        self.life += 1
        self.lease = Lease(f"{self.name}.{self.life}", free_from=free_from)

    @property
    def me(self) -> str:
        return f"{self.name}.{self.life}" if self.life else self.name

    def now(self, time: float) -> float:
        return self.offset + self.rate * time

    def begin(self, time: float) -> None:
        if self.operation is None and not self.lease.lost:
            self.operation = Operation(self.me, self.lease.next(self.now(time)))

    def answered(self, time: float) -> None:
        operation, self.operation = self.operation, None
        assert operation is not None
        match operation.result:
            case (owner, revision):
                self.lease.seen(owner, revision, self.now(time))
            case None:
                self.lease.refused()
            case revision:
                self.lease.written(revision)


numbers = st.integers(0, PROCESSES - 1)


class TwoOwners(RuleBasedStateMachine):
    """All interleavings of clocks, of what the engine does and answers, pauses and restarts.

    A pause of a process is time that passes between two of its steps, wherever it is.
    """

    @initialize(
        offsets=st.lists(st.floats(0, 1000), min_size=PROCESSES, max_size=PROCESSES),
        rates=st.lists(st.floats(0.81, 1.19), min_size=PROCESSES, max_size=PROCESSES),
    )
    def start(self, offsets: list[float], rates: list[float]) -> None:
        self.time, self.engine = 0.0, Engine()
        self.lost: list[Operation] = []
        self.processes = [
            Process(f"relay{n}", *clock) for n, clock in enumerate(zip(offsets, rates, strict=True))
        ]

    @rule(seconds=st.floats(0, 10))
    def wait(self, seconds: float) -> None:
        self.time += seconds

    @rule(number=numbers)
    def begin(self, number: int) -> None:
        self.processes[number].begin(self.time)

    @rule(number=numbers, behind=st.sampled_from([0, 0, 0, 1, 3]))
    def reach(self, number: int, behind: int) -> None:
        operation = self.processes[number].operation
        if operation is not None:
            operation.reach(self.engine, behind)

    @rule(number=numbers)
    def answer(self, number: int) -> None:
        process = self.processes[number]
        if process.operation is not None and process.operation.done:
            process.answered(self.time)

    @rule(number=numbers)
    def lose_the_answer(self, number: int) -> None:
        process = self.processes[number]
        if process.operation is not None:
            self.lost.append(process.operation)
            process.operation = None
            process.lease.unanswered()

    @rule(index=st.integers(0, 5))
    def reach_late(self, index: int) -> None:
        if index < len(self.lost):
            self.lost.pop(index).reach(self.engine)

    @rule(number=numbers, seconds=st.lists(st.floats(0.9, 1.1), min_size=1, max_size=9))
    def go_on(self, number: int, seconds: list[float]) -> None:
        """One process goes on for a while without any trouble: to get anywhere at all."""
        process = self.processes[number]
        for each in seconds:
            for _ in range(2):
                process.begin(self.time)
                self.reach(number, 0)
                self.answer(number)
                self.one_holds_it_at_most()
            self.time += each
            self.one_holds_it_at_most()

    @rule(number=numbers, orderly=st.booleans(), free_from=st.floats(0, 20))
    def restart(self, number: int, orderly: bool, free_from: float) -> None:
        process = self.processes[number]
        if process.operation is not None:
            self.lost.append(process.operation)
            process.operation = None
        elif orderly and (expected := process.lease.give_up()) is not None:
            self.engine.put(FREE, expected)
        process.restart(free_from=process.now(self.time) + free_from)

    @invariant()
    def one_holds_it_at_most(self) -> None:
        processes = getattr(self, "processes", [])
        holders = [p.me for p in processes if p.lease.holds(p.now(self.time))]
        assert len(holders) <= 1, holders
        if holders:
            # Only what one process wrote last, or a later write of its own, is valid.
            assert holders[0] == self.engine.rows[-1][0]


TestNeverTwoOwners = TwoOwners.TestCase
TestNeverTwoOwners.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)


class Run:
    """Processes that do one step each `RENEW_EVERY`, with an engine that is down at times."""

    def __init__(self, outages: list[tuple[float, float]], delays: list[float]) -> None:
        self.engine, self.outages, self.delays = Engine(), outages, delays
        self.processes = [Process(f"relay{n}", n * 100.0, 1.0) for n in range(PROCESSES)]
        self.at = [0.0, 0.3, 0.6]
        self.steps = 0

    def is_up(self, time: float) -> bool:
        return not any(begin <= time < end for begin, end in self.outages)

    def until(self, time: float, *, without: int | None = None) -> None:
        while True:
            number = min((n for n in range(PROCESSES) if n != without), key=self.at.__getitem__)
            if self.at[number] > time:
                return
            self.at[number] = self._step(self.processes[number], self.at[number])

    def owners(self) -> list[int]:
        return [n for n, process in enumerate(self.processes) if process.lease.owned]

    def _step(self, process: Process, began: float) -> float:
        """One step that begins then, and a write that follows on a read; when the next is due."""
        now = began
        for _ in range(2):
            if process.lease.lost:
                break
            delay = self.delays[self.steps % len(self.delays)]
            self.steps += 1
            process.begin(now)
            now += delay
            assert process.operation is not None
            if not (self.is_up(now - delay) and self.is_up(now)):
                process.operation = None
                process.lease.unanswered()
                break
            process.operation.reach(self.engine)
            process.answered(now)
            if not process.lease.writes or process.lease.owned:
                break
        return max(now + 0.1, began + RENEW_EVERY)


delays = st.lists(st.floats(0.0, 0.8), min_size=1, max_size=20)


@given(gaps=st.lists(st.tuples(st.floats(0.1, 10), st.floats(0.1, 100)), max_size=6), delays=delays)
@settings(max_examples=150, deadline=None)
def test_an_outage_of_the_engine_changes_no_owner(
    gaps: list[tuple[float, float]], delays: list[float]
) -> None:
    outages, time = [], 5.0
    for up, down in gaps:
        outages.append((time + up, time + up + down))
        time += up + down
    run = Run(outages, delays)
    run.until(5.0)
    assert run.owners() == [0]
    run.until(time + 60)
    assert run.owners() == [0]
    first = run.processes[0]
    assert not first.lease.lost
    assert first.lease.holds(first.now(max(run.at[0] - RENEW_EVERY, time + 58)))


@given(delays=delays, death=st.floats(10, 20))
def test_a_dead_owner_is_replaced_in_time(delays: list[float], death: float) -> None:
    run = Run([], delays)
    run.until(death)
    run.until(death + PATIENCE + 3 * RENEW_EVERY, without=0)
    assert len(run.owners()) == 2, "the dead one, and its successor"


def test_what_was_given_up_is_taken_at_once_but_not_by_who_stepped_down() -> None:
    run = Run([], [0.01])
    run.until(10)
    owner = run.processes[0]
    expected = owner.lease.give_up()
    assert expected is not None
    assert not owner.lease.holds(owner.now(10))
    run.engine.put(FREE, expected)
    owner.restart(free_from=owner.now(20))
    run.at[0] = 0.0  # it asks first
    run.until(10 + 2 * RENEW_EVERY)
    (successor,) = run.owners()
    assert successor != 0


def test_an_owner_stops_in_time_and_goes_on_when_the_engine_answers_again() -> None:
    lease = Lease("a")
    lease.seen(FREE, 0, 0.0)
    assert lease.next(0.0) == WriteLease(0)
    lease.written(1)
    assert lease.holds(VALID - 0.01)
    assert lease.next(3.0) == WriteLease(1)
    lease.unanswered()
    assert not lease.holds(VALID)
    assert lease.owned
    assert lease.next(100.0) == ReadLease()
    lease.seen("a", 2, 100.0)  # it was done after all
    assert lease.next(100.0) == WriteLease(2)
    lease.written(3)
    assert lease.holds(100.0)
    lease.unanswered()
    lease.seen("b", 1, 101.0)  # a node that lags behind answered
    assert lease.holds(101.0)
    lease.seen("b", 4, 102.0)
    assert lease.lost
    assert not lease.holds(102.0)


def test_who_stepped_down_may_take_the_lease_back_after_a_while() -> None:
    lease = Lease("a", free_from=10.0)
    lease.seen(FREE, 7, 9.0)
    assert not lease.writes
    lease.seen(FREE, 7, 10.0)
    assert lease.writes


def test_a_challenger_that_was_stopped_has_not_waited() -> None:
    """The engine may have been down meanwhile, and the owner without a chance."""
    lease = Lease("b")
    lease.seen("a", 1, 0.0)
    lease.seen("a", 1, 1000.0)
    assert not lease.writes


def test_who_only_looks_on_takes_nothing_and_learns_who_owned() -> None:
    lease = Lease("b", free_from=10.0, may_take=False)
    lease.seen("a", 1, 0.0)
    lease.seen(FREE, 2, 1.0)
    assert not lease.writes
    lease.may_take = True
    lease.seen(FREE, 2, 2.0)
    assert lease.writes, "the lease that it had given up was another's meanwhile"


def test_of_a_silence_two_seconds_count_once() -> None:
    lease = Lease("b")

    def seen(*times: float) -> bool:
        for time in times:
            lease.seen("a", 1, time)
        return lease.writes

    seen(0.0)
    lease.unanswered()
    assert not seen(9.0, 10.0, 11.0)
    lease.unanswered()
    assert not seen(20.0, 21.0)
    assert seen(22.0)


def test_the_lease_of_the_process_before_is_free_and_of_no_other() -> None:
    lease = Lease("b", before="a", may_take=False)
    lease.seen("a", 1, 0.0)
    assert not lease.writes
    lease.may_take = True
    lease.seen("c", 2, 1.0)
    assert not lease.writes
    lease.seen("a", 3, 2.0)
    assert lease.next(2.0) == WriteLease(3)
