"""The promises, as checks of a simulation at one moment of it."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from actors.core.evolve import evolve
from actors.core.pace import DOCUMENTED
from actors.core.state import QueueState, summarise, to_snapshot
from actors.core.verdict import Deferred, Delivered
from actors.directory import QueueEntry
from actors.recovery import recover_all, recover_queue
from store.records import EventDeadLettered, EventId, QueueId
from tests.simulation.pagerduty import Request
from tests.simulation.witness import Life, Violation, occurred_last, require

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation


def request_is_due(simulation: Simulation, request: Request) -> None:
    """At its start: recorded, alone for its key, and not one too many."""
    life = simulation.witness.lives.get(request.event)  # type: ignore[call-overload]
    require(life, f"{request.event} was sent without being accepted")
    line = simulation.witness.lines[life.queue]
    require(
        line.in_flight == request.event and life.attempts == request.attempt,
        f"{request.event}, attempt {request.attempt}: a late write by a discarded sender"
        if request.attempt <= life.attempts
        else f"{request.event} was sent without a record of it",
    )
    under_way = simulation.pagerduty.under_way
    require(
        all(other.key != request.key for other in under_way),
        f"{request.event} was sent while another event of its key is under way",
    )
    require(
        len(under_way) < simulation.scenario.max_in_flight,
        f"{len(under_way) + 1} requests at once",
    )
    request.retries = life.retries
    if not life.again:
        _waits_as_asked(simulation, request)


def _waits_as_asked(simulation: Simulation, request: Request) -> None:
    """Not before the time that the answer to the attempt before named, whatever its code."""
    earlier = simulation.pagerduty.of_event.get(request.event, [])
    before = earlier[-1] if earlier else None
    if before is None or before.verdict is None or before.ended is None or not before.wish:
        return
    disturbed = [*simulation.disturbances, *(at + 60 for at in simulation.failures)]
    if (
        simulation.scenario.jumps
        or simulation.witness.lives[EventId(request.event)].again
        or (before.process, before.retries) != (request.process, request.retries)
        or any(at >= before.started for at in disturbed)
    ):
        return
    waited = request.started - before.ended
    require(
        waited >= before.wish - 0.01,
        f"{request.event} was sent after {waited:.1f} s instead of {before.wish} s",
    )


def given_up_rightly(simulation: Simulation, life: Life, record: EventDeadLettered) -> None:
    """A dead letter has PagerDuty's own word, or was tried as often and as long as promised."""
    pagerduty, policy = simulation.pagerduty, simulation.scenario.policy
    if life.again:
        return
    requests = pagerduty.of_event.get(life.event, [])
    if record.reason != "gave_up":
        require(
            any(request.refused for request in requests),
            f"{life.event} is a dead letter that PagerDuty did not refuse",
        )
        return
    lasted = record.at - (life.tried_at or 0.0)
    least = policy.give_up_after
    if record.detail.startswith("max_attempts"):
        least = policy.least_failing
        counted = sum(
            any(
                first.started <= (other.ended or 0.0) <= (second.ended or math.inf)
                for other in pagerduty.accepted
            )
            for first, second in pairwise(requests)
        )
        counted += life.attempts - len(requests)  # those that a sender hung on before its request
        require(
            counted >= policy.max_attempts,
            f"{life.event} was given up although only {counted} attempts count",
        )
    require(
        lasted >= least or simulation.scenario.jumps,
        f"{life.event} was given up after {lasted:.0f} s instead of {least:.0f} s",
    )


def failing_is_probed_gently(simulation: Simulation, since: float) -> None:
    """While all answers since `since` were failures: what was sent, from the fifth second on."""
    now = simulation.runtime.clock.now
    recent = [r for r in simulation.pagerduty.requests if since + 5.0 < r.started <= now]
    allowed = 2.0 * (now - since)
    require(len(recent) <= allowed, f"{len(recent)} requests in {now - since:.0f} s of failures")


