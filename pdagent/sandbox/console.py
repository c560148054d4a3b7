"""What the stand-in prints: that it is ready, and one line per event."""

from __future__ import annotations

import os
import queue
import signal
import threading
from datetime import datetime

import msgspec

from pdagent.masking import mask
from pdagent.sandbox.received import Received

_LONGEST_QUEUE = 10_000
_LONGEST_DEDUP_KEY = 40
_LONGEST_SUMMARY = 80
_PATIENCE_AT_THE_END = 1.0


class Console:
    """Writes lines to a file descriptor from a thread of its own.

    So a terminal that stands still, or a pipe that nobody reads, doesn't hold up the answers: lines
    that can't be written in time are left out, and their number is said.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lines: queue.Queue[str | None] = queue.Queue(_LONGEST_QUEUE)
        self._left_out = 0
        self._thread = threading.Thread(target=self._run, name="console", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Print one line, without its line end; returns at once."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._left_out += 1

    def close(self) -> None:
        """Print what is left, unless that takes longer than a second."""
        try:
            self._lines.put(None, timeout=_PATIENCE_AT_THE_END)
        except queue.Full:
            return
        self._thread.join(_PATIENCE_AT_THE_END)

    def _run(self) -> None:
        # Signals are for the main thread, which decides when they may still end the process.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        open_ended = True
        while open_ended:
            lines = [self._lines.get()]
            while not self._lines.empty():
                lines.append(self._lines.get())
            open_ended = None not in lines
            if self._left_out:
                lines.append(f"({self._left_out} lines left out: the output is too slow)")
                self._left_out = 0
            text = "".join(f"{line}\n" for line in lines if line is not None)
            if not self._put_out(text.encode()):
                return

    def _put_out(self, data: bytes) -> bool:
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except OSError:
                # Nobody reads any more (`| head`): the stand-in is of use without its output.
                return False
        return True


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
