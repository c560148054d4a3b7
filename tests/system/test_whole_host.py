"""`init --system` and what follows: one agent for all users of a host, who have no HOME here."""

from __future__ import annotations

import json
import pwd
import re
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdagent.config.loading import load
from tests.python_agent_queue import PythonAgentQueue, event
from tests.sandbox_process import SandboxProcess
from tests.system.whole_host import Host, missing

WHY_NOT = missing()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"
SEND = ("pagerduty-agent", "send", "-t", "trigger", "-d")
NAGIOS = ("pagerduty-agent", "nagios", "-t", "PROBLEM", "--host", "web1", "--state")
# Names that no package uses: the host has the users of this machine as well.
MEMBER, STRANGER = "pdtest-member", "pdtest-stranger"
JOIN = f"not in the group pagerduty-agent: ask root for 'usermod -aG pagerduty-agent {STRANGER}'"
START = "'systemctl start pagerduty-agent' starts it"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with Host(tmp_path) as made:
        yield made


@pytest.fixture
def installed(host: Host, sandbox: SandboxProcess) -> Host:
    """With a user who may send, and one who may not."""
    host.install(sandbox.url)
    host.add_user(MEMBER, in_the_group=True)
    host.add_user(STRANGER, in_the_group=False)
    with host.at("/etc/pagerduty-agent/routing-keys.yaml").open("a") as names:
        names.write(f"database: {KEY}\n")
    return host


def error(done: subprocess.CompletedProcess[str]) -> str:
    """The one line on standard error of a command that failed."""
    assert done.returncode != 0
    [line] = done.stderr.splitlines()
    return line


def described(sandbox: SandboxProcess, count: int) -> list[str]:
    """What PagerDuty got: the description of v1, the source of v2."""
    bodies = [event["body"] for event in sandbox.wait_for_events(count)]
    return [body.get("description") or body["payload"]["source"] for body in bodies]


def everything(host: Host) -> dict[str, tuple[int, int, str, bytes]]:
    """Owner, group, mode and content of all that belongs to the agent, by path."""
    found = {}
    for path in host.directory.rglob("*pagerduty-agent*"):
        if host.at("/opt") not in path.parents:
            for each in (path, *path.rglob("*")):
                status = each.stat()
                content = each.read_bytes() if each.is_file() else b""
                mode = stat.filemode(status.st_mode)
                name = str(each.relative_to(host.directory))
                found[name] = status.st_uid, status.st_gid, mode, content
    return found


def test_what_is_installed_and_that_a_second_time_changes_nothing(host: Host) -> None:
    done = host.run("pagerduty-agent", "init", "--system")
    assert (done.returncode, done.stderr) == (0, "")
    for step in (
        "systemctl enable --now pagerduty-agent",
        "usermod -aG pagerduty-agent nagios",
        "pagerduty-agent send -k KEY",
    ):
        assert f"\n  {step}" in done.stdout
    first = everything(host)
    user, group = (
        int(host.run("id", flag, "pagerduty-agent").stdout) for flag in ("--user", "--group")
    )
    assert {name: (*facts[:3],) for name, facts in first.items()} == {
        "etc/pagerduty-agent.yaml": (0, 0, "-rw-r--r--"),
        "etc/pagerduty-agent": (0, 0, "drwxr-xr-x"),
        "etc/pagerduty-agent/secret": (user, group, "-rw-------"),
        "etc/pagerduty-agent/routing-keys.yaml": (0, group, "-rw-r-----"),
        "etc/systemd/system/pagerduty-agent.service": (0, 0, "-rw-r--r--"),
        "run/pagerduty-agent": (user, group, "drwxr-xr-x"),
        "var/lib/pagerduty-agent": (user, group, "drwx------"),
        "var/lib/pagerduty-agent/journal": (user, group, "drwx------"),
        "var/spool/pagerduty-agent": (user, group, "drwxrws---"),
    }
    secret = first["etc/pagerduty-agent/secret"][3].decode().strip()
    assert len(secret) >= 32
    for name in ("etc/pagerduty-agent.yaml", "etc/systemd/system/pagerduty-agent.service"):
        assert secret not in first[name][3].decode()
    config = load({}, {}, config_file=str(host.at("/etc/pagerduty-agent.yaml"))).config
    assert config.socket == Path("/run/pagerduty-agent/agent.sock")
    assert config.pidfile == Path("/run/pagerduty-agent/pidfile")

    again = host.run("pagerduty-agent", "init", "--system")
    assert (again.returncode, again.stderr) == (0, "")
    assert "Wrote" not in again.stdout and "Made" not in again.stdout
    assert "Warning" not in again.stdout
    assert everything(host) == first


