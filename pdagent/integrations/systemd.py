"""systemd's `OnFailure=` and `OnSuccess=`: the end of a unit, as an event."""

from __future__ import annotations

from collections.abc import Mapping

from pdagent.integrations.event import Event, v2

_WORDS = {"MONITOR_SERVICE_RESULT": "result", "MONITOR_EXIT_STATUS": "exit_status"}
"""What systemd (251 and later) says of the unit, and what it is called in the details."""


def unit_event(
    action: str,
    unit: str,
    host: str,
    environment: Mapping[str, str],
    journal: str,
    occurred_at: float,
) -> Event:
    """The event about a unit: `action` is trigger or resolve.

    `environment` has systemd's `MONITOR_` variables, `journal` the last lines of the unit's
    journal, if they are known.
    """
    details = {word: environment[name] for name, word in _WORDS.items() if environment.get(name)}
    how = "succeeded" if action == "resolve" else "failed"
    if action == "trigger" and "result" in details:
        how += f" ({' '.join(details.values())})"
    if journal:
        details["journal"] = journal
    body = v2(
        action,
        f"systemd/{host}/{unit}",
        f"{unit} on {host} {how}",
        source=host,
        severity="info" if action == "resolve" else "error",
        details=details,
        occurred_at=occurred_at,
        component=unit,
        client="systemd",
    )
    return Event("v2", body)
