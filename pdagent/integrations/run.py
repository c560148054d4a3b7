"""`run -- COMMAND`: how a command ended, as an event."""

from __future__ import annotations

from typing import NamedTuple

from pdagent.integrations.event import Event, v2
from pdagent.wording import duration

_LINES = 20


class JobEnd(NamedTuple):
    """How a job ended at `at` (seconds since 1970) after `seconds`, with the end of its output.

    `code` is what a shell says: 128 and the number of a `signal`. `timeout`: it was ended after as
    many seconds. `ran`: the command could be started at all.
    """

    code: int
    signal: str | None
    output: bytes
    seconds: float
    at: float
    timeout: float | None = None
    ran: bool = True

    @property
    def succeeded(self) -> bool:
        """With status 0, and in time."""
        return not self.code and self.timeout is None


def job_event(name: str, host: str, outcome: JobEnd) -> Event:
    """The trigger for a job that failed, the resolve for one that succeeded."""
    took = f"{outcome.seconds:.1f} s" if outcome.seconds < 60 else duration(outcome.seconds)
    lines = [line.rstrip() for line in _text(outcome.output).splitlines() if line.strip()]
    details: dict[str, object] = {"job": name, "duration_seconds": round(outcome.seconds, 3)}
    if outcome.succeeded:
        how = f"succeeded after {took}"
    elif not outcome.ran:
        how = "failed to start"
    elif outcome.timeout is not None:
        how = f"was ended by its timeout after {took}"
        details["timeout_seconds"] = outcome.timeout
    elif outcome.signal:
        how = f"was ended by {outcome.signal} after {took}"
    else:
        how = f"failed with exit status {outcome.code} after {took}"
    summary = f"{name} on {host} {how}"
    if not outcome.succeeded:
        details |= {"signal": outcome.signal} if outcome.signal else {"exit_status": outcome.code}
        if lines:
            details["output"] = "\n".join(lines[-_LINES:])
            summary += f": {lines[-1].strip()}"
    body = v2(
        "resolve" if outcome.succeeded else "trigger",
        f"run/{host}/{name}",
        summary,
        source=host,
        severity="info" if outcome.succeeded else "error",
        details=details,
        occurred_at=outcome.at,
        client="pagerduty-agent run",
    )
    return Event("v2", body)


def _text(output: bytes) -> str:
    """Whatever it is, with no half character at the beginning, and printable but for line ends."""
    text = output.decode("utf-8", "replace").lstrip("\ufffd")
    return "".join(c if c.isprintable() or c in "\n\t" else " " for c in text)