def test_what_was_there_is_left_and_what_it_lacks_is_named(host: Host) -> None:
    config = host.at("/etc/pagerduty-agent.yaml")
    config.write_text("secret: set-before-by-somebody\nspool: /var/spool/pagerduty-agent\n")
    config.chmod(0o600)
    spool = host.at("/var/spool/pagerduty-agent")
    spool.mkdir(mode=0o755)
    done = host.run("pagerduty-agent", "init", "--system")
    assert done.returncode == 0
    assert config.read_text().startswith("secret: set-before-by-somebody\n")
    warnings = [line for line in done.stdout.splitlines() if line.startswith("Warning: ")]
    for lacking in ("socket", "secret_file", "database", "pidfile", "routing_keys_file"):
        assert sum(f" does not say '{lacking}: /" in line for line in warnings) == 1
    faults = [line for line in warnings if "owner or mode" in line or "can't be read" in line]
    for fault in faults:
        [mending] = re.findall(r"run '(.*)'", fault)
        assert host.run("sh", "-c", mending).returncode == 0
    assert stat.filemode(config.stat().st_mode) == "-rw-r--r--"
    assert stat.filemode(spool.stat().st_mode) == "drwxrws---"


def test_with_tls_the_agent_can_read_its_key_and_commands_go_by_the_socket(
    host: Host, sandbox: SandboxProcess
) -> None:
    host.install(sandbox.url, "--tls", "--tls-name", "events.example.com")
    key, certificate = (host.at(f"/etc/pagerduty-agent.{name}.pem") for name in ("key", "cert"))
    assert stat.filemode(key.stat().st_mode) == "-rw-------"
    assert stat.filemode(certificate.stat().st_mode) == "-rw-r--r--"
    host.start()
    assert host.run(*SEND, "by socket", "-k", KEY).returncode == 0
    assert described(sandbox, 1) == ["by socket"]
    address = load({}, {}, config_file=str(host.at("/etc/pagerduty-agent.yaml"))).config.address
    live = host.run("pagerduty-agent", "--address", address, "health")
    assert (live.returncode, live.stdout) == (0, "OK\n")


def test_the_python_agents_settings_and_events_are_taken_over(
    host: Host, sandbox: SandboxProcess
) -> None:
    host.at("/etc/pdagent.conf").write_text("[Main]\ncleanup_threshold_secs = 259200\nx = 1\n")
    queue = PythonAgentQueue(host.at("/var/lib/pdagent/outqueue"))
    queue.put("pdq", 2, event(KEY, "resolve", "db1"))
    queue.put("err", 1, event(KEY, "trigger", "db1"))
    done = host.install(sandbox.url, "--from", "/etc/pdagent.conf")
    assert "Taken over from the Python agent's config: retention." in done
    assert "'pagerduty-agent import /var/lib/pdagent/outqueue'" in done
    config = host.at("/etc/pagerduty-agent.yaml")
    assert "#   x: the Python agent has no such setting" in config.read_text()
    assert load({}, {}, config_file=str(config)).config.retention == 259200
    host.start()
    done = host.run("pagerduty-agent", "import", "/var/lib/pdagent/outqueue")
    assert (done.returncode, done.stderr) == (0, "")
    received = [each["body"]["event_type"] for each in sandbox.wait_for_events(2)]
    assert received == ["trigger", "resolve"]
    again = host.run("pagerduty-agent", "init", "--system", "--from", "/etc/pdagent.conf")
    assert "/etc/pagerduty-agent.yaml exists already" in error(again)


def test_go_pdagents_secret_stands_in_no_file_that_every_user_reads(host: Host) -> None:
    secret = "v2kq8x0b1m4r7t9w3y5z6a1c2e4g8j0n"
    host.credentials.note(secret)
    host.at("/etc/pdagent").mkdir()
    host.at("/etc/pdagent/config.yaml").write_text(
        f"region: eu\nsecret: {secret}\npidfile: /var/run/pdagent/pidfile\n"
    )
    host.install("http://127.0.0.1:9", "--from", "/etc/pdagent/config.yaml")
    assert host.at("/etc/pagerduty-agent/secret").read_text() == f"{secret}\n"
    text = host.at("/etc/pagerduty-agent.yaml").read_text()
    assert secret not in text
    assert "\nregion: eu\n" in text and "\npidfile: /run/pagerduty-agent/pidfile\n" in text


