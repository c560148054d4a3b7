"""`pagerduty-agent server --sandbox`: an agent and a PagerDuty stand-in to try things on.

Both have their own directory and ports, so that a trial never touches the agent in production.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pdagent.agent.pidfile import running_pid
from pdagent.config import Config, ConfigError, StartRefused, expanded, needed
from pdagent.config.loading import ENV_PREFIX
from pdagent.config.options import OPTIONS
from pdagent.config.template import config_text, new_secret

_ADDRESS = "127.0.0.1:49464"
_STAND_IN = "http://127.0.0.1:49465"
_LOCAL = "127.0.0.1"
_CONFIG = Path(".pagerduty-agent", "sandbox", "config.yaml")


def trial_config(environ: Mapping[str, str]) -> Path:
    """The config file of the trial agent, written if it isn't there.

    Raises:
        StartRefused: It can't be written, or a variable of the environment would beat it.
    """
    beating = [name for name in map(str.upper, OPTIONS) if environ.get(ENV_PREFIX + name)]
    if beating:
        raise StartRefused(
            f"{ENV_PREFIX}{beating[0]} in the environment would beat the sandbox's config: "
            f"run 'unset {ENV_PREFIX}{beating[0]}' first"
        )
    path = needed(expanded(f"~/{_CONFIG}"))
    directory = path.parent
    settings = {
        "address": _ADDRESS,
        "secret": new_secret(),
        "database": "journal",
        "pidfile": "pidfile",
        "events_url": _STAND_IN,
        "api_url": _STAND_IN,
    }
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(config_text(settings))
    except OSError as error:
        raise StartRefused(f"can't write the sandbox's config {path}: {error.strerror}") from None
    return path


def is_of_a_trial(file: Path | None) -> bool:
    """Whether a config file is that of a trial agent, of whatever user."""
    return file is not None and file.parts[-3:] == _CONFIG.parts


@contextlib.contextmanager
def stand_in(config: Config, file: Path) -> Iterator[None]:
    """Run the stand-in at `events_url` for the length of a `with` block.

    If it ends before, this process gets SIGTERM. It ends with this process, however that ends.

    Raises:
        StartRefused: On entry: `events_url` is no free port of 127.0.0.1, or a trial runs already.
            On exit: the stand-in has ended before.
    """
    port = _port_of(config, file)
    os.environ["no_proxy"] = _LOCAL  # no trial for a proxy
    pid = running_pid(needed(config.pidfile))
    if pid is not None:
        raise StartRefused(
            f"the sandbox is running already (pid {pid}): 'pagerduty-agent server stop' stops it"
        )
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOCAL, port))
        except OSError as error:
            raise StartRefused(
                f"can't use port {port} of {_LOCAL} for the sandbox ({error.strerror}): end what "
                f"listens there, or change the port in events_url and api_url of {file}"
            ) from None
    process = subprocess.Popen(
        [sys.executable, "-m", "pdagent", "sandbox", "--port", str(port), "--stop-on-eof"],
        stdin=subprocess.PIPE,
        # Ctrl-C at the terminal is for the agent, which ends first: it may still deliver.
        start_new_session=True,
    )
    wanted = threading.Event()

    def watch() -> None:
        process.wait()
        if not wanted.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
        if process.poll() is not None:
            raise StartRefused(
                f"the sandbox ended (status {process.returncode}), so the agent stopped as well; "
                "nothing is lost: start both again"
            )
    finally:
        wanted.set()
        process.terminate()
        watcher.join()


def _port_of(config: Config, file: Path) -> int:
    for name in ("deliver_via", "relays", "engine_urls"):
        if getattr(config, name):
            raise ConfigError(f"{file}: with --sandbox, {name} must not be set")
    for name in ("events_url", "api_url"):
        parts = urlsplit(getattr(config, name))
        if (parts.scheme, parts.hostname) != ("http", _LOCAL) or parts.port is None:
            raise ConfigError(
                f"{file}: with --sandbox, {name} must be http://{_LOCAL}:PORT, "
                "where the stand-in for PagerDuty listens"
            )
    return int(urlsplit(config.events_url).port or 0)


def introduction(file: Path) -> str:
    """What to type next, for people."""
    return f"""\
A trial: an agent and a stand-in for PagerDuty. Nothing here reaches PagerDuty or another agent.
Config and journal are in {file.parent}. Ctrl-C ends both. In another terminal:

  export PAGERDUTY_AGENT_CONFIG={file}
  pagerduty-agent enqueue -k v4g5q7yie1qee1yio2uimz8yfbjenvj9 -t trigger \\
      -d "Disk full" -u web-17 -e critical
  pagerduty-agent status
"""
