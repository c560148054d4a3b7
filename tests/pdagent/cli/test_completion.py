"""What a shell completes: with a real bash, and as each shell asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pdagent.cli.command_line import CommandLine
from tests.terminal import Terminal, needs_tmux

KEYS = """\
routing_keys:
  database: v4g5q7yie1qee1yio2uimz8yfbjenvj9
  backup: v4g5q7yie1qee1yio2uimz8yfbjenvj8
"""


def completed(cli: CommandLine, line: str) -> list[str]:
    """What bash would offer at the end of `line`."""
    cli.env |= {
        "COMP_WORDS": f"pagerduty-agent {line}",
        "_PAGERDUTY_AGENT_COMPLETE": "bash_complete",
    }
    done = cli()
    assert (done.code, done.err) == (0, "")
    return [item.removeprefix("plain,") for item in done.out.split()]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("sen", ["send", "sensu"]),
        ("send -k @", ["@database", "@backup"]),
        ("enqueue --routing-key @d", ["@database"]),
        ("nagios -k @b", ["@backup"]),
        ("queue hold -k @b", ["@backup"]),
        ("queue list --state dead_lettered,q", ["dead_lettered,queued"]),
        ("help dead-l", ["dead-letters"]),
        ("help queu", ["queue", "queues", "queues-and-journal-have-limits"]),
    ],
)
def test_words_complete(cli: CommandLine, line: str, offered: list[str]) -> None:
    cli.configure(KEYS)
    assert set(completed(cli, line)) == set(offered)


@pytest.mark.parametrize("line", ["queue show ", "send -k @"])
def test_what_can_not_be_found_out_costs_no_message(cli: CommandLine, line: str) -> None:
    cli.configure("nonsense: [", address="127.0.0.1:1")
    assert completed(cli, line) == []


def completion_script(cli: CommandLine, shell: str) -> str:
    """What the shell reads to know the program."""
    cli.env["_PAGERDUTY_AGENT_COMPLETE"] = f"{shell}_source"
    done = cli()
    del cli.env["_PAGERDUTY_AGENT_COMPLETE"]
    assert (done.code, done.err) == (0, "")
    return done.out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_program_has_a_script_for_each_shell(cli: CommandLine, shell: str) -> None:
    assert f"{shell}_complete" in completion_script(cli, shell)


@needs_tmux
def test_bash_completes_a_key_by_its_name(cli: CommandLine, tmp_path: Path) -> None:
    cli.configure(KEYS)
    script = tmp_path / "pagerduty-agent"
    script.write_text(f'#!/bin/sh\nexec {" ".join(cli.command())} "$@"\n')
    script.chmod(0o755)
    environment = cli.environment()
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    with Terminal(tmp_path, environment) as terminal:
        script.with_name("complete").write_text(completion_script(cli, "bash"))
        terminal.run(["source", "complete"])
        terminal.press("pagerduty-agent send -k @da", "Tab")
        terminal.wait_for("send -k @database")