def test_only_root_installs(host: Host) -> None:
    host.add_user(STRANGER, in_the_group=False)
    assert "needs root" in error(host.run("pagerduty-agent", "init", "--system", user=STRANGER))
    assert not host.at("/etc/pagerduty-agent.yaml").exists()


def test_a_member_of_the_group_sends_and_has_jobs_while_the_agent_runs_and_while_it_is_down(
    installed: Host, sandbox: SandboxProcess
) -> None:
    installed.start()
    done = installed.run(*SEND, "running", "-k", "@database", user=MEMBER)
    assert (done.returncode, done.stderr) == (0, "")
    assert described(sandbox, 1) == ["running"]
    uid = int(installed.run("id", "--user", MEMBER).stdout)
    installed.wait_for(lambda: f"(uid {uid})" in installed.log(), "line with the sender's user")
    [event] = [
        json.loads(line)["id"]
        for line in installed.run(
            "pagerduty-agent", "queue", "list", "--state", "delivered", "--json"
        ).stdout.splitlines()
    ]
    assert f"(uid {uid})" in installed.run("pagerduty-agent", "queue", "show", event).stdout

    # Services often keep the HOME of whoever started them.
    elsewhere = installed.at("/run/elsewhere")
    for number, mode in enumerate((0o700, 0o755), 2):
        elsewhere.mkdir(exist_ok=True)
        elsewhere.chmod(mode)
        theirs = elsewhere / ".pagerduty-agent.yaml"
        theirs.touch(mode=0o600)
        home = installed.run(
            *SEND, f"home {mode:o}", "-k", "@database", user=MEMBER, HOME="/run/elsewhere"
        )
        assert (home.returncode, home.stderr) == (0, "")
        described(sandbox, number)

    job = ("pagerduty-agent", "run", "-k", "@database", "--name", "backup", "--")
    broken = ("sh", "-c", "echo broken; exit 3")
    done = installed.run(*job, *broken, user=MEMBER)
    assert (done.returncode, done.stdout) == (3, "broken\n")
    assert "backup" in sandbox.wait_for_events(4)[3]["body"]["dedup_key"]

    installed.wait_until_delivered(4)
    installed.kill()
    done = installed.run(*SEND, "down", "-k", "@database", "-q", user=MEMBER)
    assert (done.returncode, done.stdout) == (0, "")
    assert "the event waits in /var/spool/pagerduty-agent" in done.stderr
    done = installed.run(*NAGIOS, "DOWN", "-k", "@database", user=MEMBER)
    assert done.returncode == 0, done.stderr
    done = installed.run(*job, *broken, user=MEMBER)
    assert (done.returncode, done.stdout) == (3, "broken\n")
    assert "the event waits in /var/spool/pagerduty-agent" in done.stderr
    [file, *_] = sorted(installed.at("/var/spool/pagerduty-agent").iterdir())
    assert stat.filemode(file.stat().st_mode) == "-rw-rw----"
    installed.start()
    host = socket.gethostname()
    all_so_far = ["running", "home 700", "home 755", host, "down", "web1", host]
    assert described(sandbox, 7) == all_so_far

    # As a command that just missed the agent: it looks again while it runs.
    away = {"PAGERDUTY_AGENT_SOCKET": "/run/no-agent"}
    done = installed.run(*SEND, "missed", "-k", "@database", user=MEMBER, **away)
    assert done.returncode == 0
    assert described(sandbox, 8) == [*all_so_far, "missed"]
    installed.wait_for(lambda: not list(file.parent.iterdir()), "empty spool")


def test_a_user_outside_of_the_group_gets_one_line_that_names_it(
    installed: Host, sandbox: SandboxProcess
) -> None:
    for running in (True, False):
        if running:
            installed.start()
        else:
            installed.kill()
        for key in (KEY, "@database"):
            done = installed.run(*SEND, "x", "-k", key, user=STRANGER)
            assert done.returncode == 69
            assert JOIN in error(done)
            assert "changed" not in done.stderr
    assert list(installed.at("/var/spool/pagerduty-agent").iterdir()) == []
    assert sandbox.events() == []


