"""A relay's process from its listeners' opening to the end: standby, then perhaps owner."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Literal

import msgspec
from prometheus_client.registry import Collector

from actors.ports import DeliveryPort
from actors.system import ActorSystem
from pdagent.agent.logs.thread import LogThread
from pdagent.agent.stopping import StopSignals
from pdagent.config import Config
from pdagent.httpapi.agent import Agent
from pdagent.relay.keeper import LeaseKeeper, boot_time
from pdagent.relay.leased import LeasedPort
from pdagent.relay.measured import MeasuredLog
from pdagent.relay.metrics import RelayCollector
from pdagent.relay.preflight import node_problems, refuse, stream_problems
from pdagent.relay.resources import add_routes
from pdagent.relay.rows import RelayRow, this_relay
from pdagent.relay.succession import Past, process_before, start_again
from pdagent.relay.watch import EngineView, EngineWatch, log_of, nodes_of
from store.errors import CommitFailedError, JournalError
from store.lmdb_copy import LmdbCopy
from store.log import LogUnavailableError
from store.replicated_journal import ReplicatedJournal

logger = logging.getLogger(__name__)

Role = Literal["starting", "standby", "taking over", "owner"]

_LOOK = 0.5  # seconds
_NEARLY_CAUGHT_UP = 100  # messages
_SILENT_AFTER = 5.0  # seconds
_UNFIT_AFTER = 5.0  # seconds
STAY_AWAY = 10.0
"""Seconds in which a relay that stepped down leaves the lease to others."""


class Relay:
    """One run of a relay. `begin` makes it a standby, in a thread of its own.

    `past` is what the process before has left. `role` is what the relay is now; `waits_for` says
    what it waits for if that is not the lease.
    """

    def __init__(
        self, config: Config, copy: LmdbCopy, past: Past, log: LogThread, signals: StopSignals
    ) -> None:
        self.config = config
        self.me = this_relay(config)
        self.role: Role = "starting"
        self.waits_for = "the engine"
        self.past = past
        self.failure: Exception | None = None
        self.leaves = False
        """Whether it is to step down."""
        self.log: MeasuredLog | None = None
        self.journal: ReplicatedJournal | None = None
        self.keeper: LeaseKeeper | None = None
        self.watch: EngineWatch | None = None
        self._copy = copy
        self._lines = log
        self._signals = signals
        self._ending = threading.Event()
        self._losing = threading.Lock()
        self._system: ActorSystem | None = None
        self._unfit_since: float | None = None
        self._fit = False
        self._over = self._end_serving = _nothing
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def begin(self, over: Callable[[], object]) -> None:
        """Follow the log. `over` is called once: when this relay owns it, or after a `failure`."""
        self._over = over
        self._thread.start()

    @property
    def owner(self) -> RelayRow:
        """Who owned the log when it was last looked at; empty if nobody did."""
        row = RelayRow() if self.keeper is None else self.keeper.owner
        return row if row.process else RelayRow()

    def leased(self, make_port: Callable[[Callable[[], bool]], DeliveryPort]) -> DeliveryPort:
        """A port by which nothing is delivered unless the lease is held.

        `make_port` gets what says whether a request may be written at that moment.
        """
        assert self.keeper is not None
        holds = self.keeper.holds
        return LeasedPort(make_port(holds), holds)

    def trouble(self) -> list[str]:
        """Why an owner can't do its work, one sentence each."""
        keeper = self.keeper
        if keeper is None or (silent := keeper.silent_for()) < _SILENT_AFTER:
            return []
        return [
            f"the engine has confirmed nothing for {silent:.0f} s ({keeper.problem}): nothing is "
            "accepted or delivered until it does; 'pagerduty-agent relay status' shows its nodes"
        ]

    def owned(self) -> ReplicatedJournal:
        """The journal of a relay that has begun."""
        assert self.journal is not None
        return self.journal

    def collectors(self) -> list[Collector]:
        """The relay's metrics."""
        return [RelayCollector(self)]

    def serving(self, agent: Agent, end: Callable[[], object]) -> None:
        """`agent` serves; `end` ends that, from any thread, as a signal to stop would."""
        agent.add_routes = lambda app: add_routes(app, self)
        self._end_serving, self._system = end, agent.system
        if self.leaves:
            end()

    def step_down(self) -> None:
        """Let another relay take over: after an orderly end, this one starts as a standby."""
        self.leaves = True
        self._end_serving()

    def end(self) -> None:
        """After the last delivery has ended and all is committed: leave the lease to others."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()
        if self.keeper is not None:
            self.keeper.give_up()
        if self.log is not None:
            self.log.close()  # nobody waits for an answer of the engine any more
        if self.watch is not None:
            self.watch.end()

    def heir(self) -> Past:
        """What the next process is to know after a step down."""
        return msgspec.structs.replace(self.past, free_from=boot_time() + STAY_AWAY)

    def standby_row(self) -> RelayRow:
        """What other relays are to know of this one."""
        assert self.journal is not None
        behind = self.journal.lag()
        return msgspec.structs.replace(
            self.me, at=time.time(), applied=self.journal.applied, behind=behind, fit=self._fit
        )

    def _run(self) -> None:
        try:
            self._stand_by()
        except Exception as error:  # noqa: BLE001 - the main thread raises it
            self.failure = error
        self._over()

    def _stand_by(self) -> None:
        log = self._connected()
        if log is None:
            return
        journal = ReplicatedJournal(self._copy, log, self.me.name, on_fenced=lambda: self._fenced())
        keeper = LeaseKeeper(
            log,
            self.me,
            free_from=self.past.free_from,
            before=process_before(self._copy.directory, self.me),
            standby=self.standby_row,
            on_lost=lambda: self._lose("another relay has taken the lease"),
        )
        watch = EngineWatch(log, journal, self.config.engine_replicas, self._judge)
        self.log, self.journal, self.keeper, self.watch = log, journal, keeper, watch
        keeper.start()
        watch.start()
        self._follow(journal, keeper)
        self._take_over(journal, keeper)

    def _connected(self) -> MeasuredLog | None:
        config, told = self.config, False
        while not self._ending.is_set():
            try:
                refuse(node_problems(nodes_of(config), config.engine_replicas))
                log = log_of(config)
                try:
                    refuse(stream_problems(log.streams(), config.engine_replicas))
                except BaseException:
                    log.close()
                    raise
                return log
            except LogUnavailableError as error:
                if not told:
                    logger.warning("%s: tried again until it can be used", error)
                    told = True
            self._ending.wait(_LOOK)
        return None

    def _follow(self, journal: ReplicatedJournal, keeper: LeaseKeeper) -> None:
        self.waits_for = "the log to be read"
        while not (self._ending.is_set() or keeper.taken.is_set()):
            try:
                applied = journal.follow(_LOOK)
            except (LogUnavailableError, CommitFailedError) as error:
                if not self.waits_for:
                    logger.warning("the log can't be followed: %s", error)
                self.waits_for = str(error)
                if isinstance(error, CommitFailedError):
                    keeper.compete(may_take=False)  # a relay that can't write its copy is no owner
                    self.role = "starting"
                self._ending.wait(_LOOK)
                continue
            self.waits_for = ""
            self._fit = self._has_room()
            if applied < _NEARLY_CAUGHT_UP and self.role == "starting":
                self.role = "standby"
                keeper.compete()
                logger.info("standby: the log is read")

    def _has_room(self) -> bool:
        try:
            self._copy.admit()
        except JournalError:
            return False
        return True

    def _take_over(self, journal: ReplicatedJournal, keeper: LeaseKeeper) -> None:
        began = boot_time()
        while keeper.owned and not self._ending.is_set():
            self.role = "taking over"
            try:
                journal.take_over()
            except (LogUnavailableError, CommitFailedError) as error:
                logger.warning("taking over: %s", error)
                if keeper.holds() and boot_time() - began > _UNFIT_AFTER:
                    self.leaves = True  # the engine works, so it is this machine
                    return
                self._ending.wait(_LOOK)
                continue
            self.past = msgspec.structs.replace(self.past, takeovers=self.past.takeovers + 1)
            self.role = "owner"
            logger.warning("this relay owns the log now, and delivers")
            return

    def _judge(self, view: EngineView) -> None:
        """Step down if this machine, and not the engine, keeps the owner from its work.

        A journal at its limit is that on all relays; a full disk is this machine's.
        """
        system, usage = self._system, self._copy.usage()
        if system is None or usage.used >= usage.limit:
            return
        trouble = system.trouble()
        if not trouble:
            self._unfit_since = None
            return
        if self._unfit_since is None:
            self._unfit_since = boot_time()
        others = (row for row in view.standbys if row.name != self.me.name)
        ready = any(row.fit and row.behind < _NEARLY_CAUGHT_UP for row in others)
        if ready and boot_time() - self._unfit_since > _UNFIT_AFTER and not self.leaves:
            logger.warning("%s: this relay steps down", trouble[0])
            self.step_down()

    def _fenced(self) -> None:
        """Called in a thread that must not wait."""
        assert self.keeper is not None
        self.keeper.fence()
        why = "another relay has taken over the log"
        threading.Thread(target=self._lose, args=(why,), name="fenced", daemon=True).start()

    def _lose(self, why: str) -> None:
        """Nothing may be delivered or stored any more: the process begins anew at once."""
        with self._losing:
            assert self.keeper is not None
            self.keeper.fence()
            if self._signals.asked:
                return  # it ends anyway
            logger.warning("%s: this one starts again as a standby", why)
            self._lines.stop()
            start_again(msgspec.structs.replace(self.past, lost=self.past.lost + 1))


def _nothing() -> object:
    """Nobody has to be told."""
    return None
