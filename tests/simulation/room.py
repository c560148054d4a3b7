"""The end of a run: there is room in the journal, whatever clocks showed and keys filled it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.witness import require

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

_LONGEST_RETENTION = 300.0
_ROUNDS = 180.0  # three of the janitor


def it_is_trimmed(simulation: Simulation) -> None:
    """After all trouble there is room, and what has ended goes when its time is over."""
    agent, scenario, witness = simulation.agent, simulation.scenario, simulation.witness
    assert agent is not None
    simulation.runtime.run_until(lambda: agent.admission.refusal is None, _ROUNDS)
    if witness.journal_limit == scenario.journal_limit:  # LMDB's own tables need room
        require(agent.admission.refusal is None, "the journal is full of what nobody needs")
    if scenario.retention > _LONGEST_RETENTION or not scenario.jumps:
        return
    ended = [life for life in witness.lives.values() if life.state in ("delivered", "discarded")]
    simulation.runtime.run_for(scenario.retention + scenario.passivate_after + _ROUNDS)
    left = [life.event for life in ended if not life.state.endswith("removed")]
    require(not left, f"{left} are kept beyond their time")
