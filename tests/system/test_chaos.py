"""Faults under load, in short: `make chaos` has many more of each kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.chaos import faults, power
from tests.chaos.campaign import Campaign
from tests.chaos.pacing import PacingRun
from tests.chaos.traffic import Limit
from tests.engine import needs_nats_server


def campaign(chosen: Sequence[faults.Fault], *, power_cuts: bool = False) -> Campaign:
    """A small one. Other tests run at the same time: the bench measures silences."""
    return Campaign(
        faults=chosen,
        hosts=3,
        keys=4,
        rate=8.0,
        power_cuts=power_cuts,
        longest_silence=40.0,
        say=print,
    )


def test_faults_of_relays_and_engine_break_no_promise(tmp_path: Path) -> None:
    needs_nats_server()
    one_of_each_group = (
        faults.owner_stepped_down,
        faults.all_nodes_killed,
        faults.owner_hung,
        faults.log_leaders_disk_replaced,
    )
    assert campaign(one_of_each_group).run(tmp_path) == []


def test_a_power_cut_of_all_machines_loses_nothing(tmp_path: Path) -> None:
    needs_nats_server()
    if (reason := power.why_not()) is not None:
        pytest.skip(reason)
    assert campaign([faults.all_powers_cut], power_cuts=True).run(tmp_path) == []


def test_the_events_of_one_key_from_many_hosts_are_paced_together(tmp_path: Path) -> None:
    """The documented pace is that of 10 calls in 5 s as well; two hosts alone would make 20."""
    needs_nats_server()
    run = PacingRun(hosts=3, rate=4.0, seconds=20.0, limit=Limit(10, 5.0), say=print)
    assert run.run(tmp_path) == []
