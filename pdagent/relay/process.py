"""The flow of a relay's process: listeners, standby, owner, and again from the start."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable

import uvloop

from pdagent.agent.logs.thread import LogThread
from pdagent.agent.stopping import StopSignals
from pdagent.agent.systemd import ServiceManager
from pdagent.config import Config, StartRefused, needed
from pdagent.httpapi import server
from pdagent.relay.relay import Relay
from pdagent.relay.standby import NothingDirect, standby_application
from pdagent.relay.succession import past_of_this_process, start_again
from store.errors import JournalError
from store.lmdb_copy import LmdbCopy
from store.port import Journal

logger = logging.getLogger(__name__)

Serve = Callable[[Config, Journal, LogThread, StopSignals, list[socket.socket], Relay], int]


def run_relay(config: Config, log: LogThread, signals: StopSignals, serve: Serve) -> int:
    """Stand by until this relay owns the log, then `serve`; return the exit status.

    A relay that has stepped down does not return: its process begins anew. Raises `StartRefused`
    with one line for each reason.
    """
    past = past_of_this_process()
    try:
        with signals.interrupting():
            copy = LmdbCopy(needed(config.database), limit=config.max_journal_mb << 20)
        try:
            relay = Relay(config, copy, past, log, signals)
            with server.listening(config) as listeners:
                try:
                    status = 0
                    if _stood_by(relay, signals, listeners):
                        status = serve(config, relay.owned(), log, signals, listeners, relay)
                finally:
                    relay.end()
        finally:
            copy.close()
    except JournalError as error:
        raise StartRefused(str(error)) from None
    if relay.leaves and not signals.asked and status == 0:
        logger.info("stepped down: this relay starts again as a standby")
        log.stop()
        start_again(relay.heir())
    return status


def _stood_by(relay: Relay, signals: StopSignals, listeners: list[socket.socket]) -> bool:
    """Whether the relay owns the log now; False if it was told to stop before that."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_stand_by(relay, signals, listeners))
    signals.only_note()
    if relay.failure is not None:
        raise relay.failure
    if signals.asked:
        logger.info("stopped")
    return not signals.asked and relay.role == "owner"


async def _stand_by(relay: Relay, signals: StopSignals, listeners: list[socket.socket]) -> None:
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    manager = ServiceManager(os.environ)
    informing: list[asyncio.Task[None]] = []

    def tell() -> None:
        with contextlib.suppress(RuntimeError):  # told to stop: the loop has ended
            loop.call_soon_threadsafe(over.set)

    def ready() -> None:
        places = " and ".join(listener.address for listener in relay.config.listeners)
        logger.info("listening on %s, as a relay that waits for the log", places)
        manager.tell("READY=1")
        informing.append(asyncio.create_task(manager.keep_informed(list, lambda: state_of(relay))))
        relay.begin(tell)

    try:
        await server.serve(
            standby_application(relay),
            NothingDirect(),
            relay.config,
            # The server closes them: the owner's goes on with the same ones.
            [listener.dup() for listener in listeners],
            signals=signals,
            on_ready=ready,
            on_stop=lambda: None,
            failed=lambda: False,
            until=over,
        )
    finally:
        for task in informing:
            task.cancel()


def state_of(relay: Relay) -> str:
    """What the relay is, for systemd."""
    owner = relay.owner
    if relay.role == "standby" and owner.name:
        return f"standby of {owner.name} at {owner.url}"
    return f"{relay.role}, waits for {relay.waits_for}" if relay.waits_for else relay.role
