"""`run`: the command notices nothing of it, and its end is reported."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.pdagent.cli.agent_stand_in import SECRET, AgentStandIn
from tests.pdagent.cli.command_line import TIME_LIMIT_SECONDS, CommandLine

KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"
RUN = ("run", "-k", KEY)
BYTES = bytes(range(256)) * 2_000
PYTHON = sys.executable
LATE = 100_000
"""Bytes: more than a pipe holds (65,536) and less than two, whatever is on its way between them."""

COPY = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"
BOTH = "import os; [os.write(n % 2 + 1, b'%d\\n' % n) for n in range(2000)]"


def run(user: CommandLine, *arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        user.command(*RUN, *arguments),
        env=user.environment(),
        cwd=user.home,
        timeout=TIME_LIMIT_SECONDS,
        check=False,
        **{"stdin": subprocess.DEVNULL, "capture_output": True, **options},
    )


def sh(script: str) -> tuple[str, ...]:
    return "--", "sh", "-c", script


def sent(agent: AgentStandIn) -> dict[str, Any]:
    """The only event that the agent got."""
    (received,) = agent.received
    event: dict[str, Any] = received.body
    return event


# What the command's caller sees


def test_binary_input_and_output_pass_through(user: CommandLine) -> None:
    done = run(user, "--", PYTHON, "-c", COPY, stdin=None, input=BYTES)
    assert (done.returncode, done.stdout, done.stderr) == (0, BYTES, b"")


def test_streams_stay_apart(user: CommandLine) -> None:
    done = run(user, *sh("echo out; echo err >&2; exit 3"))
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"err\n")


def test_streams_to_one_file_keep_their_order(user: CommandLine) -> None:
    done = run(user, "--", PYTHON, "-c", BOTH, stdout=-1, stderr=-2, capture_output=False)
    assert done.stdout == b"".join(b"%d\n" % n for n in range(2_000))


def test_output_passes_while_the_command_runs(user: CommandLine) -> None:
    with subprocess.Popen(
        user.command(*RUN, *sh("echo first; read line; echo got $line")),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=user.environment(),
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == b"first\n"
        process.stdin.write(b"it\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"got it\n"
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (sh("exit 0"), 0),
        (sh("exit 1"), 1),
        (sh("exit 255"), 255),
        (sh("kill -9 $$"), 128 + 9),
        (sh("kill -15 $$"), 128 + 15),
        (("--", "no-such-command"), 127),
        (("--", "/etc/passwd"), 126),
    ],
)
def test_the_exit_status_is_the_commands(
    user: CommandLine, agent: AgentStandIn, command: Sequence[str], code: int
) -> None:
    assert run(user, *command).returncode == code
    assert sent(agent)["event_action"] == ("trigger" if code else "resolve")


def test_the_environment_is_untouched(user: CommandLine) -> None:
    # In the C locale, Python sets LC_CTYPE.
    bare = {"PATH": os.environ["PATH"], "PYTHONPATH": user.environment()["PYTHONPATH"]}
    show = sh("env -u PWD -u _ -u SHLVL -u OLDPWD")
    expected = subprocess.run(show[1:], env=bare, capture_output=True, check=True)
    done = subprocess.run(
        user.command(*RUN, *show), env=bare, capture_output=True, cwd=user.home, check=False
    )
    assert sorted(done.stdout.splitlines()) == sorted(expected.stdout.splitlines())


def test_a_reader_that_leaves_ends_the_command(user: CommandLine, agent: AgentStandIn) -> None:
    subprocess.run(
        ["sh", "-c", '"$@" | head -n 1', "sh", *user.command(*RUN, "--", "yes")],
        env=user.environment(),
        stdout=subprocess.DEVNULL,
        timeout=TIME_LIMIT_SECONDS,
        check=True,
    )
    assert sent(agent)["payload"]["custom_details"]["signal"] == "SIGPIPE"


def test_closed_standard_streams_do_no_harm(user: CommandLine, agent: AgentStandIn) -> None:
    shell = '"$@" <&- >&- 2>&-'
    done = subprocess.run(
        ["sh", "-c", shell, "sh", *user.command(*RUN, *sh("echo lost; exit 4"))],
        env=user.environment(),
        timeout=TIME_LIMIT_SECONDS,
        check=False,
    )
    assert done.returncode == 4
    assert sent(agent)["event_action"] == "trigger"


def test_what_the_command_leaves_behind_does_not_keep_it(
    user: CommandLine, agent: AgentStandIn
) -> None:
    done = run(user, *sh(f"sleep {TIME_LIMIT_SECONDS * 2} & echo $!"))
    os.kill(int(done.stdout), signal.SIGKILL)
    assert sent(agent)["event_action"] == "resolve"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_the_command(
    user: CommandLine, agent: AgentStandIn, number: signal.Signals
) -> None:
    script = f"trap 'echo caught; exit 7' {number.name[3:]}; echo ready; sleep 60 & wait"
    with subprocess.Popen(
        user.command(*RUN, *sh(script)), stdout=subprocess.PIPE, env=user.environment()
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        assert process.stdout.read() == b"caught\n"
    assert process.returncode == 7
    assert sent(agent)["payload"]["custom_details"]["exit_status"] == 7


def test_on_a_terminal_the_command_can_read_it(user: CommandLine) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        user.command(*RUN, *sh("read line; echo got $line")),
        stdin=theirs,
        stdout=subprocess.PIPE,
        env=user.environment(),
        start_new_session=True,
        preexec_fn=lambda: os.close(os.open(os.ttyname(theirs), os.O_RDWR)),
    ) as process:
        os.write(ours, b"it\n")
        assert process.stdout is not None
        assert process.stdout.read() == b"got it\n"
    os.close(ours)
    os.close(theirs)


# The timeout


def test_a_command_that_takes_too_long_is_ended_with_its_children(
    user: CommandLine, agent: AgentStandIn
) -> None:
    done = run(user, "--timeout", "1", *sh("echo last words; sleep 600 & echo $!; wait"))
    assert done.returncode == 128 + signal.SIGTERM
    child = int(done.stdout.split()[-1])
    assert not Path(f"/proc/{child}/cmdline").exists() or not _runs(child)
    event = sent(agent)
    assert event["event_action"] == "trigger"
    assert re.search(r"was ended by its timeout after 1\.\d s", event["payload"]["summary"])
    assert event["payload"]["custom_details"]["timeout_seconds"] == 1


def test_a_reader_that_reads_nothing_does_not_keep_a_command_beyond_its_time(
    user: CommandLine, agent: AgentStandIn
) -> None:
    reading, writing = os.pipe()  # nobody reads
    try:
        done = run(user, "--timeout", "1", "--", "yes", stdout=writing, capture_output=False)
    finally:
        os.close(reading)
        os.close(writing)
    assert done.returncode == 128 + signal.SIGTERM
    assert "was ended by its timeout" in sent(agent)["payload"]["summary"]


def test_a_late_reader_gets_all_of_the_output(user: CommandLine) -> None:
    written = user.home / "written"
    script = f"head -c {LATE} /dev/zero; touch {written}"
    with subprocess.Popen(
        user.command(*RUN, "--timeout", "1h", *sh(script)),
        stdout=subprocess.PIPE,
        env=user.environment(),
    ) as process:
        assert process.stdout is not None
        while not written.exists():
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        assert len(process.stdout.read()) == LATE
    assert process.returncode == 0


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_command_that_takes_the_end_for_success_has_failed(
    user: CommandLine, agent: AgentStandIn
) -> None:
    done = run(user, "--timeout", "1", *sh("trap 'exit 0' TERM; sleep 60 & wait"))
    assert done.returncode == 124
    assert sent(agent)["event_action"] == "trigger"


# What the agent gets


def test_a_failure_triggers_with_the_last_lines(user: CommandLine, agent: AgentStandIn) -> None:
    run(user, "--name", "nightly", *sh("seq 1000; echo no space left >&2; exit 3"))
    (received,) = agent.received
    event, host = received.body, os.uname().nodename
    assert (event["event_action"], event["dedup_key"]) == ("trigger", f"run/{host}/nightly")
    payload = event["payload"]
    assert payload["summary"].startswith(f"nightly on {host} failed with exit status 3 after 0.")
    assert payload["summary"].endswith(": no space left")
    details = payload["custom_details"]
    assert details["output"].splitlines()[-2:] == ["1000", "no space left"]
    assert len(details["output"].splitlines()) == 20
    assert (details["exit_status"], details["job"]) == (3, "nightly")
    assert received.query == {"job": "nightly"}
    assert float(received.headers["pd-occurred-at"]) > 1e9


def test_options_reach_the_agent(user: CommandLine, agent: AgentStandIn) -> None:
    run(user, "--expect-every", "25h", "--always-resolve", "--", "true")
    (received,) = agent.received
    expected = {"job": "true", "expect_every": "90000.0", "always_resolve": "1"}
    assert received.query == expected


@pytest.mark.parametrize("name", ["", " ", " true "])
def test_a_job_has_a_name_in_any_case(user: CommandLine, agent: AgentStandIn, name: str) -> None:
    run(user, "--name", name, "--", "true")
    (received,) = agent.received
    assert received.query == {"job": "true"}
    assert received.body["dedup_key"].endswith("/true")


def test_options_behind_the_command_are_the_commands(user: CommandLine) -> None:
    assert run(user, "echo", "-k", "--name", "x").stdout == b"-k --name x\n"


@pytest.mark.parametrize("wrong", [("--timeout", "soon"), ("--expect-every", "-1"), ()])
def test_wrong_usage_runs_nothing(user: CommandLine, wrong: Sequence[str]) -> None:
    done = run(user, *wrong, *(("--", "touch", "ran") if wrong else ()))
    assert done.returncode == 2
    assert not (user.home / "ran").exists()


# The agent is no help


def _assert_the_command_ran(user: CommandLine, *arguments: str, says: str) -> None:
    done = run(user, *arguments, *sh("echo out; echo err >&2; exit 3"))
    assert (done.returncode, done.stdout) == (3, b"out\n")
    first, *more = done.stderr.decode().splitlines()
    assert first == "err"
    assert len(more) == 1 and says in more[0], more


def test_without_an_agent(user: CommandLine, agent: AgentStandIn) -> None:
    agent.stop_listening()
    _assert_the_command_ran(user, says="nothing was stored")


def test_without_an_agent_but_with_a_spool(user: CommandLine, agent: AgentStandIn) -> None:
    user.configure(address=agent.address, spool=str(user.home / "spool"))
    agent.stop_listening()
    _assert_the_command_ran(user, "--expect-every", "1h", says="waits in")
    (file,) = (user.home / "spool").iterdir()
    spooled = json.loads(file.read_bytes())
    assert spooled["job"] == {"job": "sh", "expect_every": "3600.0"}
    assert spooled["occurred"]


@pytest.mark.parametrize("status", [429, 503])
def test_refused_for_now_goes_to_the_spool(
    user: CommandLine, agent: AgentStandIn, status: int
) -> None:
    user.configure(address=agent.address, secret=SECRET, spool=str(user.home / "spool"))
    agent.refuse_next(status, "the queue is full; retry later")
    _assert_the_command_ran(user, says="takes nothing for now: the event waits in")


@pytest.mark.parametrize("status", [400, 401, 503])
def test_refused(user: CommandLine, agent: AgentStandIn, status: int) -> None:
    agent.refuse_next(status, "no")
    _assert_the_command_ran(user, says="error: ")


def test_with_a_config_that_cannot_be_used(user: CommandLine) -> None:
    user.configure("addres: 1\n")
    _assert_the_command_ran(user, says="addres")


def test_with_an_unknown_name_of_a_key(user: CommandLine) -> None:
    done = subprocess.run(
        user.command("run", "-k", "@gone", "--", "echo", "out"),
        env=user.environment(),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"out\n")
    assert b"@gone" in done.stderr or b"'gone'" in done.stderr