def kept_on_disk(simulation: Simulation) -> None:
    """After a crash: whatever was acknowledged is there, and the journal can be read."""
    lives = simulation.witness.lives
    for event in simulation.people.acknowledged:
        require(event in lives, f"{event} was acknowledged and is lost")
    journal = simulation.disk.quietly()
    keys = list(journal.queues().values())
    require(len(keys) == len(set(keys)), f"a key has two queues: {journal.queues()}")
    for queue, (state, tail) in recover_all(journal).items():
        alone, alone_tail = recover_queue(journal, queue)
        require(to_snapshot(alone) == to_snapshot(state), f"queue {queue} has two histories")
        require(alone_tail == tail, f"queue {queue} has two tails")
        line = simulation.witness.line(queue)
        require(list(state.waiting) == line.waiting, f"queue {queue}: another order after a crash")


def replay_gives_the_live_state(simulation: Simulation) -> None:
    """While nothing is under way between actors and disk: memory and journal agree bit for bit."""
    agent = simulation.agent
    assert agent is not None
    if not simulation.disk.works or agent.admission.refusal is not None or agent.dead_parts():
        return
    journal = simulation.disk.quietly()
    for entry in agent.directory.entries():
        if entry.sequencer is None and (entry.commands is not None or entry.phase != "stopped"):
            continue  # its next Sequencer reads it again
        replayed, _ = recover_queue(journal, entry.id)
        whole = to_snapshot(replayed)
        if entry.sequencer is None and not entry.state.alerts:
            summarise(replayed)
        require(
            to_snapshot(replayed) == to_snapshot(entry.state),
            f"queue {entry.id} ({entry.phase}): {_difference(entry.state, replayed)}",
        )
        _pace_is_justified(simulation, entry)
        if not simulation.disk.removed_anything:
            state = QueueState(queue=entry.id)
            for each in journal.entries(entry.id):
                evolve(state, each.record)
            require(to_snapshot(state) == whole, f"queue {entry.id}: a false past")


def all_is_accounted_for(simulation: Simulation) -> None:
    """Of a drained agent: each acknowledged event came to one end, in order, without need twice."""
    people, witness, agent = simulation.people, simulation.witness, simulation.agent
    assert agent is not None
    for event in people.acknowledged:
        require(event in witness.lives, f"{event} was acknowledged and is lost")
        require(
            witness.lives[event].state.startswith(("delivered", "dead", "discarded")),
            f"{event} is {witness.lives[event].state}",
        )
    unanswered = sum(not call.answered for call in people.calls)
    require(not unanswered, f"{unanswered} requests were never answered")
    _counters_add_up(simulation)
    _deliveries_are_true_and_in_order(simulation)
    _no_needless_duplicates(simulation)
    _alerts_end_as_their_events_occurred(simulation)


def the_agent_is_idle(simulation: Simulation) -> None:
    """Nothing waits, no turn is taken, no actor of a queue is left, no timer is set."""
    agent = simulation.agent
    assert agent is not None
    for entry in agent.directory.entries():
        require(
            entry.phase == "stopped" and entry.sequencer is None,
            f"queue {entry.id} is {entry.phase} after {entry.state.condition}",
        )
    slots = agent.slots
    require(slots.busy() == 0, "a delivery is under way")
    require(slots.link().waiting_for_turn == 0, "a queue waits for its turn")
    require(
        sorted(slots._idle) == list(range(simulation.scenario.max_in_flight)),
        f"of {simulation.scenario.max_in_flight} senders only {slots._idle} are free",
    )
    require(not slots._granted, f"turns are lost: {slots._granted}")
    require(not slots._outcomes, f"verdicts nobody claims: {list(slots._outcomes)}")


def _pace_is_justified(simulation: Simulation, entry: QueueEntry) -> None:
    """A key is slower than documented only after many refusals, however they were spread."""
    refusals = sum(
        request.key == entry.routing_key
        and isinstance(request.verdict, Deferred)
        and request.verdict.reason == "rate_limited"
        for request in simulation.pagerduty.requests
    )
    require(
        entry.state.pace.interval <= DOCUMENTED or refusals > 6,
        f"queue {entry.id} is paced below the documented rate after {refusals} refusals",
    )


