"""Puts the runtime in the place of threads, clock and chance, for the time of one simulation."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import msgspec
import pykka

from actors import (
    bodies,
    dispatcher,
    idle_timer,
    janitor,
    journal_writer,
    outbox,
    sequencer,
    supervised,
    supervisor,
    system,
)
from actors.core.verdict import Verdict
from actors.dispatcher import DispatchedActor
from actors.messages import Delivery
from actors.sender import Sender
from actors.supervised import SupervisedActor
from tests.simulation.pagerduty import SimulatedPort
from tests.simulation.runtime import Runtime
from tests.simulation.witness import Violation

_USE_TIME = (idle_timer, janitor, journal_writer, sequencer, supervised, supervisor, system)

Substitute = tuple[Any, str, Any]


class SimulatedDispatcher:
    """Has its actors take their turns when the runtime draws them."""

    def __init__(self, runtime: Runtime, chance: random.Random) -> None:
        self.tell_later = runtime.tell_later
        self._runtime = runtime
        self._draw = chance.random
        self._scheduled: list[DispatchedActor] = []
        self._alive = True

    def schedule(self, actor: DispatchedActor) -> None:
        """As the program's."""
        self._scheduled.append(actor)
        self._runtime.schedule(actor)

    def help(self, step: Callable[[], None]) -> None:
        """Some turns that `step` leads to are given at once; those left come in drawn order."""
        self._scheduled.clear()
        step()
        led_to = self._scheduled[::-1]
        for actor in led_to:
            if self._draw() < 0.7:
                self._runtime.run_now(actor)

    def is_alive(self) -> bool:
        """Whether it was not stopped."""
        return self._alive

    def stop(self) -> None:
        """There is no thread to end."""
        self._alive = False


class _Answered(msgspec.Struct, frozen=True):
    """To a simulated Sender: the request has ended."""

    delivery: Delivery
    verdict: Verdict


def substitutes(
    runtime: Runtime, chance: random.Random, *, snapshot_every: int, turn: int, tick: float
) -> list[Substitute]:
    """What is put where, as (owner, name, value).

    `snapshot_every` (records), `turn` (messages) and `tick` (seconds) replace constants of the
    program, so that few events go through what else takes thousands.
    """

    class SimulatedFuture(pykka.ThreadingFuture[Any]):
        """Waiting for it lets simulated time pass."""

        def get(self, *, timeout: float | None = None) -> Any:
            if self._get_hook is None:
                limit = 1e9 if timeout is None else timeout
                if not runtime.run_until(lambda: self._result is not None, limit):
                    raise pykka.Timeout(f"{timeout} seconds")
            return super().get(timeout=timeout)

    class SimulatedSender(Sender):
        """The program's Sender, whose request takes simulated time instead of blocking a thread."""

        def receive(self, message: Any) -> None:
            match message:
                case _Answered(delivery=delivery, verdict=verdict):
                    self._finish(delivery, verdict)
                case Delivery():
                    assert isinstance(self._port, SimulatedPort)
                    self._port.begin(
                        self._outgoing(message),
                        message.attempt,
                        lambda verdict: runtime.go_on(self, _Answered(message, verdict)),
                    )
                    runtime.block(self)
                case _:
                    super().receive(message)

    report_failure = SupervisedActor._fail

    def fail(actor: SupervisedActor, error: BaseException) -> None:
        if isinstance(error, Violation):
            runtime.violation = error
        report_failure(actor, error)

    def survive(actor: SupervisedActor, error: BaseException) -> None:
        if isinstance(error, Violation):
            runtime.violation = error

    return [
        *((module, "time", runtime.clock) for module in _USE_TIME),
        (sequencer, "random", chance),
        (bodies, "ROOM", 2_000),  # of three events; others are read from the journal
        (outbox, "SNAPSHOT_EVERY", snapshot_every),
        (dispatcher, "_TURN", turn),
        (supervisor, "TICK", tick),
        (janitor, "_BELIEVED_AFTER", 30),
        (supervisor, "Sender", SimulatedSender),
        (system, "Dispatcher", lambda name: SimulatedDispatcher(runtime, chance)),
        (SupervisedActor, "_start_actor_loop", lambda actor: runtime.adopt(actor)),
        (SupervisedActor, "_fail", fail),
        (supervisor.Supervisor, "survive", survive),
        (SupervisedActor, "_create_future", staticmethod(SimulatedFuture)),
    ]


_MISSING: Literal["missing"] = "missing"


@contextmanager
def substituted(replacements: list[Substitute]) -> Iterator[None]:
    """Put values in place, and back at the end."""
    before = [(owner, name, vars(owner).get(name, _MISSING)) for owner, name, _ in replacements]
    for owner, name, value in replacements:
        setattr(owner, name, value)
    logging.disable(logging.CRITICAL)  # failures are the rule here
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        for owner, name, value in reversed(before):
            if value is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, value)
