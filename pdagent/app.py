"""The composition root: it alone knows all the parts, and the order of start and stop."""

from __future__ import annotations

import asyncio
import logging
import platform
import signal
import socket
import sys
import time
from collections.abc import Callable

import uvloop

from actors.core.commands import Policy
from actors.ports import DeliveryPort, HeartbeatPort, OutgoingEvent
from actors.system import ActorSystem
from pdagent import __version__
from pdagent.config import Config, StartRefused
from pdagent.events import with_routing_key
from pdagent.eventsapi import EventsApi
from pdagent.eventsapi.heartbeat import HeartbeatApi
from pdagent.httpapi import application, server
from pdagent.httpapi.agent import Agent, Replies
from pdagent.httpapi.spooled import take_in, take_in_for_ever
from pdagent.logs import set_up_logging
from pdagent.pidfile import Pidfile
from store.errors import JournalError
from store.lmdb_journal import LmdbJournal

logger = logging.getLogger(__name__)

# How long (seconds) a thread may keep the interpreter lock when another one wants it. With Python's
# default of 5 ms a commit, in which py-lmdb gives the lock away at each of its puts, would wait
# that long again and again for whoever computes; measured in docs/architecture.md.
_SWITCH_INTERVAL = 0.00001


def run(config: Config) -> int:
    """Run the agent until it is told to stop; return the exit status.

    Raises `StartRefused` with one line if it can't start.
    """
    config.check_listener()
    set_up_logging(config)
    sys.setswitchinterval(_SWITCH_INTERVAL)
    # The pidfile's lock goes last: when 'server stop' sees it free, the journal is free as well.
    with Pidfile(config.pidfile):
        try:
            journal = LmdbJournal(config.database, limit=config.max_journal_mb << 20)
        except JournalError as error:
            raise StartRefused(str(error)) from None
        try:
            return _serve(config, journal)
        except JournalError as error:
            raise StartRefused(str(error)) from None
        finally:
            journal.close()


def _serve(config: Config, journal: LmdbJournal) -> int:
    listener = server.bind(config)
    system = ActorSystem(
        journal,
        lambda: _events_api(config),
        policy=Policy(max_queue_length=config.max_queue_length),
        max_in_flight=config.max_in_flight,
        retention=config.retention,
        heartbeat=_heartbeat(config, journal, lambda: system) if config.sends_heartbeat else None,
    )
    system.start()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_answer(config, journal, system, listener))
    finally:
        # The loop's handlers went with it; a second signal must not cut the orderly end short.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        listener.close()
        system.stop()
    if system.supervisor_failure() is not None:
        logger.critical("the supervisor failed: start the agent again, nothing is lost")
        return 1
    logger.info("stopped")
    return 0


async def _answer(
    config: Config, journal: LmdbJournal, system: ActorSystem, listener: socket.socket
) -> None:
    agent = Agent(
        system=system,
        journal=journal,
        config=config,
        version=__version__,
        started_at=time.time(),
        replies=Replies(),
    )
    spool = None
    if config.spool is not None:
        await take_in(agent, config.spool)
        spool = asyncio.create_task(take_in_for_ever(agent, config.spool))
    await server.serve(
        application.build(agent),
        config,
        listener,
        on_ready=lambda: logger.info(
            "listening on %s, delivering to %s", config.address, config.events_url
        ),
        failed=lambda: system.supervisor_failure() is not None,
    )
    if spool is not None:
        spool.cancel()


def _events_api(config: Config) -> DeliveryPort:
    return EventsApi(config.events_url, user_agent=user_agent(), render=_render)


def _heartbeat(
    config: Config, journal: LmdbJournal, system: Callable[[], ActorSystem]
) -> HeartbeatPort:
    return HeartbeatApi(
        config.api_url,
        agent_id=journal.agent_id,
        version=__version__,
        user_agent=user_agent(),
        statistics=lambda: system().totals(),
    )


def _render(event: OutgoingEvent) -> bytes:
    return with_routing_key(event.kind, event.body, event.routing_key)


def user_agent() -> str:
    """What PagerDuty sees of us."""
    return f"pdagent/{__version__} ({platform.system()}, Python {platform.python_version()})"
