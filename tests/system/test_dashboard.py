"""`status --watch` in a terminal of 80 columns and 24 lines, with a real agent and a real outage.

The screens of the outage are kept in `screens/`, with numbers and times replaced. After a change of
what is drawn, write them again and look at the difference:

    PDAGENT_NEW_SCREENS=1 .venv/bin/python -m pytest -q tests/system/test_dashboard.py
"""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent_process import REPOSITORY, AgentProcess
from tests.sandbox_process import SandboxProcess
from tests.system.numbered_events import key_number, trigger
from tests.terminal import Terminal, needs_tmux

SCREENS = Path(__file__).parent / "screens"
KEYS = {"database": key_number(1), "payments": key_number(2), "dns": key_number(3)}

_VARYING = (
    (r"\d\d:\d\d:\d\d", "<clock>"),
    (r"127\.0\.0\.1:\d+", "<address>"),
    (r"(waits for PagerDuty|active) +\d+\w* ago, .*", r"\1 <error>"),
    (r"(<address>): .*", r"\1: <error>"),
    (r"last error .*|no error so far", "<last error>"),
    (r"\b\d+[smh](\d\d[sm])?\b", "<age>"),
    (r"\d+(,\d+)*(\.\d+)?", "<n>"),
    # Charts begin 5 seconds after the agent, whenever that is.
    (r"(<n>|<n>/s|<age>) +[▁-█ ]*[▁-█]$", r"\1"),
    (r"^ +the last <age>$", ""),
    (r"  +", "  "),
)


def kept(name: str, terminal: Terminal, *texts: str) -> list[str]:
    """Wait for `texts` on a screen that is, but for what varies, the one in `screens/`; the screen.

    A screen arrives in pieces: one that shows the texts may still lack its last lines.
    """
    file = SCREENS / f"{name}.txt"
    if os.environ.get("PDAGENT_NEW_SCREENS"):
        terminal.wait_for(*texts)
        time.sleep(1)  # the rest of this screen; somebody looks at it afterwards
        file.write_text(without_what_varies(terminal.text()), encoding="utf-8")
    expected = file.read_text(encoding="utf-8")
    return terminal.wait_until(
        lambda shown: (
            all(text in shown for text in texts) and without_what_varies(shown) == expected
        ),
        f"{texts} and {file.name}:\n{expected}",
    )


def without_what_varies(shown: str) -> str:
    text = shown + "\n"
    for pattern, replacement in _VARYING:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    return text


@pytest.fixture
def agent(tmp_path: Path, sandbox: SandboxProcess) -> Iterator[AgentProcess]:
    with AgentProcess(tmp_path / "agent", sandbox.url, routing_keys=KEYS) as process:
        yield process


@pytest.fixture(scope="module")
def idle(
    tmp_path_factory: pytest.TempPathFactory, running_sandbox: SandboxProcess
) -> Iterator[AgentProcess]:
    """For tests that only look at it."""
    with AgentProcess(tmp_path_factory.mktemp("idle"), running_sandbox.url) as process:
        yield process


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    bare = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    environment = {**bare, "PYTHONPATH": str(REPOSITORY)}
    with Terminal(tmp_path, environment) as terminal:
        yield terminal


def watch(terminal: Terminal, agent: AgentProcess, *options: str) -> None:
    """Start the dashboard and wait until it has asked the agent."""
    terminal.run(agent.command("status", "--watch", "--interval", "0.2", *options))
    terminal.wait_for("accepted", "q quit")


def send(agent: AgentProcess, **counts: int) -> None:
    for name, count in counts.items():
        for number in range(count):
            agent.send_v2(trigger(KEYS[name], number)).raise_for_status()


