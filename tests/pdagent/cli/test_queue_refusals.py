"""How the commands under `queue` end when the agent says no, and what they ask it for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pdagent.cli import main
from tests.pdagent.cli.agent_stand_in import SECRET, AgentStandIn, hang_up, speak_otherwise

KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"
LOOKING = ["list", "show 0198", "tail", "tail --json"]
CHANGING = [
    "retry 0198",
    "retry --all",
    "retry -k @database --force",
    "discard 0198 --yes",
    "discard -k @database --yes --state waiting",
    "hold -k @database",
    "release -k @database",
]
Ended = tuple[int, str, str]


@pytest.fixture
def queue(
    agent: AgentStandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], Ended]:
    """Runs a command under `queue` in this process: exit code, output, errors."""
    config = tmp_path / "config.yaml"
    config.write_text(
        f"address: {agent.address}\nsecret: {SECRET}\nrouting_keys:\n  database: {KEY}\n"
    )
    config.chmod(0o600)

    def run(words: str) -> Ended:
        code = main(["--config", str(config), "queue", *words.split()])
        return code, *capsys.readouterr()

    return run


@pytest.mark.parametrize("words", [*LOOKING, *CHANGING])
def test_every_refusal_is_one_line_and_the_exit_code_that_fits(
    agent: AgentStandIn, queue: Callable[[str], Ended], words: str
) -> None:
    done = "nothing was changed" if words in CHANGING else "there is nothing to show"
    for status, code, told in (
        (503, 75, f"the agent takes nothing for now: why; {done}, try again in 5 s"),
        (429, 75, f"the agent takes nothing for now: why; {done}, try again in 5 s"),
        (401, 1, "does not accept the secret from"),
        (400, 2, "the agent refused this: why"),
        (404, 1, "why"),
        (409, 1, "why"),
        (500, 1, "the agent refused this: why"),
    ):
        agent.refuse_next(status, "why", Retry_After="5")
        ended = queue(words)
        assert (ended[0], ended[1]) == (code, ""), status
        [line] = ended[2].splitlines()
        assert line.startswith("error: ")
        assert told in line
    agent.tricks.append(speak_otherwise)
    assert queue(words)[0] == 1
    agent.tricks += [hang_up] * 3
    code, _, err = queue(words)
    assert code == 1
    assert "gave no answer" in err
    agent.tricks.clear()


def test_answers_of_another_version_are_one_line_too(
    agent: AgentStandIn, queue: Callable[[str], Ended]
) -> None:
    for words, answer in (
        ("list", {"events": [1]}),
        ("show 0198", {"history": 1}),
        ("retry --all", {"count": "many"}),
        ("hold -k @database", []),
    ):
        agent.next_answers.append((200, {}, json.dumps(answer).encode()))
        code, out, err = queue(words)
        assert (code, out) == (1, "")
        assert err.startswith("error: ")
        assert err.count("\n") == 1


@pytest.mark.parametrize(("status", "code"), [(503, 75), (409, 1)])
def test_events_that_are_refused_have_a_line_each(
    agent: AgentStandIn, queue: Callable[[str], Ended], status: int, code: int
) -> None:
    refused = [{"id": name, "error": f"{name} can't", "status": status} for name in ("a", "b")]
    answer = {"message": "", "count": 1, "events": ["c"], "refused": refused}
    agent.next_answers.append((200, {}, json.dumps(answer).encode()))
    assert queue("retry a b c") == (
        code,
        "Retrying 1 event.\n",
        "error: a can't\nerror: b can't\n",
    )
    assert agent.received[-1].body == {"ids": ["a", "b", "c"], "force": False}


def test_dead_letters_that_a_retry_leaves_are_told_of(
    agent: AgentStandIn, queue: Callable[[str], Ended]
) -> None:
    answer = {"message": "", "count": 0, "events": [], "refused": [], "left": 2}
    agent.next_answers.append((200, {}, json.dumps(answer).encode()))
    code, out, err = queue("retry -k @database")
    assert (code, out) == (0, "Retrying 0 events.\n")
    assert "2 dead letters left" in err
    assert "queue list --state dead_lettered" in err
    assert agent.received[-1].query == {"rk": KEY}


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("retry", "Name events by id"),
        ("retry 0198 --all", "Name events by id"),
        ("retry -k @database --all", "Name events by id"),
        ("retry -k @databse", "did you mean @database?"),
        ("discard", "Name events by id"),
        ("discard 0198 -k @database", "Name events by id"),
        ("discard 0198 --state queued --yes", "--state goes with -k"),
        ("discard 0198", "add --yes"),
        ("discard -", "add --yes"),
        ("hold", "Missing option '-k'"),
        ("release", "Missing option '-k'"),
        ("list --limit 0", "--limit"),
        ("show", "Missing argument 'ID'"),
    ],
)
def test_wrong_usage_asks_nothing_of_the_agent(
    agent: AgentStandIn, queue: Callable[[str], Ended], words: str, problem: str
) -> None:
    code, out, err = queue(words)
    assert (code, out) == (2, "")
    assert problem in err
    assert agent.received == []
