"""Handing an event to the agent and telling the user what became of it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import click

from pdagent.cli.failures import CommandFailed, ExitCode, abandon_output, say
from pdagent.cli.output import echo_json
from pdagent.cli.session import Session
from pdagent.config import needed

if TYPE_CHECKING:
    import msgspec

    from pdagent.events import EventKind
    from pdagent.localclient import Receipt


def given(**fields: object) -> dict[str, object]:
    """`fields` without those that nothing was given for: None, empty text, empty collections."""
    return {name: value for name, value in fields.items() if value not in (None, "", {}, [], ())}


def details(
    written: Mapping[str, msgspec.Raw] | None, fields: Iterable[tuple[str, str]]
) -> dict[str, object]:
    """The details of an event: an object from a file, with single fields on top."""
    return {**(written or {}), **dict(fields)}


def submit_alert(
    session: Session,
    version: str,
    event: dict[str, object],
    form: str | None,
    *,
    idempotency_key: str | None = None,
) -> None:
    """Hand over a v1 or v2 alert event and print its receipt in `form` (see `receipt_options`).

    Raises:
        CommandFailed: It was neither taken by the agent nor spooled.
    """
    if version == "v1":
        receipt = _hand_over(session, "v1", event, idempotency_key)
        _tell(receipt, f"Event processed. Incident Key: {receipt.incident_key}", form)
    else:
        receipt = _hand_over(session, "v2", event, idempotency_key)
        _tell(receipt, f"Event processed. Dedup Key: {receipt.dedup_key}", form)


def submit_change(
    session: Session,
    event: dict[str, object],
    form: str | None,
    *,
    idempotency_key: str | None = None,
) -> None:
    """Hand over a change event and print its receipt in `form` (see `receipt_options`).

    Raises:
        CommandFailed: It was neither taken by the agent nor spooled.
    """
    receipt = _hand_over(session, "change", event, idempotency_key)
    _tell(receipt, "Change event processed.", form)


def _hand_over(
    session: Session, kind: EventKind, event: dict[str, object], idempotency_key: str | None
) -> Receipt:
    body, key = _encoded(event), idempotency_key or str(uuid.uuid4())
    with session.agent() as client:
        from pdagent.cli.explanations import without_answer
        from pdagent.localclient import NoAnswer, Unreachable

        try:
            return client.send(kind, body, idempotency_key=key)
        except NoAnswer as error:
            raise without_answer(error, session, key) from None
        except Unreachable:
            if session.loaded.config.spool is None:
                raise
            return spooled(session, kind, body, key)


def _encoded(event: dict[str, object]) -> bytes:
    try:
        return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    except TypeError:  # --details-json: values that stay as they were written
        import msgspec

        return msgspec.json.encode(event)


def spooled(session: Session, kind: EventKind, body: bytes, key: str) -> Receipt:
    """Store an event in the configured spool, for an agent that is down.

    `key` is its Idempotency-Key; the receipt is the one that it will come to.

    Raises:
        CommandFailed: The event is invalid, or the spool can't be written.
    """
    directory = needed(session.loaded.config.spool)
    from pdagent.events import InvalidEvent, parse
    from pdagent.events.ids import repeatable_event_id
    from pdagent.localclient import Receipt
    from pdagent.spool import SpooledEvent, put

    try:
        event = parse(kind, body)
        put(directory, SpooledEvent(kind=kind, body=body, idempotency_key=key))
    except InvalidEvent as invalid:
        raise CommandFailed(str(invalid), ExitCode.USAGE) from None
    except OSError as error:
        raise CommandFailed(
            f"the agent can't be reached, and the spool {directory} can't be written "
            f"({error.strerror}): nothing was stored",
            ExitCode.UNREACHABLE,
        ) from None
    say("warning", f"the agent is down: the event waits in {directory} until it runs again")
    event_id = repeatable_event_id(event.routing_key, key)
    dedup_key = event.dedup_key or event_id
    return Receipt(
        key=event_id,
        incident_key=dedup_key if kind == "v1" else "",
        dedup_key=dedup_key if kind == "v2" else "",
        warnings=event.warnings,
    )


def _tell(receipt: Receipt, text: str, form: str | None) -> None:
    for warning in receipt.warnings:
        say("warning", warning)
    try:
        if form == "json":
            echo_json(receipt.as_json())
        elif form is None:
            click.echo(text)
    except OSError as error:
        # The event is stored: a failure here would make a script send it a second time.
        abandon_output()
        say("warning", f"the event is stored, its receipt could not be printed: {error.strerror}")
