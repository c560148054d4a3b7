"""The composition root: it alone knows all the parts, and the order of start and stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import uvloop

from actors.core.commands import Policy
from actors.system import ActorSystem
from pdagent import __version__
from pdagent.agent.fleet import fleet_tasks
from pdagent.agent.logs import Lines, set_up_logging
from pdagent.agent.logs.thread import LogThread
from pdagent.agent.logs.transitions import TransitionLog
from pdagent.agent.outlet import Outlet
from pdagent.agent.pidfile import pidfile
from pdagent.agent.stopping import StopAsked, StopSignals
from pdagent.agent.systemd import ServiceManager
from pdagent.config import Config, StartRefused, needed
from pdagent.httpapi import application, server
from pdagent.httpapi.agent import Agent
from pdagent.httpapi.intake.spooled import SpoolIntake
from pdagent.httpapi.replies import Replies
from pdagent.metrics import Sources, exposition
from pdagent.metrics.measuring import DeliveryMeasurements, IntakeMeasurements
from pdagent.notify import Notifications
from pdagent.operating.followers import Followers
from pdagent.operating.names import QueueNames
from pdagent.operating.traffic import Traffic
from store.errors import JournalError
from store.lmdb_journal import LmdbJournal
from store.port import Journal
from store.records import QueueId, Record

if TYPE_CHECKING:
    from pdagent.relay.relay import Relay

logger = logging.getLogger(__name__)

Observer = Callable[[QueueId, Sequence[Record]], None]
"""Called in the journal writer's thread with each committed record."""

# How long (seconds) a thread may keep the interpreter lock when another one wants it. With Python's
# default of 5 ms a commit, in which py-lmdb gives the lock away at each of its puts, would wait
# that long again and again for other threads; measured in docs/architecture.md.
_SWITCH_INTERVAL = 0.001

# When Python looks for cyclic garbage, of which the agent makes hardly any: the defaults (700, 10,
# 10) have it go through what waits, a hundred thousand events perhaps, several times a second.
_COLLECT_AFTER = (20_000, 20, 50)


def run(config: Config, signals: StopSignals, *, sandbox: bool = False) -> int:
    """Run the agent until a signal stops it, also while it starts; return the exit status.

    `sandbox` says that it delivers to a stand-in for PagerDuty: its journal is no other agent's.
    Raises `StartRefused` with one line if it can't start.
    """
    config.check()
    log = set_up_logging(config)
    sys.setswitchinterval(_SWITCH_INTERVAL)
    gc.set_threshold(*_COLLECT_AFTER)
    log.start()
    try:
        status = _run(config, log, signals, sandbox)
    except StopAsked:
        logger.info("stopped before it had started")
        status = 0
    except BaseException:
        if not log.stop():
            os._exit(1)
        raise
    if not log.stop():
        # Journal and pidfile are closed. An orderly end would flush standard error, and wait for
        # as long as its reader doesn't read.
        os._exit(status)
    return status


def _run(config: Config, log: LogThread, signals: StopSignals, sandbox: bool) -> int:
    # The pidfile's lock goes last: when 'server stop' sees it free, the journal is free as well.
    with pidfile(needed(config.pidfile)):
        if config.engine_urls:
            from pdagent.relay.process import run_relay

            return run_relay(config, log, signals, _serve)
        try:
            with signals.interrupting():
                journal = LmdbJournal(
                    needed(config.database), limit=config.max_journal_mb << 20, sandbox=sandbox
                )
        except JournalError as error:
            raise StartRefused(str(error)) from None
        try:
            with server.listening(config) as listeners:
                return _serve(config, journal, log, signals, listeners)
        except JournalError as error:
            raise StartRefused(str(error)) from None
        finally:
            journal.close()