def test_operators_calls_are_for_root_the_agents_user_and_who_has_the_secret(
    installed: Host,
) -> None:
    status = ("pagerduty-agent", "status")
    installed.start()
    for user in ("root", "pagerduty-agent"):
        by_the_kernels_word = installed.run(*status, user=user, PAGERDUTY_AGENT_SECRET="wrong")
        assert by_the_kernels_word.returncode == 0
    refused = error(installed.run(*status, user=MEMBER))
    assert "/etc/pagerduty-agent/secret: Permission denied" in refused
    assert installed.run("pagerduty-agent", "health", user=MEMBER).stdout == "OK\n"
    secret = installed.at("/etc/pagerduty-agent/secret").read_text().strip()
    with_it = installed.run(*status, user=MEMBER, PAGERDUTY_AGENT_SECRET=secret)
    assert with_it.returncode == 0
    wrong = installed.run(*status, user=MEMBER, PAGERDUTY_AGENT_SECRET="wrong")
    assert "does not accept the secret" in error(wrong)


def test_credentials_in_the_config_that_all_read_are_to_be_moved(installed: Host) -> None:
    path = installed.at("/etc/pagerduty-agent.yaml")
    before = path.read_text()
    for credential in (f"routing_keys:\n  web: {KEY}\n", f"notify:\n  routing_key: {KEY}\n"):
        path.write_text(before + credential)
        for user in ("root", STRANGER):
            warned = installed.run("pagerduty-agent", "health", user=user).stderr
            assert "every user can read it: move them into files that secret_file and" in warned
    path.write_text(f"{before}notify:\n  routing_key: '@database'\n")
    for user in ("root", STRANGER):  # who may not read what @database is, and need not
        assert "warning" not in installed.run("pagerduty-agent", "health", user=user).stderr


def test_every_hint_leads_to_the_service_and_none_to_a_second_agent(installed: Host) -> None:
    for user in ("root", MEMBER):
        assert START in error(installed.run("pagerduty-agent", "server", user=user))
    assert START in error(installed.run("pagerduty-agent", "status"))
    installed.start()
    for user in ("root", MEMBER):
        assert START in error(installed.run("pagerduty-agent", "server", user=user))
        own = installed.run("pagerduty-agent", "init", user=user, HOME="/run/elsewhere")
        assert "/etc/pagerduty-agent.yaml is the config of this host's agent" in error(own)
    second = installed.run("pagerduty-agent", "server", user="pagerduty-agent")
    assert "'systemctl stop pagerduty-agent' stops it" in error(second)
    verify = ("pagerduty-agent", "journal", "verify")
    assert "('systemctl stop pagerduty-agent')" in error(installed.run(*verify))
    assert "run this as root" in error(installed.run(*verify, user=MEMBER))
    stop = ("pagerduty-agent", "server", "stop")
    unable = error(installed.run(*stop, user=MEMBER))
    assert "as root, 'systemctl stop pagerduty-agent' stops the agent" in unable
    assert installed.run(*stop).stdout.startswith("Stopped the agent")
    assert not installed.at("/run/pagerduty-agent/agent.sock").exists()
    assert installed.run(*verify).returncode == 0


def test_what_root_makes_of_the_journal_belongs_to_the_agent(
    installed: Host, sandbox: SandboxProcess
) -> None:
    installed.start()
    assert installed.run(*SEND, "kept", "-k", KEY).returncode == 0
    described(sandbox, 1)
    installed.wait_until_delivered(1)
    installed.kill()
    state = "/var/lib/pagerduty-agent"
    compacting = installed.run("pagerduty-agent", "journal", "compact")
    assert compacting.returncode == 0, compacting.stderr
    installed.start()
    installed.kill()
    saving = installed.run("pagerduty-agent", "journal", "salvage", f"{state}/new")
    assert saving.returncode == 0, saving.stderr
    [moving] = re.findall(r"^ +(mv .*)$", saving.stdout, re.MULTILINE)
    assert installed.run("sh", "-c", moving).returncode == 0
    installed.start()
    assert "1 delivered" in installed.run("pagerduty-agent", "status").stdout


def test_a_user_whom_the_host_does_not_know_sends_by_his_group(
    installed: Host, sandbox: SandboxProcess
) -> None:
    installed.start()
    group = installed.run("id", "--group", "pagerduty-agent").stdout.strip()
    with pytest.raises(KeyError):
        pwd.getpwuid(61234)
    done = installed.run(*SEND, "nobody's", "-k", KEY, user=f"61234:61234:{group}")
    assert done.returncode == 0, done.stderr
    assert described(sandbox, 1) == ["nobody's"]
    done = installed.run(*SEND, "x", "-k", KEY, user="61234:61234:61234")
    assert "'usermod -aG pagerduty-agent 61234'" in error(done)
