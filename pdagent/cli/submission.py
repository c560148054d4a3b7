"""Sends an event to the agent, or stores it in the spool, and prints the receipt."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from pdagent.cli.output import CommandFailed, ExitCode, abandon_output, echo_json, say
from pdagent.cli.session import Session, not_permitted
from pdagent.config import needed
from pdagent.occurrence import process_start, read, refined

if TYPE_CHECKING:
    from pdagent.events import EventKind
    from pdagent.localclient import AgentReceipt


# How long the agent may take for an answer. It needs up to 20 seconds, and Nagios kills a command
# after 30. Where the spool takes what isn't answered, nobody need wait so long.
_SECONDS, _SECONDS_WITH_SPOOL = 25.0, 10.0

RECEIPTS: dict[EventKind, str] = {
    "v1": "Event processed. Incident Key: {}",
    "v2": "Event processed. Dedup Key: {}",
    "change": "Change event processed.",
}


def given(options: Mapping[str, Any], *names: str) -> dict[str, object]:
    """The options of these names, without those that are None or empty."""
    return {name: options[name] for name in names if options[name]}


def with_details(options: Mapping[str, Any], name: str) -> dict[str, object]:
    """The details of an event as its member `name`: `--details-json`, overridden by `--field`."""
    found = {**(options.get("details_json") or {}), **dict(options["fields"])}
    return {name: found} if found else {}


def pictures_and_links(options: Mapping[str, Any]) -> dict[str, object]:
    """`--image` and `--link`, without the parts that were not given."""
    return {
        name: [
            {part: text for part, text in one._asdict().items() if text} for one in options[name]
        ]
        for name in ("images", "links")
        if options.get(name)
    }


def time_of(options: Mapping[str, Any], number: str | None = None) -> float:
    """When the event happened, in seconds since 1970: `--at`, else the start of this process.

    `number` tells events of one second apart; see `refined`.
    """
    start, at = process_start(), options.get("at")
    if not at:
        return start
    given = read(at)
    if given is None:
        say(
            "warning",
            f"--at {at!r} is neither seconds since 1970 nor ISO 8601: this command's start is used",
        )
        return start
    counted = number is not None and number.isascii() and number.isdigit()
    return refined(given, start, int(number[-9:]) if number and counted else None)


def submit(
    session: Session,
    kind: EventKind,
    event: Mapping[str, object],
    options: Mapping[str, Any],
    occurred_at: float | None = None,
    job: Mapping[str, str] | None = None,
    *,
    repeats: bool = True,
) -> None:
    """Send an event, to which the key of `-k` is added, and print its receipt.

    `occurred_at` (seconds since 1970) is for events of an alert: it puts those in order that
    commands send at the same time. `job` are the parameters of the report of a job.
    Where nobody repeats what failed (`repeats` is false), the spool also takes what the agent
    refuses for now or does not answer.

    Raises:
        CommandFailed: It was neither accepted by the agent nor spooled.
    """
    name = "service_key" if kind == "v1" else "routing_key"
    event = {name: session.routing_key(options["routing_key"]), **event}
    form = options["receipt"]
    occurred = None if occurred_at is None else f"{occurred_at:.6f}"
    receipt = _accepted(session, kind, event, options, occurred, job, repeats=repeats)
    for warning in receipt.warnings:
        say("warning", warning)
    try:
        if form == "json":
            echo_json(receipt.as_json())
        elif form is None:
            click.echo(RECEIPTS[kind].format(receipt.incident_key or receipt.dedup_key))
    except OSError as error:
        # The event is stored: a failure here would make a script send it a second time.
        abandon_output()
        say("warning", f"the event is stored, its receipt could not be printed: {error.strerror}")


def _accepted(
    session: Session,
    kind: EventKind,
    event: dict[str, object],
    options: Mapping[str, Any],
    occurred: str | None,
    job: Mapping[str, str] | None,
    *,
    repeats: bool,
) -> AgentReceipt:
    body, key = _encoded(event), options.get("idempotency_key") or str(uuid.uuid4())
    spool = session.loaded.config.spool
    spools = spool is not None and not repeats
    with session.agent(answer_seconds=_SECONDS_WITH_SPOOL if spools else _SECONDS) as client:
        from pdagent.localclient.errors import NoAnswer, Refused, Unreachable

        try:
            return client.send(kind, body, idempotency_key=key, occurred=occurred, job=job)
        except Refused as error:
            if not error.for_now:
                errors = with_names_of_options(error.errors)
                raise Refused(error.status, errors, error.retry_after) from None
            if not spools:
                raise
            return spooled(session, kind, body, key, occurred, job, why="takes nothing for now")
        except NoAnswer as error:
            if spools:
                return spooled(session, kind, body, key, occurred, job, why="gave no answer")
            has_option = "idempotency_key" in options
            raise session.unconfirmed(error, key if has_option else None) from None
        except Unreachable:
            if spool is None:
                raise
            return spooled(session, kind, body, key, occurred, job)


def with_names_of_options(errors: Iterable[str]) -> tuple[str, ...]:
    """`errors`, each of which begins with a field of the event, with the option for that field.

    What has no option of its own keeps its name.
    """
    context = click.get_current_context(silent=True)
    named = {"routing_key": "-k"}  # so everywhere
    for parameter in context.command.params if context else ():
        if isinstance(parameter, click.Option) and parameter.name:
            named[parameter.name] = parameter.opts[0]
    return tuple(_with_name_of_option(sentence, named) for sentence in errors)


def _with_name_of_option(sentence: str, named: Mapping[str, str]) -> str:
    path, colon, problem = sentence.partition(": ")
    name = path.removeprefix("payload.").partition("[")[0]
    name = {"service_key": "routing_key", "custom_details": "fields", "details": "fields"}.get(
        name, name
    )
    return f"{named[name]}{colon}{problem}" if colon and name in named else sentence


def _encoded(event: dict[str, object]) -> bytes:
    try:
        text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
        return text.encode(errors="replace")  # a lone surrogate, which JSON has and UTF-8 has not
    except TypeError:  # --details-json: values that stay as they were written
        import msgspec

        return msgspec.json.encode(event)


def spooled(
    session: Session,
    kind: EventKind,
    body: bytes,
    key: str,
    occurred: str | None = None,
    job: Mapping[str, str] | None = None,
    *,
    why: str = "is down",
) -> AgentReceipt:
    """Store an event in the configured spool, for an agent that is down: `why` it must wait there.

    `key` is its Idempotency-Key; the agent will give the event the same receipt.

    Raises:
        CommandFailed: The event is invalid, or the spool can't be written.
    """
    directory = needed(session.loaded.config.spool)
    from pdagent.events import InvalidEvent, parse
    from pdagent.events.ids import repeatable_event_id
    from pdagent.localclient import AgentReceipt
    from pdagent.spool import SpooledEvent, put

    try:
        event = parse(kind, body)
        put(
            directory,
            SpooledEvent(
                kind=kind,
                body=body,
                idempotency_key=key,
                occurred=occurred,
                job=dict(job or {}),
            ),
        )
    except InvalidEvent as invalid:
        told = "; ".join(with_names_of_options(invalid.errors))
        raise CommandFailed(told, ExitCode.USAGE) from None
    except OSError as error:
        problem = f"the agent {why}, and the spool {directory} can't be written ({error.strerror})"
        undone = "nothing was stored there"
        if isinstance(error, PermissionError):
            raise not_permitted(directory, problem, undone) from None
        raise CommandFailed(f"{problem}; {undone}", ExitCode.UNREACHABLE) from None
    say("warning", f"the agent {why}: the event waits in {directory} until it takes it")
    event_id = repeatable_event_id(event.routing_key, key)
    dedup_key = event.dedup_key or event_id
    return AgentReceipt(
        key=event_id,
        incident_key=dedup_key if kind == "v1" else "",
        dedup_key=dedup_key if kind == "v2" else "",
        warnings=event.warnings,
    )
