"""`pagerduty-agent config check`: each setting, where it was set, and what is wrong."""

from __future__ import annotations

import json
import math

import click

from pdagent.cli.output import ExitCode, echo_json, say
from pdagent.cli.session import Session, pass_session
from pdagent.config import StartRefused
from pdagent.config.listener import Listener
from pdagent.config.loading import Loaded
from pdagent.config.options import OPTIONS
from pdagent.masking import mask
from pdagent.wording import one_line

_OF_REGION = ("events_url", "api_url")
_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60))
_IN_SECONDS = ("give_up_after", "retention", "notify_unreachable_after")


@click.group(
    no_args_is_help=False,
    short_help="Check the configuration.",
    epilog="\b\nExample:\n  pagerduty-agent config check",
)
def config() -> None:
    """Check the configuration, without an agent."""


@config.command(
    short_help="Print each setting, where it was set, and what is wrong.",
    epilog="\b\nExample:\n  pagerduty-agent --config new.yaml config check",
)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@pass_session
@click.pass_context
def check(context: click.Context, session: Session, *, as_json: bool) -> None:
    """Print each setting, where it was set, and what is wrong with it.

    Options stand above the environment, that above the config file, that above defaults.
    Credentials are masked. Exit status 1 if an agent could not start with these settings.
    """
    loaded, errors = session.checked()
    problems = [*map(str, errors), *loaded.unread.values()]
    warnings = [*loaded.warnings, *loaded.config.listener_warnings()]
    if not problems:
        try:
            loaded.config.check()
        except StartRefused as error:
            problems.append(str(error))
    rows = [(name, _value(loaded, name), loaded.origins.get(name, "default")) for name in OPTIONS]
    if as_json:
        settings = [dict(zip(("name", "value", "source"), row, strict=True)) for row in rows]
        file = str(loaded.file) if loaded.file else None
        told = {"file": file, "settings": settings, "problems": problems, "warnings": warnings}
        echo_json(json.dumps(told, ensure_ascii=False))
    else:
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        for name, value, source in rows:
            click.echo(f"{name:<{widths[0]}}  {value:<{widths[1]}}  {source}")
    for warning in warnings:
        say("warning", warning)
    for problem in problems:
        say("error", problem)
    context.exit(ExitCode.FAILED if problems else ExitCode.DONE)


def _value(loaded: Loaded, name: str) -> str:
    """The setting as one line without credentials."""
    value = getattr(loaded.config, name)
    if name in ("secret", "relay_secret", "accept_secrets"):
        return "(set)" if value else "none"
    if name == "routing_keys" and value:
        return ", ".join(f"{named}: {mask(key)}" for named, key in value.items())
    if name == "notify_routing_key" and value:
        return mask(value)
    if name not in loaded.origins and name not in _OF_REGION:
        return OPTIONS[name].shown
    return one_line(_text(name, value)) or "none"


def _text(name: str, value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case float() if name in _IN_SECONDS:
            return _time(value)
        case tuple():
            return ", ".join(map(_item, value))
        case _:
            return str(value)


def _item(item: object) -> str:
    match item:
        case Listener():
            return f"https://{item.address}" if item.tls_cert else item.address
        case (str(host), port):
            where = f"[{host}]" if ":" in host else host
            return where if port is None else f"{where}:{port}"
        case _:
            return str(item)


def _time(seconds: float) -> str:
    if math.isinf(seconds):
        return "never"
    for unit, length in _UNITS:
        if seconds % length == 0:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:g}s"
