"""What the commands share that a monitoring daemon runs, once a notification.

Such a daemon repeats nothing and shows no output: whatever can be sent is, and the rest is warned
about; failures go to syslog as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from pdagent.cli.completion import names_of_keys
from pdagent.cli.output import CommandFailed, ExitCode, say
from pdagent.cli.parameters import (
    at_option,
    lenient_field_option,
    link_option,
    receipt_options,
    text,
)
from pdagent.cli.session import Session
from pdagent.cli.submission import submit
from pdagent.integrations.event import Event, Nothing, is_web_address
from pdagent.integrations.nagios import is_resolved
from pdagent.masking import is_routing_key

_Command = TypeVar("_Command", bound=Callable[..., object])


def alert_options(command: _Command) -> _Command:
    """The options that all tools' alerts have."""
    for option in (
        receipt_options,
        at_option,
        link_option,
        lenient_field_option,
        click.option(
            "-y",
            "--dedup-key",
            type=text,
            # One key for all alerts, as a macro without a value would be, hides all but the first.
            callback=lambda _context, _option, key: key if key and is_resolved(key) else None,
            help="Which alert, instead of one made of the names.",
        ),
        click.option(
            "-k",
            "--routing-key",
            "keys",
            type=text,
            shell_complete=names_of_keys,
            multiple=True,
            help="Integration key, or @NAME of one in the config. Repeated: the first that has a "
            "value.",
        ),
    ):
        command = option(command)
    return command


def fields_of(given: Sequence[str]) -> dict[str, str]:
    """The fields of `-f KEY=VALUE`, split at the first `=`; others are left out with a warning."""
    fields = {}
    for each in given:
        name, equals, value = each.partition("=")
        if name and equals:
            fields[name] = value
        else:
            say("warning", f"-f {each!r} is left out: it is not of the form KEY=VALUE")
    return fields


def links_of(options: Mapping[str, Any]) -> tuple[dict[str, str], ...]:
    """The links of `--link`; one that leads nowhere is left out with a warning."""
    links = []
    for href, name in options["links"]:
        if is_web_address(href):
            links.append({"href": href, "text": name} if name else {"href": href})
        elif href:
            say("warning", f"--link {href!r} is left out: it is no http address")
    return tuple(links)


def hand_over(
    session: Session,
    event: Event | Nothing,
    options: Mapping[str, Any],
    *,
    keys: Sequence[str],
    occurred_at: float,
) -> None:
    """Send an event under the first usable one of `keys`, without what makes it invalid.

    Raises:
        click.UsageError: There is no key.
        CommandFailed: It was neither accepted by the agent nor spooled.
    """
    if isinstance(event, Nothing):
        if options["receipt"] is None:
            click.echo(event.why)
        return
    key = _first_usable(session, keys)
    for warning in event.warnings:
        say("warning", warning)
    options = {**options, "routing_key": key}
    if event.is_too_large:
        say("warning", "all that is optional is left out: PagerDuty takes no larger events")
        event = event.bare()
    try:
        submit(session, event.kind, event.body, options, occurred_at, repeats=False)
    except CommandFailed as refused:
        if refused.exit_code != ExitCode.USAGE or not is_routing_key(key):
            raise
        say("warning", f"all that is optional is left out: {refused}")
        submit(session, event.kind, event.bare().body, options, occurred_at, repeats=False)


def _first_usable(session: Session, keys: Sequence[str]) -> str:
    found, unknown = [], []
    for given in filter(is_resolved, keys):
        try:
            found.append(session.routing_key(given.strip()))
        except click.UsageError as error:
            unknown.append(error)
    if not found:
        raise unknown[0] if unknown else click.UsageError("Missing option '-k'.")
    for problem in unknown:
        say("warning", problem.message)
    return next(filter(is_routing_key, found), found[0])
