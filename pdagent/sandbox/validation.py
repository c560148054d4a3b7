"""Whether PagerDuty would take an event: by the agent's own rules, but without its repairs.

What the agent repairs with a warning is a problem here. So the sandbox refuses an event that the
agent should have repaired and did not.
"""

from __future__ import annotations

from dataclasses import dataclass

from pdagent.events.event import summary_in
from pdagent.events.kinds import EventKind
from pdagent.events.parsing import Survey
from pdagent.events.rawjson import MalformedJsonError


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a request body turned out to be.

    `errors` holds the problems and is empty for a valid event; no error repeats a key.
    `routing_key` and `dedup_key` are "" where none was given, or an invalid one; `is_json` says
    whether the body was a JSON object in UTF-8.
    """

    routing_key: str = ""
    action: str = ""
    dedup_key: str = ""
    summary: str = ""
    is_json: bool = True
    errors: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Checked(action={self.action!r}, errors={self.errors!r})"


def check(kind: EventKind, raw: bytes, header_key: str | None = None) -> Checked:
    """Check a request body; `header_key` is its header `X-Routing-Key`."""
    try:
        found = Survey(kind, raw, header_key)
    except MalformedJsonError as error:
        return Checked(is_json=False, errors=(str(error),))
    errors = (*found.problems.sentences, *found.warnings)
    return Checked(
        routing_key=found.routing_key,
        action=found.action,
        dedup_key=found.dedup_key,
        summary=summary_in(kind, found.members),
        is_json=raw.lstrip().startswith(b"{")
        and not any(error.startswith("the body:") for error in errors),
        errors=errors,
    )
