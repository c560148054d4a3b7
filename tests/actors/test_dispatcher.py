"""Whose thread does the work: a delivery that follows another wakes no other thread."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from actors import journal_writer
from store.port import Append
from tests.actors.running_actors import RunningActors
from tests.actors.scripted_pagerduty import Hold, ScriptedPagerDuty

EVENTS = 50


def test_a_sender_commits_what_its_verdicts_lead_to_in_its_own_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The writer's own look at the journal would now and then commit what a Sender leaves.
    monkeypatch.setattr(journal_writer, "_LOOK_AGAIN", 3600.0)
    hold = Hold()
    commits: Counter[str] = Counter()
    with RunningActors(tmp_path, ScriptedPagerDuty(hold), max_in_flight=4) as actors:
        events = actors.accepted(count=EVENTS)
        assert hold.reached.acquire(timeout=15)
        commit = actors.journal.commit

        def counted(batch: Sequence[Append]) -> int:
            commits[threading.current_thread().name.partition("-")[0]] += 1
            return commit(batch)

        monkeypatch.setattr(actors.journal, "commit", counted)
        hold.release()
        actors.wait_until_delivered(events)
        assert commits["Sender"] >= EVENTS - 1


def test_events_are_never_committed_in_the_thread_of_who_sends_them(tmp_path: Path) -> None:
    threads: set[str] = set()
    with RunningActors(tmp_path) as actors:
        commit = actors.journal.commit

        def noted(batch: Sequence[Append]) -> int:
            threads.add(threading.current_thread().name.partition("-")[0])
            return commit(batch)

        actors.journal.commit = noted  # type: ignore[method-assign]
        actors.wait_until_delivered(actors.accepted(count=20))
    assert threads <= {"writer", "Sender"}