@needs_tmux
def test_an_outage_is_seen_as_it_begins_lasts_and_ends(
    agent: AgentProcess, sandbox: SandboxProcess, terminal: Terminal
) -> None:
    send(agent, database=1, payments=1, dns=1)
    agent.wait_until_drained()
    watch(terminal, agent)
    kept("before", terminal, "PagerDuty reachable", "All is well", "1-3 of 3 keys")

    sandbox.behave(down=True)
    send(agent, database=3, payments=2, dns=1)
    terminal.wait_until(
        lambda shown: (
            "PagerDuty UNREACHABLE" in shown
            and "6 events are kept" in shown
            and "PagerDuty can't be reached" in shown
            and shown.count("waits for PagerDuty") >= 3
        ),
        "the outage as it begins",
    )
    terminal.wait_until(
        lambda shown: (
            shown.count(" ago, unreachable") == 3 and re.search(r"UNREACHABLE for \d+s", shown)
        ),
        "each key has met the outage",
    )
    kept("outage", terminal, "UNREACHABLE for")

    sandbox.behave(down=False)
    ended = kept("after", terminal, "all events of the outage are delivered", "All is well")
    assert re.search(r"PagerDuty reachable for \d+s, after an outage of \d+s", "\n".join(ended))


@needs_tmux
def test_the_dashboard_survives_a_restart_of_the_agent(
    agent: AgentProcess, terminal: Terminal
) -> None:
    send(agent, database=1)
    agent.wait_until_drained()
    watch(terminal, agent)
    agent.kill()
    kept("agent-gone", terminal, "AGENT UNREACHABLE since", "connection refused")
    agent.start()
    again = ("the agent was started again", f"pid {agent.pid}", "1-1 of 1 key")
    terminal.wait_until(
        lambda shown: all(text in shown for text in again) and "AGENT UNREACHABLE" not in shown,
        str(again),
    )


@needs_tmux
def test_keys_sort_filter_select_and_quit(
    agent: AgentProcess, sandbox: SandboxProcess, terminal: Terminal
) -> None:
    sandbox.behave(down=True)
    send(agent, database=1, payments=2, dns=3)
    watch(terminal, agent)

    def rows() -> list[str]:
        lines = [line.split()[0] for line in terminal.screen() if "waits for PagerDuty" in line]
        return lines[:-1]  # the last one is about the selected key

    def wait_for_rows(*names: str) -> None:
        terminal.wait_until(lambda _: rows() == list(names), str(names))

    wait_for_rows("dns", "payments", "database")
    terminal.press("j")
    terminal.wait_for("\n payments  waits for PagerDuty, 2 waiting")
    terminal.press("Down", "k", "Up")
    terminal.wait_for("\n dns  waits for PagerDuty, 3 waiting")
    terminal.press("S")
    terminal.wait_for("sort: name")
    wait_for_rows("database", "dns", "payments")
    terminal.press("/")
    terminal.type("da")
    terminal.wait_for("filter: da_")
    wait_for_rows("database")
    terminal.press("Enter")
    terminal.wait_for("filter 'da': 1-1 of 1 key")
    terminal.press("Escape")
    wait_for_rows("database", "dns", "payments")
    terminal.press("?")
    terminal.wait_for("select a key", "any key goes back")
    terminal.press("x")
    wait_for_rows("database", "dns", "payments")
    terminal.resize(120, 40)
    terminal.wait_for("DELIVERED", "LAST ERROR")
    terminal.wait_until(lambda _: terminal.screen()[39].startswith(" q quit"), "all 40 lines")
    terminal.resize(50, 12)
    # The terminal itself cuts and moves the old screen first.
    terminal.wait_until(lambda _: terminal.screen()[11].startswith(" q quit"), "all 12 lines")
    terminal.wait_until(lambda shown: "LAST ERROR" not in shown, "a narrow table")
    terminal.press("q")
    terminal.wait_for_shell()


