"""`init --from`: the settings of PagerDuty's older agents in a config of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdagent.config.loading import load
from pdagent.migration import OUTQUEUE
from pdagent.migration.old_configs import convert
from tests.pdagent.cli.command_line import CommandLine

PYTHON = """\
#
# PagerDuty Agent Config
#

[Main]

# How often the send queue is checked and events sent to PagerDuty
send_interval_secs = 10

cleanup_interval_secs = 10800
cleanup_threshold_secs = 259200
backoff_interval_secs = 60
retry_limit_for_possible_errors = 20
source_address = 0.0.0.0
"""
GO = """\
address: 127.0.0.1:49555
database: /var/db/pdagent/pdagent.db
pidfile: /var/run/pdagent/pidfile
region: eu
secret: v2kq8x0b1m4r7t9w3y5z6a1c2e4g8j0n
"""


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_python_agents_settings_are_taken_over(cli: CommandLine) -> None:
    old = written(cli.home / "pdagent.conf", PYTHON)
    done = cli("init", "--from", str(old))
    assert (done.code, done.err) == (0, "")
    loaded = load({}, {}, config_file=str(cli.config))
    assert (loaded.config.retention, loaded.config.max_attempts) == (259200.0, 20)
    assert loaded.origins.keys() == {"retention", "max_attempts", "secret"}
    assert cli.config.stat().st_mode & 0o777 == 0o600
    head = cli.config.read_text().partition("\n\n")[0]
    for name in ("send_interval_secs", "cleanup_interval_secs", "backoff_interval_secs"):
        assert f"#   {name}: " in head
        assert name in done.out
    assert f"pagerduty-agent import {OUTQUEUE}" in done.out


def test_go_pdagents_settings_are_taken_over_so_that_its_clients_go_on(cli: CommandLine) -> None:
    old = written(cli.home / "config.yaml", GO)
    cli.credentials.note("v2kq8x0b1m4r7t9w3y5z6a1c2e4g8j0n")
    done = cli("init", "--from", str(old))
    assert (done.code, done.err) == (0, "")
    loaded = load({}, {}, config_file=str(cli.config))
    config = loaded.config
    assert config.address == "127.0.0.1:49555"
    assert config.secret == "v2kq8x0b1m4r7t9w3y5z6a1c2e4g8j0n"
    assert (config.region, config.pidfile) == ("eu", Path("/var/run/pdagent/pidfile"))
    assert loaded.origins.keys() == {"address", "secret", "region", "pidfile"}
    assert not loaded.warnings
    assert "#   database: " in cli.config.read_text(), "its file is no directory of ours"
    assert "database" in done.out and "pagerduty-agent help moving" in done.out
    assert old.read_text() == GO


@pytest.mark.parametrize(
    ("in_yaml", "secret"),
    [("0123", "0123"), ("'null'", "null"), ("'it''s#mine'", "it's#mine"), ('"a:b"', "a:b")],
)
def test_a_secret_is_read_from_the_new_file_as_from_the_old(
    cli: CommandLine, in_yaml: str, secret: str
) -> None:
    old = written(cli.home / "config.yaml", f"secret: {in_yaml}\n")
    assert cli("init", "--from", str(old)).code == 0
    assert load({}, {}, config_file=str(cli.config)).config.secret == secret


def test_what_can_not_be_used_is_left_out_with_the_reason(tmp_path: Path) -> None:
    taken = convert(
        written(tmp_path / "config.yaml", "address: ':49463'\nsecret: ''\nregion: EU\n")
    )
    assert taken.settings == {}
    assert taken.left["address"].startswith("address must be HOST:PORT")
    assert taken.left["region"] == "region must be us or eu"
    assert taken.left["secret"] == "it is empty"
    taken = convert(
        written(tmp_path / "pdagent.conf", "[Main]\ncleanup_threshold_secs = 1 week\nx=1")
    )
    assert taken.left["cleanup_threshold_secs"].startswith("retention must be a time")
    assert taken.left["x"] == "the Python agent has no such setting"


@pytest.mark.parametrize(
    ("old", "new"),
    [("INFO", "info"), ("WARN", "warning"), ("critical", "error"), ("debug", "debug")],
)
def test_log_levels_are_those_of_the_python_agent(tmp_path: Path, old: str, new: str) -> None:
    taken = convert(written(tmp_path / "pdagent.conf", f"{PYTHON}log_level = {old}\n"))
    assert taken.settings["log_level"] == new


def test_nothing_that_is_there_is_changed(cli: CommandLine) -> None:
    cli.config.write_text("mine")
    old = written(cli.home / "config.yaml", GO)
    assert "exists already and was left as it is" in cli("init", "--from", str(old)).error
    assert cli.config.read_text() == "mine"


def test_an_old_config_in_the_new_ones_place_is_to_be_moved_away_first(cli: CommandLine) -> None:
    cli.config.write_text(GO)
    done = cli("init", "--from", str(cli.config))
    assert done.code == 1
    assert f"mv {cli.config} {cli.config}.old" in done.error
    assert cli.config.read_text() == GO
    cli.config.rename(f"{cli.config}.old")
    assert cli("init", "--from", f"{cli.config}.old").code == 0
    assert load({}, {}, config_file=str(cli.config)).config.region == "eu"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("color: red\n", "neither the Python agent's config nor go-pdagent's"),
        ("[Other]\na = b\n", "below [Main]"),
        ("[Main]\nverysecretverysecretverysecretvery\n", "below [Main]"),
        ("just words\n", "must be lines of the form 'key: value'"),
        ("", "is empty"),
    ],
)
def test_other_files_are_refused_in_one_line(cli: CommandLine, text: str, problem: str) -> None:
    old = written(cli.home / "old", text)
    done = cli("init", "--from", str(old))
    assert done.code == 1
    assert problem in done.error
    assert "verysecret" not in done.error
    assert not cli.config.exists()


def test_a_file_that_is_not_there_is_named(cli: CommandLine) -> None:
    done = cli("init", "--from", "none")
    assert done.code == 2
    assert f"there is no file {cli.home / 'none'}" in done.error
