"""What the demo concludes from what was accepted and what arrived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from pdagent.demo.judgement import Judgement, judge
from pdagent.demo.view import verdict_lines

ACCEPTED = {"web": [1, 2, 3, 4], "db": [1, 2]}


def judged(web: Sequence[int], db: Sequence[int]) -> Judgement:
    arrived: Mapping[str, Sequence[int]] = {"web": web, "db": db}
    return judge(ACCEPTED, arrived, incidents=6)


def counts(judgement: Judgement) -> tuple[int, int, int]:
    return judgement.lost, judgement.out_of_order, judgement.duplicates


@pytest.mark.parametrize(
    ("web", "lost_out_of_order_duplicates"),
    [
        ([1, 2, 3, 4], (0, 0, 0)),
        ([1, 2, 2, 3, 4], (0, 0, 1)),
        ([1, 2, 3, 4, 1, 1], (0, 0, 2)),
        ([1, 2, 4], (1, 0, 0)),
        ([], (4, 0, 0)),
        ([1, 3, 2, 4], (0, 1, 0)),
        ([4, 1, 2, 3], (0, 3, 0)),
        ([2, 2, 1], (2, 1, 1)),
    ],
)
def test_arrivals_are_compared_with_the_order_of_acceptance(
    web: list[int], lost_out_of_order_duplicates: tuple[int, int, int]
) -> None:
    judgement = judged(web, [1, 2])
    assert counts(judgement) == lost_out_of_order_duplicates
    assert judgement.accepted == 6
    assert judgement.delivered == 6 - judgement.lost


def test_the_order_is_that_of_acceptance_not_of_numbers() -> None:
    assert counts(judge({"web": [3, 1, 2]}, {"web": [3, 1, 2]}, incidents=3)) == (0, 0, 0)
    assert counts(judge({"web": [3, 1, 2]}, {"web": [1, 2, 3]}, incidents=3)) == (0, 1, 0)


def test_an_event_that_was_never_acknowledged_is_not_counted() -> None:
    assert counts(judged([1, 2, 3, 4, 5, 5], [1, 2])) == (0, 0, 0)


def test_a_queue_that_never_got_through_is_lost() -> None:
    assert judge(ACCEPTED, {}, incidents=0).lost == 6


def test_only_losses_and_wrong_order_break_the_promise() -> None:
    assert judged([1, 2, 3, 4], [1, 2]).promise_kept
    assert judged([1, 1, 2, 3, 4], [1, 2]).promise_kept
    assert not judged([1, 2, 3], [1, 2]).promise_kept
    assert not judged([2, 1, 3, 4], [1, 2]).promise_kept


def test_the_last_lines_give_the_counts() -> None:
    lines = verdict_lines(judged([1, 1, 2, 4, 3], [1]))
    assert "A promise was broken" in lines[0]
    assert [line.rsplit(maxsplit=1) for line in lines[-5:]] == [
        ["accepted", "6"],
        ["delivered", "5"],
        ["lost", "1"],
        ["out of order", "1"],
        ["duplicates", "1"],
    ]
