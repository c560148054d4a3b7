"""`init`, `server` and `server stop`, with the real server."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pdagent.config.loading import load
from pdagent.config.options import OPTIONS
from tests.free_ports import free_port
from tests.pdagent.cli.agent_stand_in import SECRET, AgentStandIn
from tests.pdagent.cli.command_line import CommandLine

KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"
START_SECONDS = 20.0


@pytest.fixture
def offline(cli: CommandLine) -> CommandLine:
    """The program with everything it needs in the environment, and a PagerDuty that is down."""
    cli.env = {
        "PAGERDUTY_AGENT_ADDRESS": f"127.0.0.1:{free_port()}",
        "PAGERDUTY_AGENT_EVENTS_URL": "http://127.0.0.1:9",
        "PAGERDUTY_AGENT_API_URL": "http://127.0.0.1:9",
        "PAGERDUTY_AGENT_HEARTBEAT": "off",
    }
    return cli


@contextmanager
def server(cli: CommandLine, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """The server once it answers; killed at the end if it is still there."""
    with (cli.home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            cli.command(*arguments, "server"), stdout=log, stderr=log, env=cli.environment()
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while "listening on" not in (said := (cli.home / "server.log").read_text()):
            assert process.poll() is None and time.monotonic() < deadline, said
            time.sleep(0.02)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def test_init_writes_a_private_config_that_explains_every_option(cli: CommandLine) -> None:
    done = cli("init")
    assert (done.code, done.err) == (0, "")
    assert str(cli.config) in done.out
    assert cli.config.stat().st_mode & 0o777 == 0o600
    text = cli.config.read_text()
    for option in OPTIONS.values():
        assert option.explanation in text
        assert f"{option.name.removeprefix('notify_').removeprefix('engine_')}:" in text
    loaded = load({}, {"HOME": str(cli.home)}, config_file=str(cli.config))
    assert len(loaded.config.secret) >= 32
    assert loaded.origins.keys() == {"secret"}
    assert [path.name for path in cli.home.iterdir()] == [cli.config.name]


def test_the_defaults_that_the_config_file_names_are_the_programs(cli: CommandLine) -> None:
    cli("init")
    lines = cli.config.read_text().splitlines()
    settings = [line[2:] for line in lines if line[2:].split(":")[0] in OPTIONS and line[0] == "#"]
    active = cli.home / "active.yaml"
    active.write_text("".join(f"{line}\n" for line in settings if line != "routing_keys:"))
    home = {"HOME": str(cli.home)}
    written = load({}, home, config_file=str(active)).config
    assert written == load({}, home, search=[]).config


def test_init_never_touches_what_is_there(cli: CommandLine) -> None:
    for link in (False, True):
        cli.config.unlink(missing_ok=True)
        cli.config.symlink_to("nowhere") if link else cli.config.write_text("mine")
        before = cli.config.lstat()
        done = cli("init")
        assert done.code == 1
        assert f"{cli.config} exists already and was left as it is" in done.error
        assert cli.config.lstat() == before


def test_init_writes_where_config_says(cli: CommandLine, tmp_path: Path) -> None:
    assert cli("--config", "own.yaml", "init").code == 0
    assert (tmp_path / "own.yaml").is_file()
    done = cli("--config", "/no/such/folder/own.yaml", "init")
    assert done.code == 1
    assert "can't write /no/such/folder/own.yaml: No such file" in done.error


def test_each_init_makes_another_secret(cli: CommandLine) -> None:
    for name in ("a.yaml", "b.yaml"):
        cli("--config", name, "init")
    first, second = (load({}, {}, config_file=str(cli.home / f"{n}.yaml")) for n in "ab")
    assert first.config.secret != second.config.secret


def test_the_server_writes_a_config_first_takes_events_and_stops(offline: CommandLine) -> None:
    with server(offline) as process:
        log = (offline.home / "server.log").read_text()
        assert f"wrote {offline.config} with a new secret" in log
        done = offline("send", "-k", KEY, "-t", "trigger", "-d", "Disk full", "-i", "db1")
        assert (done.code, done.out) == (0, "Event processed. Incident Key: db1\n")
        assert "1 accepted" in offline("status").out
        again = offline("server")
        assert again.code == 1
        assert str(process.pid) in again.error
        told = json.loads(offline("server", "status", "--json").out)
        assert (told["running"], told["ready"], told["pid"]) == (True, True, process.pid)
        seen = offline("server", "status")
        assert seen.code == 0
        assert f"(pid {process.pid}, " in seen.out
        stopped = offline("server", "stop")
        assert stopped.out == f"Stopped the agent (pid {process.pid}).\n"
        assert process.wait(START_SECONDS) == 0
    assert "no agent is running" in offline("server", "stop").error
    gone = offline("server", "status", "--json")
    assert gone.code == 69
    assert json.loads(gone.out)["running"] is False


def test_what_a_killed_server_leaves_behind_stops_nothing(offline: CommandLine) -> None:
    with server(offline) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    pidfile = offline.home / ".pagerduty-agent" / "pidfile"
    pidfile.write_text(str(os.getpid()))
    assert "no agent is running" in offline("server", "stop").error
    with server(offline):
        assert offline("server", "stop").code == 0


def test_stop_never_signals_a_process_that_does_not_hold_the_lock(offline: CommandLine) -> None:
    pidfile = offline.home / "pidfile"
    with subprocess.Popen(["sleep", "60"]) as bystander, pidfile.open("w") as locked:
        # What an agent in a container writes: a number that is another process's out here.
        locked.write(str(bystander.pid))
        locked.flush()
        fcntl.flock(locked, fcntl.LOCK_EX)
        done = offline("--pidfile", str(pidfile), "server", "stop")
        assert bystander.poll() is None
        bystander.kill()
    assert done.code == 1
    assert f"process {bystander.pid}, which the pidfile {pidfile} names" in done.error
    assert "another PID namespace" in done.error


def test_without_home_directory_only_what_lies_in_it_fails(cli: CommandLine) -> None:
    def homeless(*arguments: str) -> tuple[int, str, str]:
        code = (
            "import sys; sys.modules['pwd'] = None; from pdagent.cli import main; sys.exit(main())"
        )
        environment = {**cli.environment(), "PAGERDUTY_AGENT_ADDRESS": agent.address}
        del environment["HOME"]
        done = subprocess.run(
            [sys.executable, "-c", code, "-s", SECRET, *arguments],
            env=environment,
            cwd=cli.home,
            capture_output=True,
            check=False,
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    with AgentStandIn() as agent:
        code, out, err = homeless("send", "-k", KEY, "-t", "trigger", "-d", "x")
        assert (code, err) == (0, "")
        assert out.startswith("Event processed.")
        assert homeless("queue", "status", "--json")[0] == 0
        for command in (("server",), ("server", "stop"), ("init",), ("journal", "verify")):
            code, _, err = homeless(*command)
            assert code == 1
            assert "this user has no home directory: set the environment variable HOME" in err
        assert homeless("--pidfile", str(cli.home / "pid"), "server", "stop")[2].startswith(
            "error: no agent is running"
        )
    assert not list(cli.home.iterdir())


def test_a_server_that_others_could_reach_needs_a_secret(offline: CommandLine) -> None:
    offline.env["PAGERDUTY_AGENT_ADDRESS"] = "0.0.0.0:49463"
    offline.configure("# nothing set\n")
    done = offline("server")
    assert done.code == 1
    assert "can be reached by other hosts and no secret is set" in done.error


def test_a_server_never_runs_without_a_secret_that_it_cannot_read(offline: CommandLine) -> None:
    for name, file in (("secret_file", "secret"), ("routing_keys_file", "keys.yaml")):
        offline.configure(**{name: file})
        done = offline("server")
        assert done.code == 1
        assert f"can't read {name} {offline.home / file}: No such file or directory" in done.error


def test_init_for_the_host_goes_with_no_config_of_ones_own(cli: CommandLine) -> None:
    done = cli("--config", "own.yaml", "init", "--system")
    assert done.code == 2
    assert "--system writes /etc/pagerduty-agent.yaml: leave out --config" in done.error
    assert list(cli.home.iterdir()) == []


def test_a_server_without_a_place_for_its_config_says_what_to_do(offline: CommandLine) -> None:
    offline.env["HOME"] = "/no/such/home"
    done = offline("server")
    assert done.code == 1
    assert "can't write /no/such/home/.pagerduty-agent.yaml" in done.error
    assert "--config FILE init" in done.error
