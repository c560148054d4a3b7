"""Which queue `-k` means, with a real agent; a typo is never answered as if all were well."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pdagent.cli import main
from tests.agent_process import AgentProcess
from tests.pdagent.httpapi.sample_events import new_key, trigger
from tests.sandbox_process import SandboxProcess

KEY, UNUSED, OTHER = (letter + new_key()[1:] for letter in "abc")
COMMANDS = [
    ["list"],
    ["list", "--json"],
    ["list", "--state", "delivered"],
    ["status"],
    ["status", "--json"],
    ["tail"],
    ["retry"],
    ["discard", "--yes"],
    ["hold"],
    ["release"],
]


def masked(key: str) -> str:
    return f"{key[:4]}…{key[-4:]}"


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    directory = tmp_path_factory.mktemp("selection") / "agent"
    names = {"database": KEY, "unused": UNUSED}
    with (
        SandboxProcess() as sandbox,
        AgentProcess(directory, sandbox.url, routing_keys=names) as process,
    ):
        for key in (KEY, OTHER):
            process.send_v2(trigger(key)).raise_for_status()
        process.wait_until_drained()
        yield process


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_queue_that_is_not_there_is_an_error(
    agent: AgentProcess, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for given, told in (
        ("databse", "no queue is called 'databse': did you mean @database?"),
        ("Database", "did you mean @database?"),
        ("nosuch", "no queue is called 'nosuch': 'pagerduty-agent --config "),
        (f"{OTHER[:4]}...zzzz", "no queue is called"),
        ("d" * 32, "no event of the key dddd…dddd was ever accepted: 'pagerduty-agent --config "),
    ):
        code = main(["--config", str(agent.config), "queue", *command, "-k", given])
        done = capsys.readouterr()
        assert (code, done.out) == (1, ""), given
        [line] = done.err.splitlines()
        assert line.startswith("error: ")
        assert told in line


@pytest.mark.parametrize("given", ["", " "])
def test_an_empty_variable_does_not_mean_all_queues(agent: AgentProcess, given: str) -> None:
    done = agent.cli("queue", "list", "-k", given)
    assert done.returncode == 2
    assert "name one key" in done.stderr


@pytest.mark.parametrize("given", ["@database", "database", KEY, masked(KEY), "aMASK"])
def test_a_named_queue_goes_by_name_key_and_mask(agent: AgentProcess, given: str) -> None:
    given = given.replace("aMASK", f"{KEY[:4]}...{KEY[-4:]}")
    done = agent.cli("queue", "list", "--state", "delivered", "-k", given)
    assert done.returncode == 0
    assert [line.split()[2] for line in done.stdout.splitlines()] == ["QUEUE", "database"]
    held = agent.cli("queue", "hold", "-k", given)
    assert held.returncode == 0
    assert "queue release -k @database" in held.stdout
    assert agent.cli("queue", "release", "-k", given).returncode == 0


def test_a_queue_without_a_name_goes_by_its_mask_and_its_key_is_not_printed(
    agent: AgentProcess,
) -> None:
    held = agent.cli("queue", "hold", "-k", OTHER)
    assert f"queue release -k '{masked(OTHER)}'" in held.stdout
    done = agent.cli("queue", "release", "-k", masked(OTHER))
    assert done.stdout == f"Released {masked(OTHER)}. 0 events wait for delivery.\n"


def test_a_filter_that_nothing_matches_is_not_an_agent_without_events(agent: AgentProcess) -> None:
    done = agent.cli("status", "--filter", "nosuch")
    assert (done.returncode, done.stderr) == (0, "")
    assert "No events yet" not in done.stdout
    assert done.stdout.splitlines()[-1] == "No key matches the filter."


def test_a_release_of_what_is_not_held_says_so(agent: AgentProcess) -> None:
    done = agent.cli("queue", "release", "-k", "database")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "database was not held. 0 events wait for delivery.\n"


def test_a_name_of_the_config_is_known_before_its_first_event(
    agent: AgentProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["list"], ["status"], ["retry"], ["discard", "--yes"], ["hold"], ["release"]):
        for given in ("@unused", "unused"):
            code = main(["--config", str(agent.config), "queue", *command, "-k", given])
            assert (code, capsys.readouterr().err) == (0, ""), command


def test_several_keys_of_one_mask_are_told_apart_by_what_the_command_line_takes(
    agent: AgentProcess,
) -> None:
    for middle in "ef":
        agent.send_v2(trigger(f"same{middle * 24}mask")).raise_for_status()
    agent.wait_until_drained()
    for command in ("retry", "hold", "release"):
        done = agent.cli("queue", command, "-k", "same...mask")
        assert done.returncode == 1
        assert "several routing keys look like" in done.stderr
        assert "give the whole key with -k" in done.stderr
