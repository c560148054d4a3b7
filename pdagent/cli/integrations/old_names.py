"""`pd-send`, `pd-queue`, `pd-nagios`, `pd-zabbix`, `pd-sensu`: the Python agent's programs.

Options, events (Events API v1) and output are the old ones; so is argparse, which takes beginnings
of options.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any, NoReturn

import click

from pdagent.cli.endings import ended, failures_logged
from pdagent.cli.integrations.notifying import fields_of, hand_over
from pdagent.cli.output import CommandFailed, ExitCode
from pdagent.cli.parameters import text
from pdagent.cli.session import LOOKED, UNDONE, Session
from pdagent.cli.submission import time_of
from pdagent.integrations import nagios as nagios_events
from pdagent.integrations import sensu as sensu_events
from pdagent.integrations import zabbix as zabbix_events
from pdagent.integrations.event import Event, Nothing, short_key, stamp
from pdagent.wording import one_line


def send() -> int:
    """Run `pd-send`."""
    return _ended(_send)


def queue() -> int:
    """Run `pd-queue`."""
    return _ended(_queue)


def nagios() -> int:
    """Run `pd-nagios`."""
    return _ended(_nagios)


def zabbix() -> int:
    """Run `pd-zabbix`."""
    return _ended(_zabbix)


def sensu() -> int:
    """Run `pd-sensu`."""
    return _ended(_sensu)


def _send(session: Session) -> None:
    parser = _Parser("pd-send", "Queue a trigger, acknowledge or resolve event.")
    parser.add("-k", "--service-key", required=True, help="integration key, or @NAME of one")
    types = ("trigger", "acknowledge", "resolve")
    parser.add("-t", "--event-type", required=True, choices=types, help="what to do")
    parser.add("-d", "--description", help="what happened; needed to trigger")
    parser.add("-i", "--incident-key", help="which incident; needed to acknowledge or resolve")
    parser.add("-c", "--client", help="name of the tool that saw it")
    parser.add("-u", "--client-url", help="where to look at it in that tool")
    parser.add("-f", "--field", action="append", help="KEY=VALUE, a detail")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing")
    given = parser.parse_args()
    if given.event_type == "trigger" and not (given.description or "").strip():
        parser.error("to trigger, -d/--description is needed")
    if given.event_type != "trigger" and not given.incident_key:
        parser.error(f"to {given.event_type}, -i/--incident-key is needed")
    optional = {
        "incident_key": given.incident_key and short_key(given.incident_key),
        "description": given.description,
        "client": given.client,
        "client_url": given.client_url,
    }
    event = {
        "event_type": given.event_type,
        **{name: value for name, value in optional.items() if value is not None},
        "details": fields_of(given.field or []),
        "agent": stamp("pd-send"),
    }
    hand_over(
        session,
        Event("v1", event),
        {"receipt": "quiet" if given.quiet else None},
        keys=[given.service_key],
        occurred_at=time_of({}),
    )


def _nagios(session: Session) -> None:
    parser = _Parser("pd-nagios", "Queue a notification of Nagios or Icinga 2.")
    parser.add("-k", "--service-key", required=True, help="integration key, or @NAME of one")
    types, objects = nagios_events.TYPES, nagios_events.OBJECTS
    parser.add("-t", "--event-type", required=True, choices=types, metavar="TYPE", help="what for")
    parser.add("-n", "--notification-type", required=True, choices=objects, help="what it is about")
    parser.add("-i", "--incident-key", help="which incident")
    parser.add("-f", "--field", action="append", help="KEY=VALUE, a detail")
    given = parser.parse_args()
    event = nagios_events.v1_event(
        given.notification_type, given.event_type, fields_of(given.field or []), given.incident_key
    )
    _hand_over(session, event, given.service_key, receipt=None)


def _zabbix(session: Session) -> None:
    # Not argparse: a body may begin with anything.
    arguments = [text(each) for each in sys.argv[1:4]]
    if len(arguments) < 3:
        raise CommandFailed("usage: pd-zabbix KEY trigger|acknowledge|resolve BODY", ExitCode.USAGE)
    key, event_type, body = arguments
    event = zabbix_events.v1_event(event_type, zabbix_events.parse_body(body))
    _hand_over(session, event, key)


def _sensu(session: Session) -> None:
    from pdagent.cli.integrations.sensu import document

    parser = _Parser("pd-sensu", "Queue the Sensu event on standard input.")
    parser.add("-k", "--integration-key", required=True, help="integration key, or @NAME of one")
    parser.add("-i", "--incident-key", help="which incident")
    given = parser.parse_args()
    event = sensu_events.v1_event(document(), given.incident_key)
    _hand_over(session, event, given.integration_key)


def _queue(session: Session) -> None:
    parser = _Parser("pd-queue", "See or retry the events of this host's agent.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="status|retry")
    status = commands.add_parser("status", help="count the events of each key")
    status.add("-k", "--service-key", help="of this key, or @NAME of one")
    status.add_argument("--show-keys", action="store_true", help="print whole keys")
    retry = commands.add_parser("retry", help="retry events that failed")
    retry.add("-k", "--service-key", help="of this key, or @NAME of one")
    retry.add_argument("-a", "--all-keys", action="store_true", help="of all keys")
    given = parser.parse_args()
    key = given.service_key and session.routing_key(given.service_key)
    if given.command == "status":
        with session.agent(LOOKED) as client:
            rows = client.queues(key, show_keys=given.show_keys)
        for line in _table(rows) or ["Nothing to report."]:
            click.echo(line)
    elif bool(given.service_key) == given.all_keys:
        retry.error("name one key with -k, or all of them with -a")
    else:
        with session.agent(UNDONE) as client:
            changed = client.change("retry", key)
        click.echo(f"{changed.count} event(s) set up for retry.")


def _table(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return []
    head = f"{'Service Key':<35}{'Pending':>10}{'Success':>10}{'In Error':>10}"
    lines = [
        f"{one_line(str(row['routing_key'])):<35}"
        f"{row['pending']:>10}{row['success']:>10}{row['error']:>10}"
        for row in rows
    ]
    return [head, "=" * len(head), *sorted(lines)]


def _hand_over(
    session: Session, event: Event | Nothing, key: str, *, receipt: str | None = "quiet"
) -> None:
    """Send an event of a tool, with the two members that its old program wrote in any case."""
    if isinstance(event, Event):
        event = event._replace(body={"client": "", "client_url": "", **event.body})
    hand_over(session, event, {"receipt": receipt}, keys=[key], occurred_at=time_of({}))


class _Parser(ArgumentParser):
    def __init__(self, prog: str, description: str | None = None, **options: Any) -> None:
        super().__init__(prog=prog, description=description, **options)

    def add(self, *names: str, **options: Any) -> None:
        self.add_argument(*names, type=text, **options)

    def parse_args(self, *arguments: Any, **options: Any) -> Any:
        given = super().parse_args(*arguments, **options)
        for name, value in vars(given).items():
            if isinstance(value, list):
                # Python 3.11 makes an empty list of the value in `--field=--`.
                setattr(given, name, ["--" if each == [] else each for each in value] or "--")
        return given

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise click.exceptions.Exit(status)

    def error(self, message: str) -> NoReturn:
        raise CommandFailed(f"{message} ('{self.prog} --help' explains)", ExitCode.USAGE)


def _ended(work: Callable[[Session], None]) -> int:
    def logged() -> int:
        try:
            with failures_logged():
                work(Session(None, {}))
        except click.exceptions.Exit as done:
            return done.exit_code
        return ExitCode.DONE

    return ended(logged)
