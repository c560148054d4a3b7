"""A number of faults, one after the other as soon as the events flow again, and the judgement."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from store.errors import JournalError
from store.nats_log import NatsLog
from tests.chaos.cluster import NAME, Cluster, NotWholeError
from tests.chaos.faults import Fault, name_of
from tests.chaos.judge import Judgement, judged, read_copy, takeovers
from tests.chaos.traffic import Traffic
from tests.system.numbered_events import key_number

LONGEST_SILENCE = 15.0
"""Seconds, on two cores that nobody else uses."""

_LONGEST_PAUSE = 1.0  # seconds between two faults


class Campaign(msgspec.Struct, kw_only=True):
    """What is done. `rate` is each host's events per second.

    One fault may silence a key for `longest_silence` seconds.
    """

    faults: Sequence[Fault]
    hosts: int = 24
    keys: int = 12
    rate: float = 1.0
    seed: int = 1
    power_cuts: bool = False
    longest_silence: float = LONGEST_SILENCE
    say: Callable[[str], object] = lambda text: None

    def run(self, directory: Path) -> list[str]:
        """Do it all in `directory`; returns which promises were broken."""
        keys = [key_number(number) for number in range(self.keys)]
        with (
            Traffic(keys, rate=self.rate, seed=self.seed) as traffic,
            Cluster(directory, traffic, hosts=self.hosts, power_cuts=self.power_cuts) as cluster,
        ):
            self.say(f"{self.hosts} hosts, {self.keys} keys: events flow")
            broken = self._disturb(cluster)
            longest = traffic.longest_silence().seconds
            try:
                judgement = _judgement(cluster, directory / "filled")
            except JournalError as error:
                return [*broken, f"the log is not what it was: {error}"]
            self.say(f"{len(self.faults)} faults: {judgement}, longest silence {longest:.1f} s")
        return broken + judgement.broken

    def _disturb(self, cluster: Cluster) -> list[str]:
        chance, broken, began = random.Random(self.seed), [], time.monotonic()
        traffic = cluster.traffic
        try:
            for number, fault in enumerate(self.faults, 1):
                time.sleep(chance.uniform(0.1, _LONGEST_PAUSE))
                since = time.monotonic()
                did = fault(cluster, chance)
                mended = time.monotonic()
                cluster.wait_until_whole()
                silence = traffic.longest_silence(since)
                self.say(
                    f"{since - began:5.0f} s  fault {number:3}  {name_of(fault):25} {did:35} "
                    f"whole {time.monotonic() - mended:4.1f} s later, "
                    f"silence {silence.seconds:4.1f} s"
                )
                if silence.seconds > self.longest_silence:
                    broken.append(
                        f"fault {number}, {name_of(fault)} {did}: key {silence.key[-2:]} was "
                        f"silent for {silence.seconds:.1f} s"
                    )
            cluster.drain()
        except (NotWholeError, AssertionError) as error:
            broken.append(f"not whole again: {str(error)[:3000]}")
        return broken


def _judgement(cluster: Cluster, filled: Path) -> Judgement:
    cluster.end_relays()
    cluster.engine.start()
    log = NatsLog(cluster.engine.urls, NAME)
    try:
        places = [*(relay.journal for relay in cluster.relays.all), filled]
        copies = [read_copy(place, log) for place in places]
        return judged(cluster.traffic, copies, takeovers(log))
    finally:
        log.close()
