"""A host of its own, on which `init --system` may install: its /etc, /run, /var and its users.

It is a mount namespace of this machine: nothing outside of the test's directory is touched. For
root only; `missing` says what else it takes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import click

from pdagent.demo.processes import call_off, dying_with_us
from tests.agent_process import REPOSITORY
from tests.credentials import Credentials
from tests.free_ports import free_port

_TOOLS = ("unshare", "nsenter", "setpriv", "mount", "useradd", "usermod", "groupadd", "find")
_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
_SITE = Path(click.__file__).parents[1]
_TIME_LIMIT = 60.0
_SERVER = ("sh", "-c", "umask 077; exec pagerduty-agent --config /etc/pagerduty-agent.yaml server")

# What is mounted where: the program lies where every user can reach it, wherever it is really.
_MOUNTS = f"""\
set -e
cd "$1"
mount --bind '{sys.base_prefix}' opt/python
mount --bind '{_SITE}' opt/site
mount --bind '{REPOSITORY}' opt/repository
for place in etc run var/lib var/spool opt; do mount --rbind "$place" "/$place"; done
echo ready
exec cat
"""
_PROGRAM = f"""\
#!/bin/sh
export PYTHONPATH=/opt/repository:/opt/site LD_LIBRARY_PATH=/opt/python/lib
exec /opt/python/bin/{_PYTHON} -m pdagent "$@"
"""


def missing() -> str:
    """Why there can be no such host here; empty if there can."""
    if os.geteuid() != 0:
        return "needs root, to install and to act as other users"
    without = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if without:
        return f"needs {', '.join(without)}"
    made = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    return "" if made.returncode == 0 else "needs the right to make a mount namespace"


class Host:
    """Used as a context manager; `at` gives the place of one of its files, seen from outside."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.credentials = Credentials()
        self._holder: subprocess.Popen[str] | None = None
        self._agent: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Host:
        for place in ("run", "var/lib", "var/spool", "opt/bin"):
            self.at(f"/{place}").mkdir(parents=True)
        for place in ("python", "site", "repository"):
            self.at(f"/opt/{place}").mkdir()
        subprocess.run(["cp", "-a", "/etc", self.directory], check=True)
        ours = ("-name", "pagerduty-agent*", "-prune", "-exec", "rm", "-r", "{}", "+")
        subprocess.run(["find", self.at("/etc"), *ours], check=True)
        self.script("pagerduty-agent", _PROGRAM)
        # systemd is here, if only in name.
        self.script("systemctl", "#!/bin/sh\nexit 1\n")
        self.at("/etc/systemd/system").mkdir(parents=True, exist_ok=True)
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--", "sh", "-c", _MOUNTS, "sh", str(self.directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._agent is not None:
            self.kill()
        assert self._holder is not None
        self._holder.communicate()
        shutil.rmtree(self.at("/etc"))  # a copy of this machine's, with its secrets
        if error is None:
            self.credentials.check_log(self.log(), "the agent's log")

    def wait_until_delivered(self, count: int) -> None:
        """Wait until the deliveries of so many events are on disk."""
        listing = ("pagerduty-agent", "queue", "list", "--state", "delivered", "--json")
        deadline = time.monotonic() + _TIME_LIMIT
        while len(self.run(*listing).stdout.splitlines()) < count:
            assert time.monotonic() < deadline, f"{count} events are not recorded as delivered"

    def at(self, path: str) -> Path:
        """A file of the host, seen from outside."""
        return self.directory / path.lstrip("/")

    def script(self, name: str, text: str) -> None:
        """Put a program onto the host's PATH."""
        path = self.at(f"/opt/bin/{name}")
        path.write_text(text)
        path.chmod(0o755)

    def install(self, events_url: str, *options: str) -> str:
        """`init --system` with `options`, an address and a PagerDuty of the test's; its output."""
        done = self.run("pagerduty-agent", "init", "--system", *options)
        assert done.returncode == 0, done.stderr
        self.configure(
            address=f"127.0.0.1:{free_port()}",
            events_url=events_url,
            api_url=events_url,
            heartbeat="false",
        )
        self.credentials.note(self.at("/etc/pagerduty-agent/secret").read_text().strip())
        return done.stdout

    def configure(self, **settings: str) -> None:
        """Add settings to the config of the host."""
        with self.at("/etc/pagerduty-agent.yaml").open("a") as config:
            config.writelines(f"{name}: {value}\n" for name, value in settings.items())

    def add_user(self, name: str, *, in_the_group: bool) -> None:
        """A user as other packages make them."""
        done = self.run("useradd", "--system", "--user-group", name)
        assert done.returncode == 0, done.stderr
        if in_the_group:
            done = self.run("usermod", "-aG", "pagerduty-agent", name)
            assert done.returncode == 0, done.stderr

    def run(
        self, *command: str, user: str = "root", **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as `user`, whose environment is bare: there is no HOME in it.

        A user whom the host does not know is `UID:GID:ANOTHER_GID`.
        """
        self.credentials.note_keys_in(*command)
        done = subprocess.run(
            self._entering(user, *command),
            env={"PATH": "/opt/bin:/usr/sbin:/usr/bin:/sbin:/bin", **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIME_LIMIT,
            check=False,
        )
        self.credentials.check(done.stdout + done.stderr, f"the output of {command}")
        assert "Traceback" not in done.stderr
        return done

    def start(self) -> None:
        """Start the agent as its unit does, and wait until it is ready."""
        before = len(self.log())
        with self.at("/var/agent.log").open("ab") as log:
            self._agent = subprocess.Popen(
                self._entering("pagerduty-agent", *_SERVER),
                env={"PATH": "/opt/bin:/usr/bin:/bin", "HOME": "/var/lib/pagerduty-agent"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._guard = dying_with_us(self._agent.pid)
        self.wait_for(lambda: "listening on" in self.log()[before:], "a ready agent")

    def kill(self) -> None:
        """SIGKILL, and wait until the agent is gone."""
        assert self._agent is not None and self._guard is not None
        self._agent.kill()
        self._agent.wait()
        call_off(self._guard)
        self._agent = None

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """Wait until `condition()` is true; AssertionError naming `what`, with the log."""
        deadline = time.monotonic() + _TIME_LIMIT
        while not condition():
            assert self._agent is None or self._agent.poll() is None, self.log()
            assert time.monotonic() < deadline, f"no {what}; log:\n{self.log()}"
            time.sleep(0.02)

    def log(self) -> str:
        """What the agent has logged."""
        path = self.at("/var/agent.log")
        return path.read_text() if path.exists() else ""

    def _entering(self, user: str, *command: str) -> list[str]:
        assert self._holder is not None
        if ":" in user:
            number, group, more = user.split(":")
            groups = ["--regid", group, "--groups", more]
        else:
            number, groups = user, ["--regid", user, "--init-groups"]
        acting = ["setpriv", "--reuid", number, *groups]
        namespace = f"--mount=/proc/{self._holder.pid}/ns/mnt"
        return ["nsenter", namespace, "--", *acting, "--inh-caps=-all", "--", *command]
