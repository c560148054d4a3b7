"""A queue directory as PagerDuty's Python agent leaves it, with files written as it writes them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

FOLDERS = {"err": 0o2750, "suc": 0o2750, "tmp": 0o2753, "pdq": 0o2753}
FIRST = 1_700_000_000_000_000
"""The time of the event with number 0, in microseconds; each number is a second."""


class PythonAgentQueue:
    """`/var/lib/pdagent/outqueue` of a host."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name, mode in FOLDERS.items():
            (directory / name).mkdir(parents=True)
            (directory / name).chmod(mode)

    def put(self, folder: str, number: int, event: dict[str, Any]) -> Path:
        """Write an event that was queued at `number` into `pdq`, `err` or `suc`."""
        body = json.dumps(event, separators=(",", ":"), sort_keys=True).encode()
        return self.put_bytes(
            folder, f"{FIRST + number * 1_000_000}_{event['service_key']}.txt", body
        )

    def put_bytes(self, folder: str, name: str, body: bytes) -> Path:
        """Write a file as `pd-send` and the agent do: whole, under a name that is new."""
        temporary, path = self.directory / "tmp" / name, self.directory / "pdq" / name
        temporary.write_bytes(body)
        temporary.chmod(0o644)
        os.link(temporary, path)
        temporary.unlink()
        return path if folder == "pdq" else path.rename(self.directory / folder / name)

    def names(self, folder: str) -> list[str]:
        """The files in a folder."""
        return sorted(path.name for path in (self.directory / folder).iterdir())


def event(
    key: str, action: str = "trigger", incident: str | None = None, **members: Any
) -> dict[str, Any]:
    """An event as `pd-send` builds it."""
    given: dict[str, Any] = {
        "agent": {
            "agent_id": "8f2f6c1e-3a3b-4a9e-9d1c-5a1f0c2d7b60",
            "queued_at": "2023-11-14T22:13:20Z",
            "queued_by": "pd-send",
        },
        "details": {},
        "event_type": action,
        "service_key": key,
        **members,
    }
    if incident is not None:
        given["incident_key"] = incident
    if action == "trigger":
        given.setdefault("description", "disk usage on /var is 97%")
    return given
