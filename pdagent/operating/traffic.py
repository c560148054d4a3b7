"""How much came and went in the last minutes, for rates and sparklines."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from itertools import pairwise

import msgspec

from pdagent.operating.rows import Json, timestamp

STEP = 5  # seconds
STEPS = 120
_RATE_OVER_STEPS = 3

Totals = Mapping[str, int]


class Sample(msgspec.Struct, frozen=True):
    """Totals when the step of this number began; step 0 began with 1970."""

    step: int
    at: float
    accepted: int
    delivered: int
    waiting: int


class Traffic:
    """Samples of the totals, one at the beginning of each step of 5 seconds, for 10 minutes."""

    def __init__(
        self, totals: Callable[[], Totals], clock: Callable[[], float] = time.time
    ) -> None:
        self._totals = totals
        self._clock = clock
        self._samples: deque[Sample] = deque(maxlen=STEPS + 1)
        self._samples.append(self._sample())

    async def keep_sampling(self) -> None:
        """Sample at the beginning of each step, for ever."""
        while True:
            await asyncio.sleep(STEP - self._clock() % STEP)
            self.sample()

    def sample(self) -> None:
        """Note how things stand, once a step."""
        sample = self._sample()
        last = self._samples[-1]
        if not last.step <= sample.step <= last.step + STEPS:
            self._samples.clear()  # the clock was set
        elif sample.step == last.step:
            return
        self._samples.append(sample)

    def report(self) -> Json:
        """Counts for each step, oldest first, the last one ending at `until`, and the rates now.

        `waiting` is how many waited at the end of the step. Steps at whose beginning the agent was
        too busy to count share evenly what came in them.
        """
        now = self._sample()
        samples = list(self._samples)
        steps = samples[-1].step - samples[0].step
        accepted, delivered, waiting = [0] * steps, [0] * steps, [0] * steps
        for earlier, later in pairwise(samples):
            first, last = earlier.step - samples[0].step, later.step - samples[0].step
            accepted[first:last] = _shared(later.accepted - earlier.accepted, last - first)
            delivered[first:last] = _shared(later.delivered - earlier.delivered, last - first)
            waiting[first:last] = [later.waiting] * (last - first)
        since = samples[max(0, len(samples) - _RATE_OVER_STEPS)]
        seconds = max(now.at - since.at, 1.0)
        return {
            "step_seconds": STEP,
            "until": timestamp(samples[-1].step * STEP),
            "accepted": accepted[-STEPS:],
            "delivered": delivered[-STEPS:],
            "waiting": waiting[-STEPS:],
            "accepted_per_second": round((now.accepted - since.accepted) / seconds, 2),
            "delivered_per_second": round((now.delivered - since.delivered) / seconds, 2),
        }

    def _sample(self) -> Sample:
        now, totals = self._clock(), self._totals()
        return Sample(
            int(now // STEP), now, totals["accepted"], totals["delivered"], totals["waiting"]
        )


def _shared(count: int, steps: int) -> list[int]:
    each, rest = divmod(count, steps)
    return [each + (place < rest) for place in range(steps)]
