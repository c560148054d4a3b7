"""`pagerduty-agent queue show`: one event, how it came to where it is, and what can be done."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
import msgspec

from pdagent.cli.failures import LOOKED, CommandFailed
from pdagent.cli.queue_words import STYLES as RECORD_STYLES
from pdagent.cli.queue_words import WIDEST, kind_of, told_briefly
from pdagent.cli.session import Session, pass_session
from pdagent.operating.rows import EventRow

if TYPE_CHECKING:
    from pdagent.cli.queue_drawing import Paper

DOCS = "docs/operating.md#dead-letters"

# What a terminal shows of a body: it must not push the history out of sight.
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
    short_help="Tell all about one event.",
    epilog="\b\nExample:\n  pagerduty-agent queue show 0198f2c4-71a3",
)
@click.argument("event", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print the agent's JSON.")
@pass_session
def show(session: Session, *, event: str, as_json: bool) -> None:
    """Show one event, its history line by line, and what can be done about it.

    ID may be any beginning of the id that no other event has.
    """
    with session.agent(LOOKED) as client:
        answer = client.event(event)
    if as_json:
        click.echo(answer)
        return
    # Drawing is loaded when something is drawn.
    from pdagent.cli.queue_drawing import Paper

    try:
        shown = msgspec.json.decode(answer, type=Shown)
    except msgspec.DecodeError:
        raise CommandFailed("the agent's answer isn't an event: it is of another version") from None
    paper = Paper()
    _print_facts(paper, shown)
    _print_body(paper, shown)
    _print_history(paper, shown)
    _print_advice(paper, shown, session)


def _print_facts(paper: Paper, shown: Shown) -> None:
    from pdagent.cli.queue_drawing import STYLES, moment
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
        "next attempt": shown.next_attempt_at or "",
        "last error": shown.last_error or "",
    }
    for name, value in facts.items():
        if value:
            style = "red" if name == "last error" else ""
            paper.entry([(f"  {name:<13} ", "dim")], (value, style))


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
    advice = list(_advice(shown, session))
    if not advice:
        return
    paper.whole()
    paper.whole(("What you can do", "bold"))
    for text in advice:
        paper.whole(("  " + text, "cyan" if text.startswith("    ") else ""))


def _advice(shown: Shown, session: Session) -> Iterator[str]:
    """Sentences, and indented by four the commands to copy."""
    retry = session.command("queue", "retry", shown.id)
    discard = session.command("queue", "discard", shown.id)
    match shown.state:
        case "dead_lettered":
            yield "It is not tried again by itself. If the cause is gone, try it once more:"
            yield f"    {retry}"
            yield "If the event itself is wrong, send it corrected, then give this one up:"
            from pdagent.cli.queue_resending import Resending

            body = bytes(shown.event)
            resending = Resending(shown.id, shown.kind, body, shown.queue, session)
            yield from (f"    {command}" for command in resending.commands)
            if resending.key_is_missing:
                yield f"    # ROUTING_KEY: put the key in that shows as {shown.queue}"
            if resending.left_out:
                yield f"    # not in this command: {', '.join(resending.left_out)}"
            yield f"    {discard}"
            yield f"More about dead letters: {DOCS}"
        case "deferred":
            yield "It is tried again by itself. To try at once, or to give it up:"
            yield f"    {retry}"
            yield f"    {discard}"
        case "queued":
            yield "It is delivered when the events before it are. See what its queue waits for:"
            yield f"    {session.command('status')}"
            yield "To give it up:"
            yield f"    {discard}"
