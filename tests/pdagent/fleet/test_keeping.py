"""The table of hosts survives in the engine, for the relay that takes over."""

from __future__ import annotations

import asyncio
import time

import pytest

from pdagent.fleet.keeping import FleetKeeper
from pdagent.fleet.report import MISSING_AFTER, HostReport
from pdagent.fleet.table import BUCKETS, Fleet
from store.memory_log import MemoryEngine, MemoryLog
from tests.both_logs import LogOpener


def named(number: int) -> HostReport:
    return HostReport(agent_id=f"agent-{number}", host=f"web{number}", dead_letters=number)


def save_all(keeper: FleetKeeper) -> None:
    for bucket in range(BUCKETS):
        keeper.save(bucket)


def test_the_next_relay_knows_the_hosts_and_which_of_them_were_missing(open_log: LogOpener) -> None:
    before, now = Fleet(), time.monotonic()
    for number in range(200):
        before.note(named(number), at=1_000.0, now=now - (number == 7) * 2 * MISSING_AFTER)
    keeper = FleetKeeper(before, open_log())
    save_all(keeper)
    before.forget(lambda host: host.report.host == "web9")
    save_all(keeper)

    after = Fleet()
    fresh = HostReport(agent_id="agent-3", host="web3", version="2")
    after.note(fresh, at=2_000.0, now=time.monotonic())  # reported before the table was read
    FleetKeeper(after, open_log()).load()
    now = time.monotonic()
    assert [host.report.host for host in after.listed(now, missing=True)] == ["web7"]
    reports = {host.report.agent_id: host.report for host in after.hosts()}
    expected = {f"agent-{number}": named(number) for number in range(200) if number != 9}
    assert reports == expected | {"agent-3": fresh}


def test_a_table_that_the_engine_can_not_take_is_kept_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Trouble with the engine ends nothing: the next round writes what is true then."""

    async def kept() -> None:
        engine = MemoryEngine()
        log, fleet = MemoryLog(engine), Fleet()
        log.connected = False
        fleet.note(named(1), at=1.0, now=time.monotonic())
        keeping = asyncio.create_task(FleetKeeper(fleet, log, round_seconds=0.64).keep_for_ever())
        async with asyncio.timeout(20):
            while "the table of hosts is not kept for now" not in caplog.text:
                await asyncio.sleep(0.01)
            log.connected = True
            while not engine.table:
                await asyncio.sleep(0.01)
        keeping.cancel()

    asyncio.run(kept())
