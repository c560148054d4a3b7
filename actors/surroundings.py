"""What a Sequencer, and whoever looks after Sequencers, works with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pykka

from actors.core.commands import Policy
from actors.directory import Directory
from actors.dispatcher import Dispatcher
from actors.slots import DeliverySlots
from store.port import Journal


class Surroundings(msgspec.Struct, kw_only=True, eq=False):
    """What a Sequencer works with. The refs are asked for at each use: actors get restarted."""

    journal: Journal
    dispatcher: Dispatcher
    slots: DeliverySlots
    directory: Directory
    policy: Policy
    passivate_after: float
    clock: Callable[[], float]
    writer: Callable[[], pykka.ActorRef[Any]]
    timer: Callable[[], pykka.ActorRef[Any]]
    supervisor: Callable[[], pykka.ActorRef[Any]]