@needs_tmux
@pytest.mark.parametrize("end", ["q", "C-c", "SIGTERM", "mistake"])
def test_the_terminal_is_given_back_as_it_was(
    idle: AgentProcess, terminal: Terminal, end: str
) -> None:
    terminal.type("stty -a; echo that was 'all'")
    terminal.press("Enter")
    shown_before = terminal.wait_for("\nthat was all\nready$")
    before = shown_before[: shown_before.index("that was all")][-4:]
    assert "-echo" not in " ".join(before).split(), "keys are echoed"
    terminal.type("clear; echo 'cleared' now")
    terminal.press("Enter")
    terminal.wait_until(lambda text: text.startswith("cleared now\nready$"), "a clear screen")
    command = idle.command("status", "--watch")
    if end == "mistake":
        mistake = (
            "import sys, pdagent.dashboard.live.screen as screen; from pdagent.cli import main; "
            "real = screen.page_of; calls = []\n"
            "def page_of(size):\n"
            "    calls.append(size)\n"
            "    return real(size) if len(calls) < 9 else 1 // 0\n"
            "screen.page_of = page_of; sys.exit(main(sys.argv[1:]))"
        )
        script = idle.directory / "mistake.py"
        script.write_text(mistake)
        command = [command[0], str(script), *command[3:]]
    terminal.run(command)
    terminal.wait_for("ZeroDivisionError" if end == "mistake" else "q quit")
    if end == "SIGTERM":
        (child,) = children_of_the_shell(terminal)
        os.kill(child, signal.SIGTERM)
    elif end != "mistake":
        terminal.press(end)
    shown = "\n".join(terminal.wait_for_shell())
    assert "ready$ /" in shown and "--config" in shown, "the shell's own screen is back"
    assert "q quit" not in shown
    if end == "mistake":
        assert "error: unexpected ZeroDivisionError at mistake.py" in shown
    terminal.type("echo status $?; stty -a")
    terminal.wait_for("echo status $?; stty -a")  # what is typed is echoed again
    terminal.press("Enter")
    after = terminal.wait_for_shell()
    status = {"q": 0, "C-c": 0, "SIGTERM": 128 + signal.SIGTERM, "mistake": 1}[end]
    assert f"status {status}" in after
    assert "\n".join(before) in "\n".join(after)


def children_of_the_shell(terminal: Terminal) -> list[int]:
    """Process ids of what the terminal's shell runs."""
    shell = terminal._tmux("display-message", "-p", "#{pane_pid}").strip()
    children = Path(f"/proc/{shell}/task/{shell}/children").read_text()
    return [int(pid) for pid in children.split()]


@needs_tmux
def test_it_can_be_suspended_and_continued(idle: AgentProcess, terminal: Terminal) -> None:
    watch(terminal, idle)
    terminal.press("C-z")
    terminal.wait_for("Stopped")
    terminal.run(["fg"])
    terminal.wait_for("accepted", "q quit")
    terminal.press("?")
    terminal.wait_for("any key goes back")
    terminal.press("x", "q")
    terminal.wait_for_shell()


def test_it_redraws_without_clearing_the_screen(idle: AgentProcess) -> None:
    """Clearing is what flickers: each line is written over the one before."""
    leader, follower = pty.openpty()
    command = idle.command("status", "--watch", "--interval", "0.1")
    environment = {**idle.environment(), "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    process = subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, env=environment, cwd=REPOSITORY
    )
    os.close(follower)
    shown, deadline = b"", time.monotonic() + 30
    while shown.count(b"q quit") < 5 and time.monotonic() < deadline:
        shown += os.read(leader, 65536)
    os.write(leader, b"q")
    try:
        while chunk := os.read(leader, 65536):
            shown += chunk
    except OSError:
        pass  # how Linux reports that the last writer has closed the terminal
    os.close(leader)
    assert process.wait(10) == 0
    assert shown.count(b"q quit") >= 5
    drawn = shown[shown.index(b"q quit") :]
    assert re.search(rb"\x1b\[[0-3]?J", drawn) is None, "nothing is cleared between two screens"
    assert shown.count(b"\x1b[?1049h") == shown.count(b"\x1b[?1049l") == 1
    assert shown.count(b"\x1b[?25h") >= 1, "the cursor is shown again"


def test_without_a_terminal_it_says_what_to_use_instead(idle: AgentProcess) -> None:
    done = idle.cli("status", "--watch", stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert "needs a terminal" in done.stderr
    assert "status --json" in done.stderr
    done = idle.cli("status", "--watch", "--json")
    assert done.returncode == 2
    assert "neither --json" in done.stderr
