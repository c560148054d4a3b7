"""The stand-in as a process: its ports, its signals, its output."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import uvloop

from pdagent.sandbox.behaviour import Behaviour
from pdagent.sandbox.console import event_json, event_line, write
from pdagent.sandbox.control import control_application, pagerduty_application
from pdagent.sandbox.listener import StandInListener
from pdagent.sandbox.received import Received
from pdagent.sandbox.standin import StandIn
from pdagent.sandbox.traffic import SandboxTraffic

logger = logging.getLogger(__name__)

STANDARD_INPUT = 0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class SandboxSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the stand-in is started.

    A port of 0 is a free one; `control_port` None is no port of its own. `keep` is how many events
    are remembered (0: all). `stop_on_eof` stops it when standard input ends, so that it doesn't
    outlive the program that started it.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    control_port: int | None = None
    tls: ssl.SSLContext | None = None
    behaviour: Behaviour = Behaviour()
    seed: int | None = None
    keep: int = 100_000
    quiet: bool = False
    as_json: bool = False
    stop_on_eof: bool = False


class StartError(Exception):
    """The stand-in can't start; the text says why, in one line."""


def tls_context(cert: Path, key: Path) -> ssl.SSLContext:
    """What the listener needs to speak TLS; raises ValueError if the files are no good."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without a password given, a key that needs one would ask for it at the terminal.
        context.load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        raise ValueError(
            f"not a certificate and its key ({error.reason or 'unreadable'})"
        ) from None
    except OSError as error:
        raise ValueError(error.strerror or "unreadable") from None
    return context


def run(settings: SandboxSettings) -> None:
    """Run until SIGTERM or SIGINT; raises StartError if a port can't be had."""
    logging.basicConfig(format="sandbox: %(message)s", level=logging.WARNING)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings))


async def _serve(settings: SandboxSettings) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_log_loop_error)
    stop = asyncio.Event()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    standin = StandIn(
        settings.behaviour,
        keep=settings.keep,
        seed=settings.seed,
        watcher=_watcher(settings),
    )
    listener = _listener(settings.host, settings.port, standin.traffic, settings.tls)
    listener.serve(pagerduty_application(standin, listener, _steady_clock()))
    control = None
    if settings.control_port is not None:
        control = _listener(settings.host, settings.control_port, SandboxTraffic(), None)
        control.serve(control_application(standin, listener))
        await _open(control)
    await _open(listener)
    if settings.stop_on_eof:
        _stop_on_eof(loop, stop)
    _say_ready(settings, listener, control or listener)
    await stop.wait()
    # A second signal while this ends must not turn a clean exit into a death by signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    listener.close()
    if control is not None:
        control.close()


def _say_ready(
    settings: SandboxSettings, listener: StandInListener, control: StandInListener
) -> None:
    if settings.as_json:
        ready = {"ready": True, "url": listener.url, "control_url": control.url, "pid": os.getpid()}
        write(msgspec.json.encode(ready).decode())
        return
    write(f"sandbox ready: {listener.url} (control {control.url})")
    if not settings.quiet and not settings.stop_on_eof:  # a program that started it knows
        write(f"point events_url and api_url of an agent's config at {listener.url}")


def _watcher(settings: SandboxSettings) -> Callable[[Received], None]:
    if settings.quiet:
        return lambda received: None
    line = event_json if settings.as_json else event_line
    return lambda received: write(line(received))


def _listener(
    host: str, port: int, traffic: SandboxTraffic, tls: ssl.SSLContext | None
) -> StandInListener:
    try:
        return StandInListener(host=host, port=port, traffic=traffic, tls=tls)
    except OSError as error:
        raise StartError(f"can't use port {port} of {host}: {error.strerror or error}") from None


async def _open(listener: StandInListener) -> None:
    try:
        await listener.open()
    except OSError as error:
        raise StartError(f"can't listen on {listener.url}: {error.strerror or error}") from None


def _steady_clock() -> Callable[[], float]:
    """Seconds since the epoch that never jump: intervals between events stay true."""
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()


def _stop_on_eof(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    def read() -> None:
        if not os.read(STANDARD_INPUT, 4096):
            loop.remove_reader(STANDARD_INPUT)
            stop.set()

    try:
        loop.add_reader(STANDARD_INPUT, read)
    except OSError:
        # A file, or nothing at all: there is no end to wait for.
        raise StartError("--stop-on-eof needs a pipe or a terminal as standard input") from None


def _log_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    error = context.get("exception")
    logger.warning("%s: %s", context.get("message"), type(error).__name__ if error else "unknown")
