"""Replies and observers that raise: the writer, which all queues share, goes on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

from actors.core.commands import Answer, Receipt
from store.records import QueueId, Record
from tests.actors.running_actors import KEY, OTHER_KEY, RunningActors, new_event, wait_for


def fail(*_: object) -> None:
    raise ValueError("routing_key")


def test_a_reply_that_raises_ends_nothing_and_keeps_no_other_from_its_answer(
    actors: RunningActors, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(answer: Answer) -> None:
        fail(answer)

    first, second = new_event(), new_event()
    actors.system.accept(KEY, first, failing)
    answer = actors.accept(event=second).answer()
    assert isinstance(answer, Receipt)
    other = actors.accepted(OTHER_KEY)
    actors.wait_until_delivered([first.id, second.id])
    actors.wait_until_delivered(other, OTHER_KEY)
    assert actors.restarts("writer") == actors.restarts("sequencer") == 0
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert "ValueError in fail" in line
    assert "routing_key" not in line


def test_an_observer_that_raises_is_told_of_once_and_called_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen = []

    def observe(queue: QueueId, records: Sequence[Record]) -> None:
        seen.extend(records)
        fail()

    with RunningActors(tmp_path / "journal", observe=observe) as actors:
        events = actors.accepted(count=3)
        actors.wait_until_delivered(events)
        wait_for(lambda: len(seen) == 9, "three records of each event")
        assert actors.restarts("writer") == 0
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1
