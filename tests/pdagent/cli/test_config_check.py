"""`config check`: each setting, where it was set, and all that is wrong."""

from __future__ import annotations

import json

from pdagent.config.options import OPTIONS
from tests.pdagent.cli.command_line import CommandLine

KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"


def test_each_setting_is_there_with_its_source_and_without_credentials(cli: CommandLine) -> None:
    cli.configure(
        f"routing_keys:\n  database: {KEY}\nnotify:\n  routing_key: '@database'\n",
        secret="correct-horse-battery",
        retention="36h",
    )
    cli.env = {"PAGERDUTY_AGENT_REGION": "eu"}
    done = cli("--address", "127.0.0.1:4711", "config", "check", "--json")
    assert (done.code, done.err) == (0, "")
    told = json.loads(done.out)
    assert told["file"] == str(cli.config)
    rows = {row["name"]: (row["value"], row["source"]) for row in told["settings"]}
    assert list(rows) == list(OPTIONS)
    assert rows["address"] == ("127.0.0.1:4711", "--address")
    assert rows["region"] == ("eu", "environment PAGERDUTY_AGENT_REGION")
    assert rows["events_url"] == ("https://events.eu.pagerduty.com", "default")
    assert rows["retention"] == ("36h", f"{cli.config}, line 2")
    assert rows["secret"] == ("(set)", f"{cli.config}, line 1")
    assert rows["routing_keys"][0] == "database: v4g5…nvj9"
    assert rows["notify_routing_key"][0] == "v4g5…nvj9"
    assert rows["give_up_after"] == ("24h", "default")
    plain = cli("config", "check")
    assert plain.code == 0
    assert [line.split()[0] for line in plain.out.splitlines()] == list(OPTIONS)


def test_all_that_is_wrong_is_told_at_once(cli: CommandLine) -> None:
    cli.configure("retentoin: 7d\nmax_in_flight: many\nlog_level: info\n")
    cli.env = {"PAGERDUTY_AGENT_REGION": "mars"}
    done = cli("config", "check")
    assert done.code == 1
    unknown, number, region = done.err.splitlines()
    assert unknown.startswith(f"error: {cli.config}, line 1: unknown key 'retentoin': did you mean")
    assert number.startswith(f"error: {cli.config}, line 2: max_in_flight must be a whole number")
    assert region.startswith("error: environment PAGERDUTY_AGENT_REGION: region must be us or eu")
    assert "log_level" in done.out
    told = json.loads(cli("config", "check", "--json").out)
    assert [f"error: {problem}" for problem in told["problems"]] == done.err.splitlines()


def test_settings_with_which_no_agent_starts_are_an_error(cli: CommandLine) -> None:
    cli.configure(address="0.0.0.0:4711")
    done = cli("config", "check")
    assert done.code == 1
    assert "no secret is set" in done.err.splitlines()[-1]
    cli.config.write_text("- a list\n")
    done = cli("config", "check")
    assert (done.code, done.out) == (1, "")
    assert str(cli.config) in done.error
