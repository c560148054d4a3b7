"""`pagerduty-agent queue edit`: correct an event that waits or is a dead letter."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import uuid
from pathlib import Path

import click
import msgspec

from pdagent.cli.completion import ids_of_events
from pdagent.cli.output import CommandFailed, echo_json, say
from pdagent.cli.parameters import opened, receipt_options
from pdagent.cli.portions import with_key
from pdagent.cli.queue.selection import event_id
from pdagent.cli.queue.showing import Shown, decoded
from pdagent.cli.session import UNDONE, Session, pass_session
from pdagent.cli.submission import RECEIPTS
from pdagent.events import EventKind, rawjson
from pdagent.events.kinds import KEY_NAMES
from pdagent.localclient import AgentReceipt
from pdagent.localclient.errors import NoAnswer
from pdagent.masking import is_routing_key, mask

_EDITABLE = ("queued", "deferred", "dead_lettered")
_LARGEST = 1 << 20  # bytes


@click.command(
    "edit",
    short_help="Correct an event: send it anew, discard the old one.",
    epilog="\b\nExamples:\n  pagerduty-agent queue edit 5e0f8c21d7b4"
    "\n  pagerduty-agent queue show 5e0f8c21d7b4 --json | jq .event > event.json"
    "\n  pagerduty-agent queue edit 5e0f8c21d7b4 --from event.json",
)
@click.argument("event", type=event_id, metavar="ID", shell_complete=ids_of_events)
@click.option("--from", "source", metavar="FILE|-", help="Take the corrected JSON from here.")
@receipt_options
@pass_session
def edit(session: Session, *, event: str, source: str | None, receipt: str | None) -> None:
    """Open an event's JSON in $VISUAL or $EDITOR and send what you save in its place.

    For dead letters and waiting events. The corrected event goes to the tail of its queue; then the
    old one is discarded. Its key is not in the file. An unchanged file changes nothing. If the
    event is refused, the file is kept.
    """
    with session.agent(UNDONE) as client:
        old = decoded(client.event(event, show_keys=True))
    if old.state not in _EDITABLE:
        raise CommandFailed(
            f"event {old.id} is {old.state}: only events that wait or are dead letters can be "
            "edited; nothing was changed"
        )
    key = session.loaded.config.routing_keys.get(old.queue, old.queue)
    if not is_routing_key(key):
        raise CommandFailed(
            f"it isn't known here which routing key {old.queue!r} is: name it in routing_keys of "
            "the config; nothing was changed"
        )
    before = _editable(bytes(old.event))
    if not (source or {"VISUAL", "EDITOR"} & os.environ.keys() or _is_terminal()):
        raise click.UsageError("not a terminal: add --from FILE")
    file = None if source else _written(before)
    edited = _from_editor(file) if file else _read(str(source))
    if _editable(edited) == before:
        if file:
            file.unlink()
        click.echo("Nothing was changed.")
        return
    # The agent has masked the key wherever the event has it.
    for masked in (mask(key), json.dumps(mask(key))[1:-1]):
        edited = edited.replace(masked.encode(), key.encode())
    kind: EventKind = old.kind  # type: ignore[assignment]
    body = with_key(edited, KEY_NAMES[kind], key)
    try:
        new = _accepted(session, kind, body, old.id)
    except CommandFailed as failure:
        if file is None:
            raise
        again = session.command("queue", "edit", old.id, "--from", str(file))
        raise CommandFailed(
            f"{failure}; your text is in {file}: correct it there, then run '{again}'",
            failure.exit_code,
        ) from None
    if file:
        file.unlink()
    for warning in new.warnings:
        say("warning", warning)
    if receipt == "json":
        echo_json(new.as_json())
    elif receipt is None:
        click.echo(RECEIPTS[kind].format(new.incident_key or new.dedup_key))
    _discard(session, old, new)


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _accepted(session: Session, kind: EventKind, body: bytes, old: str) -> AgentReceipt:
    # Derived, so that the same edit may be repeated if it isn't known whether it was stored.
    repeatable = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{old}\n{body!r}"))
    with session.agent(UNDONE) as client:
        try:
            return client.send(kind, body, idempotency_key=repeatable)
        except NoAnswer as error:
            raise CommandFailed(
                f"it isn't known whether the corrected event is stored ({error}): the same edit "
                "can be repeated, nothing is stored twice"
            ) from None


def _discard(session: Session, old: Shown, receipt: AgentReceipt) -> None:
    stored = f"the corrected event is stored as {receipt.key}"
    with session.agent(f"{stored}, the old one is not discarded") as client:
        changed = client.change("discard", ids=[old.id], reason=f"replaced by {receipt.key}")
    for refused in changed.refused:
        why = session.with_options(refused.error)
        raise CommandFailed(f"{stored}, the old one is not discarded: {why}")


def _editable(event: bytes) -> bytes:
    """An event as JSON to edit, without its key and what the agent adds again.

    What is no JSON object stays as it is: the agent says what is wrong with it.
    """
    try:
        members = rawjson.read(event)[0]
    except rawjson.MalformedJsonError:
        return event
    for name in (*KEY_NAMES.values(), "agent"):
        members.pop(name, None)
    return msgspec.json.format(rawjson.write(members), indent=2) + b"\n"


def _written(event: bytes) -> Path:
    descriptor, name = tempfile.mkstemp(prefix="pagerduty-agent-", suffix=".json")
    with os.fdopen(descriptor, "wb") as file:
        file.write(event)
    return Path(name)


def _from_editor(file: Path) -> bytes:
    try:
        click.edit(filename=str(file))
    except click.ClickException as error:
        raise CommandFailed(f"{error.message} ({file}); nothing was changed") from None
    return _read(str(file))


def _read(source: str) -> bytes:
    with opened(source) as file:
        return file.read(_LARGEST)
