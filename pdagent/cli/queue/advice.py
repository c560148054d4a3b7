"""What can be done about an event, in sentences and in commands to copy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pdagent.cli.queue.selection import option_for
from pdagent.cli.session import LOOKED, Session
from pdagent.operating.rows import EventRow

DOCS = "pagerduty-agent help dead-letters"


def advice(
    row: EventRow, history: Sequence[Mapping[str, object]], session: Session
) -> Iterator[str]:
    """Sentences, and commands indented by four; nothing for an event that has ended.

    Raises:
        CommandFailed: The agent did not answer for the event's queue.
    """
    match row.state:
        case "dead_lettered" if row.superseded_by is not None:
            yield from _about_superseded(row, history, session)
        case "dead_lettered":
            yield from _about_dead_letter(row, session)
        case "deferred" | "queued":
            yield from _about_waiting(row, session)


def _about_dead_letter(row: EventRow, session: Session) -> Iterator[str]:
    yield "It is not retried automatically. If the cause is gone, retry it:"
    yield f"    {session.command('queue', 'retry', row.id)}"
    yield "If the event itself is wrong, correct it (--from FILE without an editor):"
    yield f"    {session.command('queue', 'edit', row.id)}"
    yield "If it is no longer needed, discard it:"
    yield f"    {session.command('queue', 'discard', row.id)}"
    yield f"More about dead letters: {DOCS}"


def _about_superseded(
    row: EventRow, history: Sequence[Mapping[str, object]], session: Session
) -> Iterator[str]:
    action = history[0].get("action") if history else None
    later = f"event {row.superseded_by}"
    if action == "trigger":
        yield f"Its alert was resolved meanwhile, by {later}: sent now, it would open an incident"
        yield "that nothing closes. So it is not retried; discard it:"
    else:
        yield f"Its alert was triggered anew meanwhile, by {later}: sent now, it would concern an"
        yield "incident that it was not meant for. So it is not retried; discard it:"
    yield f"    {session.command('queue', 'discard', row.id)}"
    yield "To send it all the same:"
    yield f"    {session.command('queue', 'retry', '--force', row.id)}"
    yield f"More about dead letters: {DOCS}"


def _about_waiting(row: EventRow, session: Session) -> Iterator[str]:
    retry = session.command("queue", "retry", row.id)
    held, reason = _hold_of(row.queue, session)
    if held:
        because = f" ({reason})" if reason else ""
        yield f"Its key is held{because}: its events are not delivered until it is released:"
        yield f"    {session.command('queue', 'release', '-k', option_for(session, row.queue))}"
    elif row.state == "deferred" and (row.last_error or "").startswith(("unreachable", "loop")):
        relays = (row.last_error or "").startswith("unreachable: relay ")
        who = "No relay could" if relays else "PagerDuty could not"
        yield f"{who} be reached. The event is sent when that works again; see since when:"
        yield f"    {session.command('status')}"
    elif row.state == "deferred":
        yield "It is retried automatically. To retry it now, or to discard it:"
        yield f"    {retry}"
        yield f"    {session.command('queue', 'discard', row.id)}"
        return
    else:
        yield "It is delivered when the events before it are. See what its queue waits for:"
        yield f"    {session.command('status')}"
    yield "To discard it:"
    yield f"    {session.command('queue', 'discard', row.id)}"


def _hold_of(queue: str, session: Session) -> tuple[bool, str]:
    """Whether the queue is held, and why; False if several queues have that name."""
    with session.agent(LOOKED) as client:
        rows = client.queues(queue)
    if len(rows) != 1:
        return False, ""
    return bool(rows[0].get("held")), str(rows[0].get("hold_reason") or "")
