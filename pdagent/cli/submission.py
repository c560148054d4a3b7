"""Handing an event to the agent and telling the user what became of it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import click
import msgspec

from pdagent.cli.failures import abandon_output, say
from pdagent.cli.session import Session

if TYPE_CHECKING:
    from pdagent.localclient import Receipt


def given(**fields: object) -> dict[str, object]:
    """`fields` without those that nothing was given for: None, empty text, empty collections."""
    return {name: value for name, value in fields.items() if value not in (None, "", {}, [], ())}


def details(
    written: Mapping[str, msgspec.Raw] | None, fields: Iterable[tuple[str, str]]
) -> dict[str, object]:
    """The details of an event: an object from a file, with single fields on top."""
    return {**(written or {}), **dict(fields)}


def submit_alert(session: Session, version: str, event: dict[str, object], as_json: bool) -> None:
    """Hand over a v1 or v2 alert event and print its receipt.

    Raises:
        CommandFailed: The agent didn't take it.
    """
    body = msgspec.json.encode(event)
    with session.agent() as client:
        key = str(uuid.uuid4())
        receipt = client.send("v1" if version == "v1" else "v2", body, idempotency_key=key)
    if version == "v1":
        _tell(receipt, f"Event processed. Incident Key: {receipt.incident_key}", as_json)
    else:
        _tell(receipt, f"Event processed. Dedup Key: {receipt.dedup_key}", as_json)


def submit_change(session: Session, event: dict[str, object], as_json: bool) -> None:
    """Hand over a change event and print its receipt.

    Raises:
        CommandFailed: The agent didn't take it.
    """
    body = msgspec.json.encode(event)
    with session.agent() as client:
        receipt = client.send_change(body, idempotency_key=str(uuid.uuid4()))
    _tell(receipt, "Change event processed.", as_json)


def _tell(receipt: Receipt, text: str, as_json: bool) -> None:
    for warning in receipt.warnings:
        say("warning", warning)
    try:
        click.echo(msgspec.json.encode(receipt).decode() if as_json else text)
    except OSError as error:
        # The event is stored: a failure here would make a script send it a second time.
        abandon_output()
        say("warning", f"the event is stored, its receipt could not be printed: {error.strerror}")
