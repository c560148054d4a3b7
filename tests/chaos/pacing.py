"""One key from many hosts, whose rate PagerDuty limits: all hosts' events are paced together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from tests.chaos.cluster import Cluster
from tests.chaos.traffic import Limit, Traffic
from tests.system.numbered_events import key_number

MINUTE = 60.0
LIMIT = Limit(120, MINUTE)


class PacingRun(msgspec.Struct, kw_only=True):
    """Each host sends `rate` events per second for so many seconds after the first refusal.

    Each minute is judged. Where two meet, a window of as many seconds may have a few more calls:
    after 50 s without a refusal, a queue finds out whether the limit is higher by now.
    """

    hosts: int = 24
    rate: float = 0.5
    seconds: float = 240.0
    limit: Limit = LIMIT
    say: Callable[[str], object] = lambda text: None

    def run(self, directory: Path) -> list[str]:
        """Do it all in `directory`; returns which promises were broken."""
        window = self.limit.window
        with (
            Traffic([key_number(0)], rate=self.rate, seed=1, limit=self.limit) as traffic,
            Cluster(directory, traffic, hosts=self.hosts) as cluster,
        ):
            cluster.owner()
            deadline = time.monotonic() + 10 * window
            while not (limited := [call.at for call in traffic.calls if call.status == 429]):
                if time.monotonic() > deadline:
                    return ["the limit was never reached"]
                time.sleep(0.1)
            time.sleep(self.seconds)
            calls = list(traffic.calls)
        since = limited[0]
        times = [call.at for call in calls if since < call.at < since + self.seconds]
        self.say(
            f"{self.hosts} hosts, one key: {len(calls)} calls, after the first refusal "
            f"{len(times)} calls in {self.seconds:.0f} s, at most {most_within(times, window)} in "
            f"any {window:.0f} s"
        )
        broken = []
        for begin in range(0, int(self.seconds), int(window)):
            part = [call for call in calls if since + begin < call.at <= since + begin + window]
            over = sum(call.status == 429 for call in part)
            self.say(f"  from second {begin}: {len(part)} calls, {over} of them refused")
            if len(part) > self.limit.calls:
                broken.append(f"{len(part)} calls in {window:.0f} s from second {begin} on")
        return broken


def most_within(times: Sequence[float], window: float) -> int:
    """The most of these sorted times that lie within one window."""
    most = first = 0
    for place, at in enumerate(times):
        while times[first] <= at - window:
            first += 1
        most = max(most, place - first + 1)
    return most
