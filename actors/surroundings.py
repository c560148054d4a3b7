"""Dependencies shared by Sequencers, Supervisor and Janitor; how commands reach a queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pykka

from actors.bodies import Bodies
from actors.core.commands import Policy
from actors.directory import Directory
from actors.dispatcher import Dispatcher, wake
from actors.messages import STOPPING, Needed, Perform, PerformAll, tell
from actors.slots import DeliverySlots
from store.port import Journal
from store.records import QueueId, RoutingKey

MANY_ACTIVE = 1_000


class Surroundings(msgspec.Struct, kw_only=True, eq=False):
    """Shared by all Sequencers, the Supervisor and the Janitor.

    `dispatcher` runs the Sequencers, `committing` the JournalWriter alone. `overdue_from` (of
    `time.monotonic`): before, no job is overdue, as its report may wait in the spool. The refs are
    asked for at each use: actors get restarted.
    """

    journal: Journal
    dispatcher: Dispatcher
    committing: Dispatcher
    slots: DeliverySlots
    directory: Directory
    bodies: Bodies
    policy: Policy
    passivate_after: float
    clock: Callable[[], float]
    writer: Callable[[], pykka.ActorRef[Any]]
    supervisor: Callable[[], pykka.ActorRef[Any]]
    overdue_from: float = 0.0

    def command(self, key: RoutingKey, command: Perform | PerformAll) -> None:
        """Have a key's Sequencer carry out a command; one is started if none runs."""
        entry = self.directory.put(key, command)
        sequencer = entry.sequencer
        if sequencer is not None:
            wake(sequencer)
        elif not tell(self.supervisor(), Needed(entry.id)):
            for refused in self.directory.take_commands(entry):
                refused.reply(STOPPING)

    def idle_limit(self) -> float:
        """After how many seconds without work a Sequencer stops: sooner if there are many.

        One that runs takes 8 kB, a queue without one takes 1 kB.
        """
        many = self.directory.active_count() / MANY_ACTIVE
        return self.passivate_after / max(1.0, many) ** 2

    def tell_writer(self, message: Any) -> bool:
        """False if the writer died; with a new one all Sequencers read their queues again."""
        return tell(self.writer(), message)

    def see_through(self, step: Callable[[], None]) -> None:
        """Do `step`, and what it leads to at Sequencers and JournalWriter, as far as they are free.

        So the caller's thread need not wake two others. It must be one that may wait for the disk.
        """
        self.committing.help(lambda: self.dispatcher.help(step))

    def ask_for_successor(self, queue: QueueId) -> None:
        """Have a Sequencer started for this queue. Without a Supervisor, the agent stops."""
        tell(self.supervisor(), Needed(queue))
