"""Whether the promise was kept: what senders were told against what arrived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of events over all queues.

    `delivered` counts accepted events that arrived at least once, `duplicates` further arrivals of
    the same event, `out_of_order` events that arrived after one that was accepted later.
    `incidents` is how many PagerDuty opened: a duplicate joins the one that is there.
    """

    accepted: int
    delivered: int
    lost: int
    out_of_order: int
    duplicates: int
    incidents: int

    @property
    def promise_kept(self) -> bool:
        """Whether everything arrived in order; a duplicate is allowed after a crash."""
        return self.lost == 0 and self.out_of_order == 0


def judge(
    accepted: Mapping[str, Sequence[int]], arrived: Mapping[str, Sequence[int]], *, incidents: int
) -> Judgement:
    """Compare, for each queue, event numbers in order of acceptance and in order of arrival.

    An event that was never acknowledged may arrive all the same: it isn't counted.
    """
    delivered = out_of_order = duplicates = 0
    for queue, numbers in accepted.items():
        place = {number: index for index, number in enumerate(numbers)}
        seen: set[int] = set()
        furthest = -1
        for number in arrived.get(queue, ()):
            if number not in place:
                continue
            if number in seen:
                duplicates += 1
                continue
            seen.add(number)
            out_of_order += place[number] < furthest
            furthest = max(furthest, place[number])
        delivered += len(seen)
    total = sum(len(numbers) for numbers in accepted.values())
    return Judgement(
        accepted=total,
        delivered=delivered,
        lost=total - delivered,
        out_of_order=out_of_order,
        duplicates=duplicates,
        incidents=incidents,
    )
