"""`pagerduty-agent queue tail`: what happens to events, while it happens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
import msgspec

from pdagent.cli.output import ExitCode, echo_json, say
from pdagent.cli.parameters import json_option
from pdagent.cli.queue.selection import (
    key_of,
    refuse_unknown,
    routing_key_option,
)
from pdagent.cli.queue.words import STYLES, WIDEST, told
from pdagent.cli.session import LOOKED, Session, pass_session
from pdagent.localclient import LocalClient
from pdagent.localclient.errors import AgentError, NoAnswer, Refused, Unreachable

if TYPE_CHECKING:
    from pdagent.cli.queue.drawing import Paper

_AGAIN_SECONDS = 0.2


@click.command(
    "tail",
    short_help="Follow what happens, live.",
    epilog="\b\nExample:\n  pagerduty-agent queue tail -k @database",
)
@routing_key_option()
@json_option
@pass_session
def tail(session: Session, *, routing_key: str | None, as_json: bool) -> None:
    """Follow what happens to events, of one key or of all, until Ctrl-C.

    An agent that is started again meanwhile is followed again.
    """
    key = key_of(session, routing_key)
    if key is not None:
        with session.agent(LOOKED) as client:
            refuse_unknown(client, session, routing_key)
    follower = _Follower(session, key)
    try:
        if as_json:
            for line in follower.lines():
                echo_json(line)
            return
        # Drawing is loaded when something is drawn.
        from pdagent.cli.queue.drawing import Paper

        paper = Paper()
        for line in follower.lines():
            _print(paper, line)
    except KeyboardInterrupt:
        # The way to end it: that is no failure to tell of.
        click.get_current_context().exit(ExitCode.INTERRUPTED)


class _Follower:
    """Follows the agent through its restarts, once it has been reached."""

    def __init__(self, session: Session, key: str | None) -> None:
        self._session = session
        self._key = key
        self._client = LocalClient(session.loaded.calling)
        self._followed = False
        self._gone = False

    def lines(self) -> Iterator[bytes]:
        """JSON lines without end; raises `CommandFailed` if the agent refuses."""
        while True:
            try:
                with self._client.tail(self._key) as lines:
                    for line in lines:
                        self._note_presence()
                        if line:
                            yield line
            except AgentError as error:
                passes = isinstance(error, Unreachable | NoAnswer) or (
                    isinstance(error, Refused) and error.for_now
                )
                if not (self._followed and passes):
                    raise self._session.explained(error, LOOKED) from None
            self._note_absence()
            time.sleep(_AGAIN_SECONDS)

    def _note_presence(self) -> None:
        if self._gone:
            listing = self._session.command("queue", "list")
            say("note", f"the agent is back; '{listing}' shows what it had to do meanwhile")
        elif not self._followed:
            say("note", "following, with times in UTC; Ctrl-C ends it")
        self._followed, self._gone = True, False

    def _note_absence(self) -> None:
        if not self._gone:
            self._gone = True
            say("note", "the agent is gone: waiting until it is back")


def _print(paper: Paper, line: bytes) -> None:
    try:
        record: dict[str, object] = msgspec.json.decode(line, type=dict[str, object])
    except msgspec.DecodeError:
        return  # cut short by the end of the agent
    from pdagent.cli.queue.drawing import short

    word, rest = told(record)
    event = str(record.get("id") or "")
    at = str(record.get("at") or "")
    paper.line(
        (f"{at[11:19] if paper.on_terminal else at}  ", "dim"),
        (f"{word:<{WIDEST}}  ", STYLES.get(word, "")),
        f"{record.get('queue') or ''}  ",
        f"{short(event) if paper.on_terminal else event}  ",
        rest,
    )
    paper.flush()
