"""Nagios and Icinga 2: macros become events. Checkmk, which has its macros from Nagios, uses this.

`fields` are macros by name: HOSTNAME, SERVICEDESC, SERVICESTATE...
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pdagent.integrations.event import (
    Event,
    Nothing,
    Unusable,
    first_line,
    is_web_address,
    v1,
    v2,
)

OBJECTS = ("service", "host")
"""What a notification is about."""

_REQUIRED = {
    "service": ("SERVICEDESC", "SERVICESTATE", "HOSTNAME"),
    "host": ("HOSTNAME", "HOSTSTATE"),
}
_ACTIONS = {"PROBLEM": "trigger", "ACKNOWLEDGEMENT": "acknowledge", "RECOVERY": "resolve"}
# Nagios sends no RECOVERY for what recovers while it flaps or in a downtime, only these.
_ENDS = {"FLAPPINGSTOP", "FLAPPINGEND", "FLAPPINGDISABLED"}
_ENDS |= {"DOWNTIMEEND", "DOWNTIMECANCELLED", "DOWNTIMEREMOVED"}
_DURING_A_PROBLEM = {"FLAPPINGSTART", "CUSTOM"}
_NEVER = {"DOWNTIMESTART"}
TYPES = (*_ACTIONS, *sorted(_ENDS | _DURING_A_PROBLEM | _NEVER))
"""Types of notifications."""

_WELL = ("OK", "UP")
_SEVERITIES = {
    "OK": "info",
    "UP": "info",
    "WARNING": "warning",
    "UNKNOWN": "error",
    "UNREACHABLE": "error",
    "CRITICAL": "critical",
    "DOWN": "critical",
}
# What is left of a macro without a value: `$NAME$`, or `$` behind a shell.
_UNRESOLVED = re.compile(r"\$\w*\$?")


def v1_event(
    about: str,
    notification_type: str,
    fields: Mapping[str, str],
    incident_key: str | None = None,
    *,
    host_first: bool = False,
) -> Event | Nothing:
    """What `pd-nagios` made of a notification about a `service` or a `host`.

    With `host_first` the description is that of go-pdagent's `nagios enqueue`.

    Raises:
        Unusable: One of the macros that both insist on is missing.
    """
    needed = _REQUIRED[about]
    if missing := [name for name in needed if name not in fields]:
        raise Unusable(f"a {about} needs {_listed(needed)}: -f {missing[0]}=... is missing")
    action = action_of(notification_type, fields[f"{about.upper()}STATE"])
    if action is None:
        return _nothing(notification_type)
    if host_first:
        needed = ("HOSTNAME", *(name for name in needed if name != "HOSTNAME"))
    description = "; ".join(f"{name}={fields[name]}" for name in needed)
    details = {**fields, "pd_nagios_object": about}
    key = incident_key or incident_key_of(about, fields)
    return Event("v1", v1(action, key, description, details, "pd-nagios"))


def v2_event(
    notification_type: str,
    fields: Mapping[str, str],
    *,
    occurred_at: float,
    dedup_key: str | None = None,
    links: tuple[Mapping[str, str], ...] = (),
) -> Event | Nothing:
    """An alert with all that the macros tell; about a service if there is a SERVICEDESC.

    Raises:
        Unusable: There is no HOSTNAME.
    """
    fields = {name: value for name, value in fields.items() if is_resolved(value)}
    if "HOSTNAME" not in fields:
        raise Unusable("--host is missing: it takes the name of the host ($HOSTNAME$)")
    about = "service" if "SERVICEDESC" in fields else "host"
    key = dedup_key or incident_key_of(about, fields)
    return alert(notification_type, about, key, fields, occurred_at=occurred_at, links=links)


def alert(
    notification_type: str,
    about: str,
    key: str,
    fields: Mapping[str, str],
    *,
    occurred_at: float,
    action: str | None = None,
    links: tuple[Mapping[str, str], ...] = (),
    client: str = "",
) -> Event | Nothing:
    """The alert `key` about HOSTNAME, and SERVICEDESC for a service.

    `action` is for a tool whose rule for this type differs.
    """
    warnings = []
    state = fields.get(f"{about.upper()}STATE", "")
    if state.upper() not in _SEVERITIES:
        warnings.append(f"state {state!r} is none of a {about}: the severity is error")
    if notification_type.upper() not in TYPES:
        warnings.append(f"{notification_type!r} is no type of notification: the state decides")
    action = action or action_of(notification_type, state)
    if action is None:
        return _nothing(notification_type)
    host, service = fields["HOSTNAME"], fields.get("SERVICEDESC", "")
    notes = fields.get(f"{about.upper()}NOTESURL", "")
    if is_web_address(notes):
        links = (*links, {"href": notes, "text": "Notes"})
    elif notes:
        warnings.append(f"notes {notes!r} are left out: they are no http address")
    subject = f"{service} on {host}" if about == "service" else host
    output = first_line(fields.get(f"{about.upper()}OUTPUT", ""))
    body = v2(
        action,
        key,
        f"{subject} is {state or 'in an unknown state'}" + (f": {output}" if output else ""),
        source=host,
        severity=_SEVERITIES.get(state.upper(), "error"),
        component=service if about == "service" else "",
        details={name: _with_line_ends(name, value) for name, value in fields.items()},
        occurred_at=occurred_at,
        links=links,
        client=client,
    )
    return Event("v2", body, tuple(warnings))


def action_of(notification_type: str, state: str) -> str | None:
    """The event's action; None if the notification needs none.

    An unknown type counts as the end of a downtime: what is not well triggers.
    """
    name, is_well = notification_type.upper(), state.upper() in _WELL
    if name in _ACTIONS:
        return _ACTIONS[name]
    if name in _NEVER or (name in _DURING_A_PROBLEM and is_well):
        return None
    return "resolve" if is_well else "trigger"


def incident_key_of(about: str, fields: Mapping[str, str]) -> str:
    """The key that PagerDuty's agents gave an incident. No problem id: hosts recover with 0."""
    if about == "service":
        host, service = fields["HOSTNAME"], fields["SERVICEDESC"]
        return f"event_source=service;host_name={host};service_desc={service}"
    return f"event_source=host;host_name={fields['HOSTNAME']}"


def is_resolved(value: str) -> bool:
    """Whether a macro's value is one: not blank, and not the macro itself."""
    return bool(value.strip()) and _UNRESOLVED.fullmatch(value.strip()) is None


def _with_line_ends(name: str, value: str) -> str:
    """Nagios writes the line ends of long output as `\\n`."""
    return value.replace("\\n", "\n") if name.startswith("LONG") else value


def _nothing(notification_type: str) -> Nothing:
    return Nothing(f"Nothing to send: {notification_type} needs no event.")


def _listed(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
