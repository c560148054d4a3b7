"""Zabbix: the three arguments of an alert script become an event.

The body has lines `name:value`, such as `id:{TRIGGER.ID}`.
"""

from __future__ import annotations

from collections.abc import Mapping

from pdagent.integrations.event import Event, Unusable, is_web_address, v1, v2

_ACTIONS = ("trigger", "acknowledge", "resolve")
_WELL = ("OK", "RESOLVED", "0")
# By number (`{EVENT.NSEVERITY}`) and by name (`{EVENT.SEVERITY}`).
_NAMES = ("not classified", "information", "warning", "average", "high", "disaster")
_LEVELS = ("info", "info", "warning", "warning", "error", "critical")
_SEVERITIES = dict(zip((*map(str, range(6)), *_NAMES), _LEVELS * 2, strict=True))
# Of an action, host or trigger that was disabled: nothing else would end its incident.
_CANCELLED = "Escalation cancelled"
_CONVERTED = " (converted from trigger to resolve by pdagent integration)"


def parse_body(body: str) -> dict[str, str]:
    """The fields of a body. A line without a colon continues the value before it."""
    fields: dict[str, str] = {}
    name = None
    for line in body.strip().split("\n"):
        before, colon, after = line.strip().partition(":")
        if colon:
            name = before
            fields[name] = after
        elif name is not None:
            fields[name] += before
        else:
            fields[before] = before
    return fields


def v1_event(event_type: str, fields: Mapping[str, str]) -> Event:
    """What `pd-zabbix` made of an alert; `event_type` is trigger, acknowledge or resolve.

    Raises:
        Unusable: It is none of these, or a field that `pd-zabbix` insisted on is missing.
    """
    if event_type not in _ACTIONS:
        raise Unusable(f"{event_type!r} is none of {', '.join(_ACTIONS)}")
    fields = dict(fields)
    for name in ("name", "status", "hostname"):
        if name not in fields:
            raise Unusable(f"the body has no line '{name}:...', and one is needed")
    event_type = _with_end(event_type, fields)
    body = v1(event_type, _key(fields), _description(fields), fields, "pd-zabbix")
    url = fields.get("url", "")
    return Event("v1", {**body, "client": "Zabbix", "client_url": url} if url else body)


def v2_event(
    action: str,
    fields: Mapping[str, str],
    *,
    occurred_at: float,
    dedup_key: str | None = None,
    links: tuple[Mapping[str, str], ...] = (),
) -> Event:
    """An alert with the severity of the trigger.

    Raises:
        Unusable: There is neither an id with a hostname nor an incident_key.
    """
    fields, warnings = dict(fields), []
    status = fields.get("status", "").strip()
    if action not in _ACTIONS:
        warnings.append(f"{action!r} is none of {', '.join(_ACTIONS)}: the status decides")
        action = "resolve" if status.upper() in _WELL else "trigger"
    action = _with_end(action, fields)
    severity = fields.get("severity", "").strip()
    if severity.lower() not in _SEVERITIES:
        warnings.append(f"severity {severity!r} is none of Zabbix: it is error")
    url = fields.get("url", "").strip()
    if url and not is_web_address(url):
        warnings.append(f"url: {url!r} is left out: it is no http address")
        url = ""
    body = v2(
        action,
        dedup_key or _key(fields),
        _description(fields),
        source=fields.get("hostname", "").strip() or "Zabbix",
        severity=_SEVERITIES.get(severity.lower(), "error"),
        details=fields,
        occurred_at=occurred_at,
        links=links,
        client="Zabbix",
        client_url=url,
    )
    return Event("v2", body, tuple(warnings))


def _with_end(action: str, fields: dict[str, str]) -> str:
    if action == "trigger" and _CANCELLED in fields.get("NOTE", ""):
        fields["NOTE"] += _CONVERTED
        return "resolve"
    return action


def _key(fields: Mapping[str, str]) -> str:
    if given := fields.get("incident_key"):
        return given
    if "id" not in fields or "hostname" not in fields:
        raise Unusable("no key: the body needs lines 'id:...' and 'hostname:...', or incident_key")
    return f"{fields['id']}-{fields['hostname']}"


def _description(fields: Mapping[str, str]) -> str:
    name, status, host = (fields.get(each, "?") for each in ("name", "status", "hostname"))
    return f"{name} : {status} for {host}"
