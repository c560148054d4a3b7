"""`pagerduty-agent queue show`: one event, its history, and what can be done about it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
import msgspec

from pdagent.cli.completion import ids_of_events
from pdagent.cli.output import echo_json, of_another_version
from pdagent.cli.parameters import json_option, show_keys_option
from pdagent.cli.queue.selection import (
    event_id,
)
from pdagent.cli.queue.words import STYLES as RECORD_STYLES
from pdagent.cli.queue.words import WIDEST, kind_of, told_briefly
from pdagent.cli.session import LOOKED, Session, pass_session
from pdagent.operating.rows import EventRow

if TYPE_CHECKING:
    from pdagent.cli.queue.drawing import Paper

# Of a body on a terminal, so that the history stays in sight.
_BODY_LINES, _BODY_WIDTH = 40, 300

_SAYS = {
    "queued": "waits for its turn",
    "in_flight": "is being delivered",
    "deferred": "waits for its next attempt",
    "dead_lettered": "is a dead letter",
    "delivered": "was delivered",
    "discarded": "was discarded",
}


class Shown(EventRow, frozen=True, kw_only=True):
    """The answer of `GET /queue/events/{id}`."""

    event: msgspec.Raw = msgspec.Raw(b"{}")
    history: tuple[dict[str, object], ...] = ()


@click.command(
    "show",
    short_help="Show one event with its body and history.",
    epilog="\b\nExample:\n  pagerduty-agent queue show 5e0f8c21d7b4",
)
@click.argument("event", type=event_id, metavar="ID", shell_complete=ids_of_events)
@show_keys_option
@json_option
@pass_session
def show(session: Session, *, event: str, show_keys: bool, as_json: bool) -> None:
    """Show one event, its history line by line, and what can be done about it.

    ID may be any part of the id that no other event has.
    """
    with session.agent(LOOKED) as client:
        answer = client.event(event, show_keys=show_keys)
    if as_json:
        echo_json(answer)
        return
    # Drawing is loaded when something is drawn.
    from pdagent.cli.queue.drawing import Paper

    shown = decoded(answer)
    paper = Paper()
    _print_facts(paper, shown)
    _print_body(paper, shown)
    _print_history(paper, shown)
    _print_advice(paper, shown, session)


def decoded(answer: bytes) -> Shown:
    """The event in the agent's `answer`.

    Raises:
        CommandFailed: It is none.
    """
    try:
        return msgspec.json.decode(answer, type=Shown)
    except msgspec.DecodeError:
        raise of_another_version("an event") from None


def _print_facts(paper: Paper, shown: Shown) -> None:
    from pdagent.cli.queue.drawing import STYLES, moment
    from pdagent.wording import age

    now = datetime.now(UTC)
    state = (_SAYS.get(shown.state, shown.state), STYLES.get(shown.state, ""))
    paper.whole(("Event ", "bold"), (shown.id, "bold"), " ", state)
    action = shown.history[0].get("action") if shown.history else None
    facts = {
        "state": shown.state,
        "queue": shown.queue,
        "kind": kind_of(shown.kind, action),
        "dedup key": shown.dedup_key,
        "summary": shown.summary,
        "accepted": f"{shown.accepted_at} ({age(moment(shown.accepted_at), now)} ago)",
        "attempts": str(shown.attempts),
        "next attempt": _if_to_come(shown.next_attempt_at, now),
        "last error": shown.last_error or "",
    }
    for name, value in facts.items():
        if value:
            style = "red" if name == "last error" else ""
            paper.entry([(f"  {name:<13} ", "dim")], (value, style))


def _if_to_come(at: str | None, now: datetime) -> str:
    """A past time is left out: the event waits for PagerDuty, a release or a free sender."""
    from pdagent.cli.queue.drawing import moment

    due = moment(at)
    return at if at and due and due > now else ""


def _print_body(paper: Paper, shown: Shown) -> None:
    paper.whole()
    paper.whole(("Body", "bold"))
    lines = msgspec.json.format(bytes(shown.event), indent=2).decode().splitlines()
    if paper.on_terminal and (len(lines) > _BODY_LINES or max(map(len, lines)) > _BODY_WIDTH):
        lines = [f"{line[:_BODY_WIDTH]}…" if line[_BODY_WIDTH:] else line for line in lines]
        lines[_BODY_LINES:] = ["... (--json shows it whole)"]
    for line in lines:
        paper.whole("  ", line)


def _print_history(paper: Paper, shown: Shown) -> None:
    paper.whole()
    paper.whole(("History", "bold"))
    for at, word, rest in told_briefly(shown.history):
        label = (f"{word:<{WIDEST}}  ", RECORD_STYLES.get(word, ""))
        paper.entry(["  ", (f"{at:<24}  ", "dim"), label], rest)


def _print_advice(paper: Paper, shown: Shown, session: Session) -> None:
    from pdagent.cli.queue.advice import advice

    lines = list(advice(shown, shown.history, session))
    if not lines:
        return
    paper.whole()
    paper.whole(("What you can do", "bold"))
    for text in lines:
        paper.whole(("  " + text, "cyan" if text.startswith("    ") else ""))
