"""The story: a relay is killed under load, then a node of the engine."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec

from pdagent.agent.stopping import StopAsked, StopSignals
from pdagent.demo.processes import DemoFailed, DemoSandbox
from pdagent.demo.view import Chapter, LiveView, PlainView
from tests.fleet_demo.fleet import HOSTS, LOG, MACHINES, Fleet
from tests.fleet_demo.record import Record, Verdict, longest_silence
from tests.fleet_demo.view import FleetFrame, HostCounts, Machine

_RATE = 3.0  # events a second of each host
_LATENCY = "0.01..0.03"
_START_SECONDS, _FLOW_SECONDS = 60.0, 45.0
_CATCH_UP_SECONDS, _DRAIN_SECONDS = 20.0, 180.0
_STUCK_SECONDS = 30.0
"""Without an arrival: nothing more will come."""

_CALM, _GONE = 8.0, 3.0
_IN_FLIGHT_SECONDS = 1.0
"""What arrives later was sent on after the fault."""

_FRAME_SECONDS, _LOOK_SECONDS = 0.12, 0.4
_FEW = 16
"""Events that wait while all is in order."""


class FleetDemo:
    """One telling of the story in `directory`.

    Raises DemoFailed when a process doesn't do its part, and StopAsked after a signal to stop.
    """

    def __init__(self, directory: Path, view: LiveView | PlainView, signals: StopSignals) -> None:
        self._directory = directory
        self._view = view
        self._signals = signals
        self._began = time.monotonic()
        self._looked = 0.0
        self._load_ended = 0.0
        self._chapters: list[Chapter] = []
        self._record = Record()
        self._frame = FleetFrame(
            at=0.0,
            chapters=(),
            machines=(Machine("starting", "starting"),) * MACHINES,
            hosts=tuple(HostCounts(name, 0, 0, 0) for name in HOSTS),
            silence=0.0,
        )

    def tell(self) -> Verdict:
        """Play everything, then compare what was acknowledged with what arrived."""
        with ExitStack() as stack:
            self._sandbox = stack.enter_context(DemoSandbox(_LATENCY))
            self._say("Three machines start, each with a relay and a node of the engine.")
            self._fleet = stack.enter_context(
                Fleet(self._directory, self._sandbox.url, self._record)
            )
            self._begin()
            self._lose_a_relay()
            self._lose_a_node()
            self._end()
            return self._record.verdict(time.time())

    def _begin(self) -> None:
        fleet = self._fleet
        fleet.launch()
        self._await(lambda: fleet.owner() is not None, _START_SECONDS, "a relay owns the log")
        self._await(
            lambda: all(host.is_healthy() for host in fleet.hosts), _START_SECONDS, "all hosts run"
        )
        fleet.send(_RATE)
        self._say("Eight hosts send events for the same four routing keys.")
        self._watch(_CALM)

    def _lose_a_relay(self) -> None:
        fleet = self._fleet
        lost = fleet.owner()
        if lost is None:
            raise DemoFailed("no relay owns the log, although nothing was done to it")
        name = f"Relay {fleet.relays.index(lost) + 1}"
        began = time.time()
        fleet.killed.append(lost)
        lost.kill()
        self._say(f"{name}, the owner, is killed with SIGKILL. Hosts keep their events.")
        self._await(lambda: fleet.owner() is not None, _FLOW_SECONDS, "another relay takes over")
        seconds = time.time() - began
        owner = fleet.relays.index(fleet.owner() or lost) + 1
        self._say(f"Relay {owner} took over after {seconds:.0f} s, and delivers what waited.")
        self._await_flow(began)
        lost.launch()
        fleet.killed.remove(lost)
        self._say(f"{name} starts again and stands by.")
        self._await(lambda: lost.role() == "standby", _START_SECONDS, f"{name} stands by")
        self._watch(_CALM)

    def _lose_a_node(self) -> None:
        node = self._fleet.engine.leader(LOG)
        name = f"Node {self._fleet.engine.nodes.index(node) + 1}"
        began = time.time()
        node.kill()
        self._say(f"{name}, which leads the log, is killed with SIGKILL.")
        self._watch(_GONE)
        self._await_flow(began)
        silence = longest_silence(self._record, time.time(), since=began)
        self._say(f"The other two nodes go on; no key was silent for over {silence:.1f} s.")
        node.start()
        self._say(f"{name} starts again and catches up.")
        self._watch(_CALM)

    def _end(self) -> None:
        for sender in self._fleet.senders:
            sender.finish()
        self._load_ended = time.time()
        self._say("The load ends; what still waits is delivered.")
        self._watch_until(lambda: self._is_drained() or self._is_stuck(), _DRAIN_SECONDS)
        self._frame = msgspec.structs.replace(self._frame, finished=True)
        missing = self._frame.total.accepted - self._frame.total.delivered
        self._say(
            f"Time is up: {missing} events have not arrived." if missing else "All has arrived."
        )

    def _is_drained(self) -> bool:
        total, accepted = self._frame.total, len(self._record.accepted)
        return total.accepted == total.delivered == accepted and self._fleet.is_idle()

    def _is_stuck(self) -> bool:
        latest = max([self._load_ended, *(noted.at for noted in self._record.arrived[-1:])])
        return time.time() > latest + _STUCK_SECONDS

    def _await_flow(self, since: float) -> None:
        """Until each key's events arrive again, after `since`, and hardly any of them wait."""

        def flows() -> bool:
            last = {noted.key: noted.at for noted in self._record.arrived}
            return min(last.values(), default=0.0) > since + _IN_FLIGHT_SECONDS

        def has_caught_up() -> bool:
            return self._frame.total.accepted - self._frame.total.delivered <= _FEW

        self._await(flows, _FLOW_SECONDS, "the events of all keys arrive again")
        self._watch_until(has_caught_up, _CATCH_UP_SECONDS)

    def _await(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        if not self._watch_until(condition, seconds):
            raise DemoFailed(f"not within {seconds:.0f} s: {what}")

    def _watch(self, seconds: float) -> None:
        self._watch_until(lambda: False, seconds)

    def _watch_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Show what happens until the condition holds (True) or the time is up (False)."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._signals.asked:
                raise StopAsked
            if self._look_if_due() and condition():
                return True
            self._show()
            time.sleep(_FRAME_SECONDS)
        return False

    def _look_if_due(self) -> bool:
        """Whether it was time to look at all processes again."""
        if time.monotonic() < self._looked + _LOOK_SECONDS:
            return False
        self._fleet.check()
        self._record.take(self._sandbox.events(self._record.seen))
        self._frame = msgspec.structs.replace(
            self._frame,
            machines=self._fleet.machines(),
            hosts=self._fleet.host_counts(),
            silence=longest_silence(self._record, time.time()),
        )
        self._looked = time.monotonic()
        return True

    def _say(self, text: str) -> None:
        self._chapters.append(Chapter(time.monotonic() - self._began, text))
        self._show()

    def _show(self) -> None:
        self._frame = msgspec.structs.replace(
            self._frame, at=time.monotonic() - self._began, chapters=tuple(self._chapters)
        )
        self._view.show(self._frame)
