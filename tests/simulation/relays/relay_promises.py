"""What relays promise, as checks of a simulation at one moment of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.core.verdict import Delivered
from store.records import EventId
from tests.simulation.pagerduty import Request
from tests.simulation.witness import require

if TYPE_CHECKING:
    from tests.simulation.relays.relay import RelayRun
    from tests.simulation.relays.simulation import RelaySimulation


def request_is_due(simulation: RelaySimulation, request: Request, run: RelayRun) -> None:
    """At its start: in the log, by the one relay that may, and no needless repetition."""
    now, witness = simulation.runtime.clock.now, simulation.witness
    for relay in simulation.relays:
        other = relay.run
        require(
            other is None or other is run or not other.lease.holds(now),
            f"{run.process.name} delivers {request.event} although {relay.name} has the lease",
        )
    event = EventId(request.event)
    life = witness.lives.get(event)
    require(life, f"{event} was sent without being accepted")
    assert life is not None
    line = witness.lines[life.queue]
    require(
        line.in_flight == event and life.attempts == request.attempt,
        f"{event}, attempt {request.attempt}, was sent without a record of it",
    )
    earlier = simulation.pagerduty.of_event.get(event, [])
    delivered = sum(isinstance(each.verdict, Delivered) for each in earlier)
    require(
        delivered <= witness.repeatable.get(event, 0),
        f"{event} was sent again although it was delivered, and not in flight at a takeover",
    )


def all_is_well(simulation: RelaySimulation) -> None:
    """After all faults: each acknowledged event is delivered, all copies are the same."""
    witness, scenario = simulation.witness, simulation.scenario
    accepted = {event: place for place, event in enumerate(witness.lives, 1)}
    for host in simulation.hosts:
        last: dict[str, int] = {}
        for event in host.made:
            life = witness.lives.get(event)
            require(life, f"{event} was acknowledged, but is not in the log")
            assert life is not None
            key = simulation.acknowledged[event]
            refused = any(r.refused for r in simulation.pagerduty.of_event.get(event, []))
            require(
                life.state.startswith("delivered")
                or (life.state.startswith(("dead", "discarded")) and refused),
                f"{event} was acknowledged and is {life.state}",
            )
            place = accepted[event]
            require(place > last.get(key, 0), f"{event} was accepted before an earlier event")
            last[key] = place
    contents = {relay.name: _content(relay.run.journal) for relay in simulation.relays if relay.run}
    first = next(iter(contents.values()))
    for name, content in contents.items():
        for mine, other in zip(content, first, strict=True):
            require(mine == other, f"the copy of {name} differs: {mine} from {other}")
    if scenario.only_engine:
        takeovers = witness.takeovers
        require(
            len(takeovers) == 1, f"{takeovers}: the owner changed although only the engine failed"
        )


def _content(journal: Any) -> list[Any]:
    """All that is in a copy; reading it checks counts and index."""
    return [
        list(journal.scan()),
        journal.queues(),
        journal.forgotten(),
        {queue: journal.snapshot(queue) for queue in journal.queues()},
    ]