def _difference(live: QueueState, replayed: QueueState) -> str:
    names = [
        name
        for name in QueueState.__struct_fields__
        if getattr(live, name) != getattr(replayed, name)
    ]
    return "; ".join(
        f"{name} is {getattr(live, name)!r} in memory, {getattr(replayed, name)!r} by replay"
        for name in names
    )


def _counters_add_up(simulation: Simulation) -> None:
    agent = simulation.agent
    assert agent is not None
    totals = agent.totals()
    require(
        totals["accepted"]
        == totals["delivered"] + totals["waiting"] + totals["dead_lettered"] + totals["discarded"],
        f"the counters don't add up: {totals}",
    )
    lines = simulation.witness.lines.values()
    seen = {
        "accepted": sum(line.accepted for line in lines),
        "delivered": sum(line.delivered for line in lines),
        "waiting": sum(len(line.waiting) for line in lines),
        "dead_lettered": sum(line.dead for line in lines),
        "discarded": sum(line.discarded for line in lines),
    }
    require(totals == seen, f"counted {totals}, seen {seen}")


def _deliveries_are_true_and_in_order(simulation: Simulation) -> None:
    """PagerDuty's own list: each key's events took effect first in the order of acceptance."""
    lives = simulation.witness.lives
    last: dict[QueueId, int] = {}
    seen: set[str] = set()
    for request in simulation.pagerduty.requests:
        if not request.took_effect or request.event in seen:
            continue
        seen.add(request.event)
        life = lives[request.event]  # type: ignore[index]
        if life.requeued or life.again:
            continue
        require(
            life.place > last.get(life.queue, 0),
            f"{request.event} ({life.place}) was delivered after {last.get(life.queue)}",
        )
        last[life.queue] = life.place
    for life in lives.values():
        if life.state.startswith("delivered"):
            require(life.event in seen, f"{life.event} is recorded as delivered, but never was")


def _alerts_end_as_their_events_occurred(simulation: Simulation) -> None:
    """At PagerDuty an alert is open if a trigger occurred last, whatever came when to the agent.

    Of alerts whose events all came to their end in order: no dead letter, and nobody interfered.
    """
    witness = simulation.witness
    disturbed = {
        (life.queue, life.dedup_key)
        for life in witness.lives.values()
        if life.requeued or life.again or not (life.state.startswith("delivered") or life.overtaken)
    }
    ends: dict[tuple[QueueId, str], str] = {}
    for request in simulation.pagerduty.requests:
        life = witness.lives[request.event]  # type: ignore[index]
        if request.took_effect and life.action in ("trigger", "resolve"):
            ends[life.queue, life.dedup_key] = life.action
    for alert, events in witness.alerts.items():
        last = occurred_last(events)
        if last is not None and alert not in disturbed and not witness.clock_jumps:
            require(
                (ends.get(alert) == "trigger") == (last.action == "trigger"),
                f"{alert} ends with a {ends.get(alert)}, but {last.event} ({last.action}) was last",
            )


def _no_needless_duplicates(simulation: Simulation) -> None:
    """After PagerDuty took an event and said so, only a disturbance explains another request."""
    answered: dict[str, Request] = {}
    failures = simulation.failures
    for request in simulation.pagerduty.requests:
        earlier = answered.get(request.event)
        if (
            earlier is not None
            and not simulation.witness.lives[request.event].again  # type: ignore[index]
            and not any(earlier.started <= at <= request.started for at in simulation.disturbances)
            and not any(at - earlier.started > -60 and at <= request.started for at in failures)
        ):
            raise Violation(f"{request.event} was sent again although it had been delivered")
        if isinstance(request.verdict, Delivered):
            answered[request.event] = request