def _serve(
    config: Config,
    journal: Journal,
    log: LogThread,
    signals: StopSignals,
    listeners: list[socket.socket],
    relay: Relay | None = None,
) -> int:
    outlet = Outlet(config, journal.agent_id, relay)
    deliveries = DeliveryMeasurements()
    followers = Followers()
    observers: list[Observer] = [deliveries, followers]

    def observe(queue: QueueId, records: Sequence[Record]) -> None:
        for observer in observers:
            observer(queue, records)

    system = ActorSystem(
        journal,
        outlet.port,
        policy=Policy(
            max_queue_length=config.max_queue_length,
            max_attempts=config.max_attempts,
            give_up_after=config.give_up_after,
        ),
        max_in_flight=config.max_in_flight,
        retention=config.retention,
        heartbeat=outlet.beat(lambda: system.totals()) if config.sends_heartbeat else None,
        observe=observe,
        outer_trouble=list if relay is None else relay.trouble,
    )
    names, by_id = QueueNames(config.routing_keys), system.directory.by_id
    observers.append(
        TransitionLog(
            log,
            Lines(config),
            lambda queue: names.of(by_id(queue).routing_key),
            least=logger.getEffectiveLevel(),
            target=config.delivers_to,
        )
    )
    began = time.perf_counter()
    with signals.interrupting():
        system.recover()
    system.start()
    replay_seconds = time.perf_counter() - began
    gc.freeze()  # what was read stays: no collection need look at it again
    logger.info(
        "started: pid %d, version %s, journal %s, %d events wait",
        *(os.getpid(), __version__, config.database, system.totals()["waiting"]),
    )
    metrics = Sources(
        system=system,
        journal=journal,
        database=config.database,
        version=__version__,
        routing_keys=config.routing_keys,
        deliveries=deliveries,
        intake=IntakeMeasurements(),
        relays=outlet.relays,
        replay_seconds=replay_seconds,
        further=() if relay is None else relay.collectors(),
    )
    manager = ServiceManager(os.environ)
    try:
        with (
            contextlib.suppress(asyncio.CancelledError),  # told to stop before it listened
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            runner.run(
                _answer(config, metrics, outlet, followers, observers, manager, signals, listeners)
            )
    finally:
        # The loop's handlers went with it; a second signal must not cut the orderly end short.
        signals.only_note()
        if relay is None or not relay.leaves:
            manager.tell("STOPPING=1")
        for listener in listeners:
            listener.close()
        system.stop()
    if system.supervisor_failure() is not None:
        logger.critical("the supervisor failed: start the agent again, nothing is lost")
        return 1
    logger.info("stopped")
    return 0


async def _answer(
    config: Config,
    sources: Sources,
    outlet: Outlet,
    followers: Followers,
    observers: list[Observer],
    manager: ServiceManager,
    signals: StopSignals,
    listeners: list[socket.socket],
) -> None:
    loop = asyncio.get_running_loop()
    if (this := asyncio.current_task()) is not None:
        signals.hand_over(loop, this.cancel)  # until it listens
    system = sources.system
    agent = Agent(
        system=system,
        journal=sources.journal,
        config=config,
        version=__version__,
        started_at=time.time(),
        replies=Replies(system.slots.is_crowded),
        followers=followers,
        traffic=Traffic(system.totals),
        intake=sources.intake,
        relays=sources.relays,
        resender=outlet.resender(system, sources.journal),
        metrics=exposition(sources),
    )
    if config.acknowledge == "relay":
        from pdagent.forwarding.acknowledging import Acknowledgements

        agent.acknowledgements = Acknowledgements(sources.journal)
        observers.append(agent.acknowledgements)
    relaying = fleet_tasks(agent, outlet.relay.log if outlet.relay else None)
    sources.fleet = agent.fleet
    notifications = Notifications(agent)
    agent.test_notifications = notifications.test
    warnings = server.warnings(config)
    for warning in warnings:
        logger.warning("%s", warning)
    agent.warnings = lambda: warnings
    tasks: list[asyncio.Task[None]] = [asyncio.create_task(agent.traffic.keep_sampling())]
    tasks += map(asyncio.create_task, [*relaying, *notifications.tasks()])

    def ready() -> None:
        places = [*(listener.address for listener in config.listeners), config.socket or ""]
        where = " and ".join(str(place) for place in places if place)
        logger.info("listening on %s, delivering to %s", where, agent.target)
        manager.tell("READY=1")
        informing = manager.keep_informed(
            system.dead_parts, lambda: _in_a_line(system, config.delivers_to)
        )
        tasks.append(asyncio.create_task(informing))

    over = asyncio.Event()
    if outlet.relay is not None:
        outlet.relay.serving(agent, lambda: loop.call_soon_threadsafe(over.set))
    try:
        if config.spool is not None:
            intake = SpoolIntake(agent, needed(config.spool))
            agent.warnings = lambda: [*warnings, *intake.warnings()]
            await intake.take_in()  # first: it came before whatever will come by HTTP
            tasks.append(asyncio.create_task(intake.take_in_for_ever()))
        await server.serve(
            *application.build(agent),
            config,
            listeners,
            signals=signals,
            on_ready=ready,
            on_stop=agent.followers.end_all,
            failed=lambda: system.supervisor_failure() is not None,
            until=over,
        )
    finally:
        await _end(tasks)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            logger.error("a background task had failed", exc_info=outcome)


def _in_a_line(system: ActorSystem, target: str) -> str:
    state, waiting = system.link().state, system.totals()["waiting"]
    down = f"{target} is {state}, " if state in ("failing", "unreachable") else ""
    return f"{down}{waiting} events wait"
