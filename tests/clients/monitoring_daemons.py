"""Nagios and Icinga 2 as processes: in a directory of their own, without active checks.

Check results come in as external commands. Notifications go through the snippets of the
documentation, from which only the program's path is replaced.
"""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from pdagent.demo.processes import call_off, dying_with_us
from tests.agent_process import AgentProcess
from tests.clients.documented import INTEGRATIONS, KEY, blocks

PROGRAM = "/usr/local/bin/pagerduty-agent"
KEY_NAME = "database"
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
# Debian's user for both daemons.
_USER = "nagios"


class MonitoringDaemon(ABC):
    """Runs one of the daemons with the named services of one host, `db1`, and the host itself.

    Used as a context manager; it takes check results once entered.
    """

    program: str | None
    page: str
    language: str

    def __init__(self, agent: AgentProcess, services: Iterable[str]) -> None:
        self.services = list(services)
        self._owner = _unprivileged()
        self.directory = Path(tempfile.mkdtemp(prefix="pdagent-daemon-"))
        self.pipe = self.directory / "commands"
        self._output = self.directory / "output"
        program = self._written("pagerduty-agent", wrapper(self.directory / "client.yaml"))
        program.chmod(0o755)
        self._written("client.yaml", client_config(agent)).chmod(0o600)
        [snippet] = blocks(self.page, self.language, INTEGRATIONS)
        assert PROGRAM in snippet
        self.configure(snippet.replace(PROGRAM, str(program)))
        if self._owner:
            for path in (self.directory, *self.directory.rglob("*")):
                os.chown(path, self._owner["user"], self._owner["group"])
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def configure(self, snippet: str) -> None:
        """Write the configuration: the documented snippet, and what it is tried on."""

    @abstractmethod
    def command_line(self) -> list[str]:
        """The daemon in the foreground."""

    def __enter__(self) -> Self:
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                self.command_line(),
                cwd=self.directory,
                env={"PATH": os.environ["PATH"]},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                **self._owner,
            )
        self._guard = dying_with_us(self._process.pid)
        deadline = time.monotonic() + _START_SECONDS
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                log = self.log()
                self._end()
                raise RuntimeError(f"{self.program} did not start:\n{log}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def report(self, service: str, state: str, output: str = "", times: int = 1) -> None:
        """Hand in a check result of a service: OK, WARNING, CRITICAL or UNKNOWN."""
        number = ("OK", "WARNING", "CRITICAL", "UNKNOWN").index(state)
        line = f"PROCESS_SERVICE_CHECK_RESULT;db1;{service};{number};{output or state}"
        self.tell(*[line] * times)

    def report_host(self, state: str, output: str = "") -> None:
        """Hand in a check result of the host: UP or DOWN."""
        number = ("UP", "DOWN").index(state)
        self.tell(f"PROCESS_HOST_CHECK_RESULT;db1;{number};{output or state}")

    def acknowledge(self, service: str, author: str, comment: str) -> None:
        """Acknowledge the problem of a service."""
        self.tell(f"ACKNOWLEDGE_SVC_PROBLEM;db1;{service};1;1;0;{author};{comment}")

    def begin_downtime(self, service: str) -> None:
        """Begin a downtime of an hour."""
        now = int(time.time())
        times = f"{now};{now + 3600};1;0;3600"
        self.tell(f"SCHEDULE_SVC_DOWNTIME;db1;{service};{times};alice;Maintenance")

    def end_downtime(self) -> None:
        """End all downtimes of the host's services."""
        self.tell("DEL_DOWNTIME_BY_HOST_NAME;db1")

    def tell(self, *commands: str) -> None:
        """Write external commands, in this order."""
        with self.pipe.open("w", encoding="utf-8") as pipe:
            for command in commands:
                pipe.write(f"[{int(time.time())}] {command}\n")
                pipe.flush()

    def log(self) -> str:
        """What it has written so far."""
        files = [self._output, *self.directory.glob("*.log")]
        return "\n".join(file.read_text("utf-8", "replace") for file in files if file.exists())

    def _written(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.write_text(text, encoding="utf-8")
        return path

    def _listens(self) -> bool:
        try:
            os.close(os.open(self.pipe, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return False
        return True

    def _end(self) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            # Its helpers, which are in its session, as well.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._guard is not None:
            call_off(self._guard)
            self._guard = None
        shutil.rmtree(self.directory, ignore_errors=True)


class Nagios(MonitoringDaemon):
    """Nagios 4, with the thresholds and time-outs that Debian's configuration has."""

    program = shutil.which("nagios4")
    page, language = "nagios", "nagios"

    def configure(self, snippet: str) -> None:
        """As the base class."""
        (self.directory / "results").mkdir()
        common = (
            "check_command none\nactive_checks_enabled 0\nmax_check_attempts 1\n"
            "contacts pagerduty\nnotification_interval 0\n"
            "check_period 24x7\nnotification_period 24x7\n"
        )
        days = "sunday monday tuesday wednesday thursday friday saturday"
        objects = [
            snippet,
            "define timeperiod {\ntimeperiod_name 24x7\nalias always\n"
            + "".join(f"{day} 00:00-24:00\n" for day in days.split())
            + "}",
            "define command {\ncommand_name none\ncommand_line /bin/true\n}",
            f"define host {{\nhost_name db1\naddress 127.0.0.1\n{common}}}",
            *(
                f"define service {{\nhost_name db1\nservice_description {name}\n{common}}}"
                for name in self.services
            ),
        ]
        self._written("objects.cfg", "\n".join(objects) + "\n")
        files = {
            "cfg_file": "objects.cfg",
            "log_file": "nagios.log",
            "object_cache_file": "objects.cache",
            "status_file": "status.dat",
            "command_file": "commands",
            "lock_file": "pid",
            "temp_file": "temporary",
            "check_result_path": "results",
            "query_socket": "query",
            "temp_path": ".",
        }
        lines = [f"{name}={self.directory / file}" for name, file in files.items()]
        user = pwd.getpwuid(self._owner.get("user", os.getuid())).pw_name
        group = grp.getgrgid(self._owner.get("group", os.getgid())).gr_name
        lines += [
            f"nagios_user={user}",
            f"nagios_group={group}",
            "check_external_commands=1",
            "use_syslog=0",
            "check_for_updates=0",
            "enable_flap_detection=1",
            "low_service_flap_threshold=5.0",
            "high_service_flap_threshold=20.0",
            "notification_timeout=30",
            "illegal_macro_output_chars=`~$&|'\"<>",
        ]
        self._written("nagios.cfg", "\n".join(lines) + "\n")

    def command_line(self) -> list[str]:
        """As the base class."""
        return [str(self.program), str(self.directory / "nagios.cfg")]


class Icinga(MonitoringDaemon):
    """Icinga 2."""

    program = shutil.which("icinga2")
    page, language = "icinga2", "icinga2"

    def configure(self, snippet: str) -> None:
        """As the base class."""
        common = (
            'check_command = "none"\nenable_active_checks = false\nmax_check_attempts = 1\n'
            "enable_flapping = true\n"
        )
        objects = [
            'object CheckCommand "none" {\ncommand = [ "/bin/true" ]\n}',
            'object NotificationComponent "notification" { }',
            f'object ExternalCommandListener "command" {{\ncommand_path = "{self.pipe}"\n}}',
            f'object FileLogger "log" {{\npath = "{self.directory}/icinga2.log"\n}}',
            f'object Host "db1" {{\n{common}}}',
            *(
                f'object Service "{name}" {{\nhost_name = "db1"\n{common}}}'
                for name in self.services
            ),
            snippet,
        ]
        self._written("icinga2.conf", "\n".join(objects) + "\n")
        for name in ("data", "cache", "spool", "run"):
            (self.directory / name).mkdir()

    def command_line(self) -> list[str]:
        """As the base class."""
        user = pwd.getpwuid(self._owner.get("user", os.getuid())).pw_name
        group = grp.getgrgid(self._owner.get("group", os.getgid())).gr_name
        defined = {
            "Configuration.RunAsUser": user,
            "Configuration.RunAsGroup": group,
            "Configuration.DataDir": self.directory / "data",
            "Configuration.CacheDir": self.directory / "cache",
            "Configuration.SpoolDir": self.directory / "spool",
            "Configuration.LogDir": self.directory,
            "Configuration.InitRunDir": self.directory / "run",
            "Configuration.PidPath": self.directory / "pid",
        }
        options = [f"-D{name}={value}" for name, value in defined.items()]
        config = self.directory / "icinga2.conf"
        return [str(self.program), "daemon", "-c", str(config), *options]


def client_config(agent: AgentProcess) -> str:
    """The config of commands, with the key that the pages name."""
    keys = f"routing_keys:\n  {KEY_NAME}: {KEY}\n"
    return f"address: {agent.address}\nsecret: {agent.secret}\n{keys}"


def wrapper(config: Path) -> str:
    """A script in the program's place, which uses `config`."""
    command = [sys.executable, "-m", "pdagent", "--config", str(config)]
    return f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n'


def _unprivileged() -> dict[str, Any]:
    """As whom root runs the daemon: options of `Popen`.

    None where that user can't run the program, because Python or the checkout is below /root.
    """
    if os.getuid() != 0:
        return {}
    try:
        entry = pwd.getpwnam(_USER)
    except KeyError:
        entry = pwd.getpwnam("nobody")
    who = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    try:
        subprocess.run(
            [sys.executable, "-m", "pdagent", "version"],
            cwd="/",
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            check=True,
            **who,
        )
    except (OSError, subprocess.CalledProcessError):
        return {}
    return who
