"""The agent with a fault in it, for tests of what it says: `faulty_agent.py FAULT ARGUMENTS...`.

Each fault raises a few times, with a routing key and more in the error's text, as a library might:
`deliver` in a Sender, `decide` in a Sequencer, `accept` in the HTTP API's event loop, `spooled`
where that takes in what was spooled. `clock` raises nothing: it is a day ahead for as long as HOME
has a file `clock_ahead`. Nor does `hang`: commits wait while HOME has a file `hang`, and half a
second is too long for one. `commit` fails although its events are on disk, `slow commit` takes
longer than the agent waits for it, `endless commit` does not end.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.agent_process import AgentProcess

TIMES = int(os.environ.get("PDAGENT_FAULT_TIMES", "2"))


def failing(real: Callable[..., Any], tell: Callable[..., object]) -> Callable[..., Any]:
    """`real`, which fails the first times with what `tell` makes of its arguments."""
    left = [TIMES]

    def fail_or_do(*arguments: Any, **named: Any) -> Any:
        if left[0] > 0:
            left[0] -= 1
            raise RuntimeError(f"can't work on {tell(*arguments, **named)}")
        return real(*arguments, **named)

    return fail_or_do


def hanging(real: Callable[..., Any]) -> Callable[..., Any]:
    """`real`, which does not begin while the file is there."""

    def wait_and_do(*arguments: Any) -> Any:
        while (Path.home() / "hang").exists():
            time.sleep(0.02)
        return real(*arguments)

    return wait_and_do


def install(fault: str) -> None:
    """Put the fault into place."""
    match fault:
        case "deliver":
            from pdagent.eventsapi.client import EventsApi

            EventsApi.deliver = failing(  # type: ignore[method-assign]
                EventsApi.deliver, lambda api, event: (event.routing_key, event.body)
            )
        case "decide":
            from actors import sequencer

            sequencer.decide = failing(  # type: ignore[attr-defined]
                sequencer.decide, lambda state, command, *_: (key_of_the_test(), command)
            )
        case "accept":
            from pdagent.httpapi.intake import single as intake

            intake.completed = failing(  # type: ignore[attr-defined]
                intake.completed, lambda agent, event, **_: (event.routing_key, agent.config.secret)
            )
        case "spooled":
            from pdagent.httpapi.intake import spooled

            spooled.accept = failing(  # type: ignore[attr-defined]
                spooled.accept, lambda agent, event, **_: (event.routing_key, agent.config.secret)
            )
        case "clock":
            real, mark = time.time, Path(os.environ["HOME"], "clock_ahead")
            time.time = lambda: real() + 86_400 * mark.exists()
        case "hang":
            from actors import system
            from store.lmdb_journal import LmdbJournal

            system.COMMIT_WITHIN = 0.5
            LmdbJournal.commit = hanging(LmdbJournal.commit)  # type: ignore[method-assign]
        case "commit" | "slow commit" | "endless commit":
            from pdagent.httpapi import replies
            from pdagent.httpapi.intake import spooled
            from store.errors import CommitFailedError

            def trouble() -> None:
                if fault == "commit":
                    raise CommitFailedError("a commit to the journal failed: Input/output error")
                time.sleep(0.6 if fault == "slow commit" else 60)

            after_commits_with_events(trouble)
            spooled._LOOK_EVERY = 0.2
            if fault != "endless commit":
                replies.ANSWER_WITHIN = 0.3
        case _:
            raise SystemExit(f"no such fault: {fault}")


def after_commits_with_events(trouble: Callable[[], None]) -> None:
    """What follows upon the first `TIMES` commits in which events are accepted."""
    from store.lmdb_journal import LmdbJournal
    from store.records import EventAccepted

    commit, left = LmdbJournal.commit, [TIMES]

    def commit_with_trouble(journal: LmdbJournal, batch: Any) -> int:
        seq = commit(journal, batch)
        records = [record for append in batch for record in append.records]
        if left[0] > 0 and any(isinstance(record, EventAccepted) for record in records):
            left[0] -= 1
            trouble()
        return seq

    LmdbJournal.commit = commit_with_trouble  # type: ignore[method-assign]


def key_of_the_test() -> str:
    """A Sequencer doesn't know its key, so the error gets another one to tell."""
    return "s3quenc3r" * 3 + "k3y0z"


class FaultyAgent(AgentProcess):
    """An agent with one of the faults of `faulty_agent.py`."""

    fault = ""

    def command(self, *arguments: str) -> list[str]:
        """The command line."""
        config = ["--config", str(self.config)]
        if arguments == ("server",) and self.fault:
            return [
                sys.executable,
                "-m",
                "tests.system.faulty_agent",
                self.fault,
                *config,
                "server",
            ]
        return super().command(*arguments)


if __name__ == "__main__":
    from pdagent.cli import main

    install(sys.argv[1])
    sys.exit(main(sys.argv[2:]))
