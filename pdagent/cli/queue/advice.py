"""What can be done about an event, in sentences and in commands to copy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pdagent.cli.failures import LOOKED
from pdagent.cli.queue.selection import option_for
from pdagent.cli.session import Session
from pdagent.operating.rows import EventRow

DOCS = "docs/operating.md#dead-letters"


def advice(
    row: EventRow, body: bytes, history: Sequence[Mapping[str, object]], session: Session
) -> Iterator[str]:
    """Sentences, and indented by four the commands; nothing for what has ended.

    Raises:
        CommandFailed: The agent can't be asked about the event's queue.
    """
    match row.state:
        case "dead_lettered" if row.superseded_by is not None:
            yield from _about_superseded(row, history, session)
        case "dead_lettered":
            yield from _about_dead_letter(row, body, session)
        case "deferred" | "queued":
            yield from _about_waiting(row, session)


def _about_dead_letter(row: EventRow, body: bytes, session: Session) -> Iterator[str]:
    from pdagent.cli.queue.resending import Resending

    yield "It is not tried again by itself. If the cause is gone, try it once more:"
    yield f"    {session.command('queue', 'retry', row.id)}"
    yield "If the event itself is wrong, send it corrected, then give this one up:"
    resending = Resending(row.id, row.kind, body, row.queue, session)
    yield from (f"    {command}" for command in resending.commands)
    if resending.key_is_missing:
        yield f"    # ROUTING_KEY: put the key in that shows as {row.queue}"
    if resending.left_out:
        yield f"    # not in this command: {', '.join(resending.left_out)}"
    yield f"    {session.command('queue', 'discard', row.id)}"
    yield f"More about dead letters: {DOCS}"


def _about_superseded(
    row: EventRow, history: Sequence[Mapping[str, object]], session: Session
) -> Iterator[str]:
    action = history[0].get("action") if history else None
    later = f"event {row.superseded_by}"
    if action == "trigger":
        yield f"Its alert was resolved meanwhile, by {later}: sent now, it would open an incident"
        yield "that nothing closes. So it is not retried; give it up:"
    else:
        yield f"Its alert was triggered anew meanwhile, by {later}: sent now, it would concern an"
        yield "incident that it was not meant for. So it is not retried; give it up:"
    yield f"    {session.command('queue', 'discard', row.id)}"
    yield "To send it all the same:"
    yield f"    {session.command('queue', 'retry', '--force', row.id)}"
    yield f"More about dead letters: {DOCS}"


def _about_waiting(row: EventRow, session: Session) -> Iterator[str]:
    retry = session.command("queue", "retry", row.id)
    held, reason = _hold_of(row.queue, session)
    if held:
        because = f" ({reason})" if reason else ""
        yield f"Its key is held{because}: nothing of it is delivered until it is released:"
        yield f"    {session.command('queue', 'release', '-k', option_for(session, row.queue))}"
    elif row.state == "deferred" and (row.last_error or "").startswith("unreachable"):
        yield "PagerDuty could not be reached. It is sent by itself when it can be; see since when:"
        yield f"    {session.command('status')}"
    elif row.state == "deferred":
        yield "It is tried again by itself. To try at once, or to give it up:"
        yield f"    {retry}"
        yield f"    {session.command('queue', 'discard', row.id)}"
        return
    else:
        yield "It is delivered when the events before it are. See what its queue waits for:"
        yield f"    {session.command('status')}"
    yield "To give it up:"
    yield f"    {session.command('queue', 'discard', row.id)}"


def _hold_of(queue: str, session: Session) -> tuple[bool, str]:
    """Whether the queue is held, and why; of several that are called so, none is known to be."""
    with session.agent(LOOKED) as client:
        items = client.queue_status(queue).get("status_items")
    if not isinstance(items, list) or len(items) != 1 or not isinstance(items[0], dict):
        return False, ""
    return bool(items[0].get("held")), str(items[0].get("hold_reason") or "")
