"""What the stand-in prints: one line per event."""

from __future__ import annotations

import contextlib
import os
from datetime import datetime

import msgspec

from pdagent.masking import mask
from pdagent.sandbox.received import Received

_STANDARD_OUTPUT = 1
_LONGEST_DEDUP_KEY = 40
_LONGEST_SUMMARY = 80


def write(line: str) -> None:
    """Print one line; nothing happens if its reader has gone (`| head`)."""
    with contextlib.suppress(OSError):
        os.write(_STANDARD_OUTPUT, f"{line}\n".encode())


def event_line(received: Received) -> str:
    """One readable line: time, status, kind, action, masked key, dedup key, summary or errors."""
    checked = received.checked
    clock = datetime.fromtimestamp(received.at).strftime("%H:%M:%S.%f")[:-3]
    key = mask(checked.routing_key) if checked.routing_key else "no key"
    note = "; ".join(checked.errors) if checked.errors else checked.summary
    if received.effect == "dropped":
        note = f"(dropped: no open alert) {note}".rstrip()
    return "  ".join(
        (
            clock,
            "---" if received.status is None else str(received.status),
            received.kind.ljust(6),
            (checked.action or "?").ljust(11),
            key.ljust(9),
            _printable(received.dedup_key, _LONGEST_DEDUP_KEY) or "-",
            _printable(note, _LONGEST_SUMMARY),
        )
    ).rstrip()


def event_json(received: Received) -> str:
    """The same for machines: one JSON object on one line, its key masked."""
    checked = received.checked
    shown = {
        "n": received.n,
        "at": received.at,
        "status": received.status,
        "kind": received.kind,
        "action": checked.action,
        "routing_key": mask(checked.routing_key),
        "dedup_key": received.dedup_key,
        "summary": checked.summary,
        "effect": received.effect,
        "errors": checked.errors,
    }
    return msgspec.json.encode(shown).decode()


def _printable(text: str, longest: int) -> str:
    # What arrives from outside must not steer the terminal.
    shown = "".join(character if character.isprintable() else "·" for character in text)
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"
