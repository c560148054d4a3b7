"""Looks at the engine and at the other relays every few seconds, for status and metrics."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import msgspec

from pdagent.config import Config
from pdagent.relay.measured import MeasuredLog
from pdagent.relay.preflight import TRIAL, node_problems, stream_problems
from pdagent.relay.rows import STANDBYS, RelayRow, Standbys
from store.errors import JournalError
from store.nats_answers import StreamFacts
from store.nats_log import NatsLog
from store.nats_nodes import NodeFacts, engine_nodes
from store.replicated_journal import ReplicatedJournal

logger = logging.getLogger(__name__)

_EVERY = 3.0  # seconds
_TRIES = 3


class EngineView(msgspec.Struct, frozen=True, kw_only=True):
    """The engine as it was at `at` (seconds since 1970), and the standbys that showed themselves.

    `nodes` are those that answered, of `expected`; `problems` is why no relay should start now.
    """

    at: float = 0.0
    nodes: tuple[NodeFacts, ...] = ()
    expected: int = 0
    streams: tuple[StreamFacts, ...] = ()
    standbys: tuple[RelayRow, ...] = ()
    messages: int = 0
    bytes: int = 0
    problems: tuple[str, ...] = ()


def nodes_of(config: Config) -> list[NodeFacts]:
    """The nodes of the engine, without anything made there. Raises `LogUnavailableError`."""
    for _ in range(_TRIES):
        nodes = engine_nodes(
            config.engine_urls, credentials=config.engine_credentials, ca=config.engine_ca
        )
        if nodes:
            break
    return nodes


def log_of(config: Config) -> MeasuredLog:
    """The relays' log, which is made if it is not there. Raises `LogUnavailableError`."""
    return MeasuredLog(
        config.engine_urls,
        config.engine_name,
        replicas=config.engine_replicas,
        credentials=config.engine_credentials,
        ca=config.engine_ca,
    )


def view_of(log: NatsLog, replicas: int, standbys: Standbys) -> EngineView:
    """One look. Raises `store.log.LogUnavailableError`."""
    nodes, streams = log.nodes(), log.streams()
    rows = standbys.present(log.rows(STANDBYS), time.monotonic(), time.time())
    first, last = log.bounds()
    return EngineView(
        at=time.time(),
        nodes=tuple(nodes),
        expected=max([replicas, *(node.cluster_size for node in nodes)]),
        streams=tuple(streams),
        standbys=rows,
        messages=last - first + 1,
        bytes=log.size(),
        problems=tuple(
            map(str, [*node_problems(nodes, replicas), *stream_problems(streams, replicas)])
        ),
    )


def warnings_of(view: EngineView, replicas: int) -> list[str]:
    """What needs attention, one sentence each."""
    found = [TRIAL] if replicas == 1 else []
    down = view.expected - len(view.nodes)
    if view.nodes and down > 0:
        found.append(f"{down} of {view.expected} nodes of the engine do not answer")
    for stream in view.streams:
        behind = [copy.node for copy in stream.copies if not copy.current or copy.offline]
        if behind:
            found.append(f"stream {stream.name}: the copy of {', '.join(behind)} is not up to date")
    return found + list(view.problems)


class EngineWatch:
    """A thread that keeps `view` current, and makes room in the log while `journal` owns it.

    `looked` is called with each view.
    """

    def __init__(
        self,
        log: NatsLog,
        journal: ReplicatedJournal,
        replicas: int,
        looked: Callable[[EngineView], None],
    ) -> None:
        self.view = EngineView()
        self._log = log
        self._journal = journal
        self._replicas = replicas
        self._looked = looked
        self._standbys = Standbys()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine watch", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def end(self) -> None:
        """End before the journal is closed; waits for a call that is under way."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._ending.is_set():
            pause = _EVERY
            try:
                self.view = view_of(self._log, self._replicas, self._standbys)
                self._looked(self.view)
                if self._journal.clean():
                    pause = 0.0
            except JournalError:
                pass  # the lease's thread logs that
            except Exception:
                logger.exception("the engine could not be looked at")
            self._ending.wait(pause)
