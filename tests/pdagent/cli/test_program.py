"""The program as a whole: help, global options, and what becomes of errors."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from pdagent import __version__
from pdagent.cli import main
from tests.pdagent.cli.agent_stand_in import SECRET, AgentStandIn
from tests.pdagent.cli.command_line import REPOSITORY, CommandLine

KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"
TOOLS = ["nagios", "zabbix", "sensu", "checkmk"]
COMMANDS = ["init", "server", "send", "enqueue", "change", "queue", "journal", "status", "health"]
COMMANDS += ["import", "version"]
COMMANDS += TOOLS
IN_GROUPS = [
    "server stop",
    *(f"queue {name}" for name in ("status", "list", "show", "retry", "discard")),
    *(f"queue {name}" for name in ("hold", "release", "tail")),
    *(f"{tool} enqueue" for tool in TOOLS),
    *(f"journal {name}" for name in ("verify", "dump", "compact", "salvage")),
]


def test_alone_it_prints_its_help(cli: CommandLine) -> None:
    done = cli()
    assert done.code == 0
    assert done.out == cli("--help").out == cli("help").out
    for name in COMMANDS:
        assert f"\n  {name} " in done.out


@pytest.mark.parametrize("words", [*COMMANDS, "help", *IN_GROUPS])
def test_every_command_has_help_with_an_example_that_can_be_copied(
    capsys: pytest.CaptureFixture[str], words: str
) -> None:
    assert main([*words.split(), "--help"]) == 0
    out = capsys.readouterr().out
    assert f"Usage: pagerduty-agent {words} " in out
    assert re.search(r"\n  Examples?:\n    pagerduty-agent ", out)
    assert main(["help", *words.split()]) == 0
    assert capsys.readouterr().out.startswith(out)


@pytest.mark.parametrize(
    ("words", "begins"),
    [
        ("dead-letters", "## Dead letters\n"),
        ("outage", "## An outage of PagerDuty\n"),
        ("docs/recovery.md#a-full-disk", "## A full disk\n"),
        ("guarantees", "# Guarantees and their limits\n"),
    ],
)
def test_a_topic_is_shown_to_the_end_of_its_section(
    cli: CommandLine, words: str, begins: str
) -> None:
    out = cli("help", words).out
    assert out.startswith(begins)
    assert ("\n## " in out) == (words == "guarantees")


def test_help_lists_all_topics(cli: CommandLine) -> None:
    listed = cli("help", "topics").out
    assert "\nrecovery: When something is wrong with the journal\n  damaged-journal: " in listed


def test_the_help_of_a_command_names_the_page_of_the_same_name(cli: CommandLine) -> None:
    assert "'pagerduty-agent help docs/systemd.md' shows: " in cli("help", "systemd").out
    assert cli("help", "docs/systemd.md").out.startswith("# Running under systemd\n")


def test_a_name_of_several_topics_lists_them(cli: CommandLine) -> None:
    error = cli("help", "why-the-snippet-is-as-it-is").error
    assert "docs/integrations/nagios.md#why-the-snippet-is-as-it-is" in error
    assert "docs/integrations/icinga2.md#why-the-snippet-is-as-it-is" in error


def test_the_page_about_commands_has_them_all(cli: CommandLine) -> None:
    page = (REPOSITORY / "docs" / "commands.md").read_text("utf-8")
    listed = cli("--help").out.partition("\nCommands:\n")[2].partition("\n\n")[0]
    for line in listed.splitlines():
        assert f"`{line.split()[0]}`" in page


def test_version_prints_the_version(cli: CommandLine) -> None:
    assert cli("version").out == cli("--version").out == f"pagerduty-agent {__version__}\n"
    assert json.loads(cli("version", "--json").out) == {"version": __version__}


@pytest.mark.parametrize("words", ["", "queue", "journal", "server"])
def test_no_summary_in_a_list_of_commands_is_cut_short(
    capsys: pytest.CaptureFixture[str], words: str
) -> None:
    assert main([*words.split(), "-h"]) == 0
    listed = capsys.readouterr().out.partition("\nCommands:\n")[2].partition("\n\n")[0]
    for line in listed.splitlines():
        assert len(line) <= 80
        assert line.endswith(".")
        assert not line.endswith("...")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["sned"], "No such command 'sned'. Did you mean 'send'?"),
        (["queue", "stats"], "No such command 'stats'."),
        (["queue"], "Missing command."),
        (["journal"], "Missing command."),
        (["help", "sned"], "No such command or topic: 'sned'. "),
        (["help", "send", "status"], "No such command or topic: 'send status'. "),
        (["send", "-k", KEY], "Missing option '-t' / '--event-type'."),
        (["send", "--keys", KEY], "No such option"),
        (["status", "now"], "unexpected extra argument (now)"),
        (["-a", "nowhere", "status"], "--address: address must be HOST:PORT"),
        (["-a"], "Option '-a' requires an argument."),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    cli: CommandLine, arguments: list[str], problem: str
) -> None:
    done = cli(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert problem in done.error


def test_flags_beat_the_environment_and_that_beats_the_file(
    cli: CommandLine, agent: AgentStandIn
) -> None:
    cli.configure(address="127.0.0.1:1", secret="from-the-file")
    assert cli("status").code == 69
    cli.env = {"PAGERDUTY_AGENT_ADDRESS": agent.address, "PAGERDUTY_AGENT_SECRET": "from-env"}
    assert cli("status").code == 1
    assert cli("-s", SECRET, "status").code == 0
    assert cli("-a", "127.0.0.1:1", "-s", SECRET, "status").code == 69


def test_the_config_file_can_be_named_by_option_and_by_environment(
    cli: CommandLine, agent: AgentStandIn, tmp_path: Path
) -> None:
    file = tmp_path / "elsewhere.yaml"
    file.write_text(f"address: {agent.address}\nsecret: {SECRET}\n")
    file.chmod(0o600)
    assert cli("--config", str(file), "status").code == 0
    assert cli("--config", "elsewhere.yaml", "status").code == 0
    cli.env["PAGERDUTY_AGENT_CONFIG"] = str(file)
    assert cli("status").code == 0


def test_a_config_that_is_missing_or_wrong_is_one_error_line(cli: CommandLine) -> None:
    done = cli("--config", "/no/such.yaml", "status")
    assert done.code == 1
    assert "there is no config file /no/such.yaml" in done.error
    cli.configure(adress="127.0.0.1:1")
    done = cli("status")
    assert done.code == 1
    assert f"{cli.config}, line 1: unknown key 'adress': did you mean 'address'?" in done.error


def test_help_and_version_work_with_a_broken_config(cli: CommandLine) -> None:
    cli.configure("]")
    assert cli("version").code == cli("send", "--help").code == 0


def test_a_config_that_everybody_can_read_is_warned_about(
    cli: CommandLine, agent: AgentStandIn
) -> None:
    cli.configure(address=agent.address, secret=SECRET)
    cli.config.chmod(0o644)
    done = cli("health")
    assert (done.code, done.out) == (0, "OK\n")
    assert done.err.startswith(f"warning: {cli.config} holds credentials")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("words", ["help", "--help", "queue -h", "--version"])
def test_a_reader_that_goes_away_ends_the_command_quietly(cli: CommandLine, words: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        cli.command(*words.split()),
        stdout=writing,
        stderr=subprocess.PIPE,
        env=cli.environment(),
        check=False,
    )
    os.close(writing)
    # With 'set -o pipefail', 'queue list | head' must not look like a failure.
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_full_disk_under_the_output_is_one_error_line(cli: CommandLine) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            cli.command("help"),
            stdout=full,
            stderr=subprocess.PIPE,
            env=cli.environment(),
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        1,
        b"error: can't write to standard output: No space left on device\n",
    )


def test_closed_standard_streams_do_not_change_the_exit_code(cli: CommandLine) -> None:
    for command, code in (("version", 0), ("sned", 2)):
        shell = f'exec "$@" {command} >&- 2>&-'
        arguments = ["sh", "-c", shell, "sh", *cli.command()]
        assert subprocess.run(arguments, env=cli.environment(), check=False).returncode == code


def test_an_unexpected_exception_becomes_one_line_without_its_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError(f"while sending {KEY}")

    monkeypatch.setattr("pdagent.cli.session.load", broken)
    assert main(["status"]) == 1
    assert capsys.readouterr().err == (
        f"error: unexpected ZeroDivisionError at {Path(__file__).name}:"
        f"{broken.__code__.co_firstlineno + 1}: this is a bug, please report this line\n"
    )
