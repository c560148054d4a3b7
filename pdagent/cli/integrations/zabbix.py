"""`pagerduty-agent zabbix`, for alert scripts of Zabbix, and go-pdagent's `zabbix enqueue`."""

from __future__ import annotations

from typing import Any

import click

from pdagent.cli.endings import LoggedCommand
from pdagent.cli.integrations.notifying import (
    alert_options,
    fields_of,
    hand_over,
    links_of,
)
from pdagent.cli.parameters import text
from pdagent.cli.session import Session, pass_session
from pdagent.cli.submission import time_of
from pdagent.integrations.zabbix import parse_body, v1_event, v2_event

# The body's names of what the options give.
_NAMES = {"trigger_id": "id", "host": "hostname"}
_NAMES |= {name: name for name in ("name", "status", "severity", "url")}


@click.command(
    cls=LoggedCommand,
    short_help="Queue an alert of Zabbix.",
    epilog="\b\nExample:\n  pagerduty-agent zabbix -k @database -t trigger --id 13502 --host db1 "
    "\\\n    --name 'Disk full' --status PROBLEM --severity 4",
)
@click.argument("arguments", metavar="[KEY TYPE BODY]", type=text, nargs=-1)
@click.option("-t", "--type", "action", type=text, help="trigger, acknowledge or resolve.")
@click.option("--id", "trigger_id", type=text, help="The trigger. [{TRIGGER.ID}]")
@click.option("--host", type=text, help="The host. [{HOST.NAME}]")
@click.option("--name", type=text, help="What is wrong. [{EVENT.NAME}]")
@click.option("--status", type=text, help="PROBLEM or OK. [{TRIGGER.STATUS}]")
@click.option("--severity", type=text, help="0 to 5, or its name. [{EVENT.NSEVERITY}]")
@click.option("--url", type=text, help="Where to look at it. [{TRIGGER.URL}]")
@alert_options
@pass_session
def zabbix(session: Session, /, **options: Any) -> None:
    """Queue an alert of Zabbix (Events API v2), from options or from a script's three parameters.

    Those are {ALERT.SENDTO}, {ALERT.SUBJECT} and {ALERT.MESSAGE}: the integration key or @NAME;
    trigger, acknowledge or resolve; lines such as 'id:{TRIGGER.ID}' with id, hostname, name,
    status, severity and url. The key is that of pd-zabbix. 'zabbix enqueue' is go-pdagent's.
    """
    if len(options["arguments"]) not in (0, 3):
        raise click.UsageError("KEY, TYPE and BODY go together: give all three or use options.")
    key, action, body = options["arguments"] or ("", "", "")
    given = {name: options[option] for option, name in _NAMES.items() if options[option]}
    occurred_at = time_of(options)
    event = v2_event(
        options["action"] or action,
        {**(parse_body(body) if body else {}), **given, **fields_of(options["fields"])},
        occurred_at=occurred_at,
        dedup_key=options["dedup_key"],
        links=links_of(options),
    )
    hand_over(session, event, options, keys=[*options["keys"], key], occurred_at=occurred_at)


@click.command(
    cls=LoggedCommand,
    epilog="\b\nExample:\n  pagerduty-agent zabbix enqueue @database trigger "
    "$'id:13502\\nhostname:db1\\nname:Disk full\\nstatus:PROBLEM'",
)
@click.argument("key", type=text)
@click.argument("event_type", metavar="TYPE", type=text)
@click.argument("body", type=text)
@pass_session
def enqueue(session: Session, *, key: str, event_type: str, body: str) -> None:
    """Queue an alert of Zabbix as go-pdagent does (Events API v1); prints the receipt as JSON."""
    event = v1_event(event_type, parse_body(body))
    hand_over(session, event, {"receipt": "json"}, keys=[key], occurred_at=time_of({}))
