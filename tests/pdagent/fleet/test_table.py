"""The table of hosts, against a plain model: reports, silence, takeovers and what is forgotten."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pdagent.fleet.report import MISSING_AFTER, HostReport
from pdagent.fleet.table import BUCKETS, LONG_WAIT, Fleet, Host

IDS = st.sampled_from([f"agent-{number}" for number in range(12)])
COUNTS = st.integers(0, 5)
WAITS = st.none() | st.floats(0, 2 * LONG_WAIT)


def report(agent_id: str = "a", host: str = "web1", **fields: object) -> HostReport:
    return HostReport(agent_id=agent_id, host=host, **fields)  # type: ignore[arg-type]


class FleetMachine(RuleBasedStateMachine):
    """The model: by agent its last report, and the seconds without one while an owner listened."""

    def __init__(self) -> None:
        super().__init__()
        self.fleet = Fleet()
        self.now = 1_000.0
        self.reports: dict[str, HostReport] = {}
        self.silent: dict[str, float] = {}

    @rule(agent_id=IDS, host=st.sampled_from("abc"), waiting=COUNTS, dead=COUNTS, oldest=WAITS)
    def reports_(
        self, agent_id: str, host: str, waiting: int, dead: int, oldest: float | None
    ) -> None:
        new = report(
            agent_id, host, waiting=waiting, dead_letters=dead, oldest_waiting_seconds=oldest
        )
        self.fleet.note(new, at=5.0, now=self.now)
        self.reports[agent_id], self.silent[agent_id] = new, 0.0

    @rule(seconds=st.sampled_from([0.5, 30.0, MISSING_AFTER, 7.0, 1_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.silent = {agent: silent + seconds for agent, silent in self.silent.items()}

    @rule(nobody_listens=st.integers(0, 10_000), late=st.lists(IDS, max_size=2))
    def another_relay_takes_over(self, nobody_listens: int, late: Sequence[str]) -> None:
        kept = [self.fleet.saved(bucket, self.now) for bucket in range(BUCKETS)]
        self.fleet, self.now = Fleet(), 50.0 + nobody_listens  # a clock of its own
        for agent in late:  # reports that come before the rows are read are newer
            self.reports_(agent, "c", 1, 0, None)
        for saved in kept:
            self.fleet.restore(saved, self.now)

    @rule(host=st.sampled_from("abc"))
    def is_forgotten(self, host: str) -> None:
        gone = self.fleet.forget(lambda each: each.report.host == host)
        expected = [agent for agent, last in self.reports.items() if last.host == host]
        assert sorted(each.report.agent_id for each in gone) == sorted(expected)
        for agent in expected:
            del self.reports[agent], self.silent[agent]

    @invariant()
    def lists_and_sums_are_those_of_the_model(self) -> None:
        missing = {agent for agent, silent in self.silent.items() if silent > MISSING_AFTER}
        assert {h.report.agent_id: h.report for h in self.fleet.hosts()} == self.reports
        assert ids(self.fleet.listed(self.now, missing=True)) == missing
        needy = {h.report.agent_id for h in self.fleet.hosts() if h.needs_attention} | missing
        assert ids(self.fleet.listed(self.now, attention=True)) == needy
        sums = self.fleet.sums(self.now)
        assert (sums.hosts, sums.missing, sums.need_attention) == (
            len(self.reports),
            len(missing),
            len(needy),
        )
        assert sums.waiting == sum(last.waiting for last in self.reports.values())
        assert sums.dead_letters == sum(last.dead_letters for last in self.reports.values())
        listed = self.fleet.listed(self.now)
        order = [
            (not h.is_missing(self.now), not h.needs_attention if not h.is_missing(self.now) else 0)
            for h in listed
        ]
        assert len(listed) == len(self.reports) and order == sorted(order)


def ids(hosts: Sequence[Host]) -> set[str]:
    return {host.report.agent_id for host in hosts}


FleetMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
test_the_table_is_that_of_the_model = FleetMachine.TestCase


@given(st.permutations(["gone long", "gone", "trouble", "2 dead", "1 dead", "old", "a", "b"]))
def test_what_needs_somebody_most_comes_first(order: Sequence[str]) -> None:
    reports = {
        "trouble": report("t", "trouble", trouble="the journal is full"),
        "2 dead": report("2", "2 dead", dead_letters=2),
        "1 dead": report("1", "1 dead", dead_letters=1, oldest_waiting_seconds=9_000.0),
        "old": report("o", "old", waiting=1, oldest_waiting_seconds=LONG_WAIT + 1),
        # Not in the order of their ages: nothing is wrong with either.
        "a": report("a", "a", waiting=1, oldest_waiting_seconds=1.0),
        "b": report("b", "b", waiting=9, oldest_waiting_seconds=LONG_WAIT - 1),
    }
    fleet = Fleet()
    heard = {"gone long": -10 * MISSING_AFTER, "gone": -2 * MISSING_AFTER}
    for name in order:
        fleet.note(reports.get(name) or report(name, name), at=0.0, now=heard.get(name, 0.0))
    assert [host.report.host for host in fleet.listed(0.0)] == [
        *("gone", "gone long", "trouble", "2 dead", "1 dead", "old", "a", "b")
    ]
