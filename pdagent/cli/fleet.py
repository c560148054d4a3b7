"""`status --fleet`: the hosts of a relay at a glance, once or again and again."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from pdagent.cli.output import echo_json, of_another_version
from pdagent.cli.session import LOOKED, Session
from pdagent.fleet.rows import HostPage
from pdagent.localclient import LocalClient
from pdagent.localclient.errors import AgentError, NoAnswer, Unreachable

if TYPE_CHECKING:
    from rich.console import Console

    from pdagent.dashboard.live.loop import Answer, Question

HOSTS_PATH = "/relay/hosts"
_ON_A_TERMINAL = 20
_HEAD_LINES = 10


def show_fleet(session: Session, *, match: str | None, limit: int | None, as_json: bool) -> None:
    """Print the sums, and the hosts that need attention."""
    from rich.console import Console

    console = Console(highlight=False)
    if limit is None and console.is_terminal and not as_json:
        limit = max(_ON_A_TERMINAL, console.height - _HEAD_LINES)
    query = {"attention": "1", "match": match or "", "limit": str(limit or "")}
    with session.agent(LOOKED) as client:
        answer = client.call(HOSTS_PATH, None, wish=None, **query)
    if as_json:
        echo_json(answer)
        return
    from pdagent.dashboard.fleet import print_fleet

    try:
        page = msgspec.json.decode(answer, type=HostPage)
    except msgspec.DecodeError:
        raise of_another_version("a list of hosts") from None
    print_fleet(page, console, datetime.now(UTC), session.with_options)


def watch_fleet(session: Session, console: Console, *, match: str | None, interval: float) -> int:
    """Show all hosts on the terminal until somebody quits; the exit status."""
    from pdagent.dashboard.live.hosts import SORTS, SeenHosts, hosts_screen, page_of_hosts
    from pdagent.dashboard.live.loop import Watch
    from pdagent.dashboard.live.view import View

    client = LocalClient(session.loaded.calling)
    return Watch(
        console,
        sys.stdin.fileno(),
        partial(_asked, client),
        interval=interval,
        seen=SeenHosts(),
        view=View(sorts=SORTS, sort=SORTS[0], match=match or ""),
        page_of=page_of_hosts,
        screen=partial(hosts_screen, options=session.with_options),
    ).run()


def _asked(client: LocalClient, question: Question) -> Answer[HostPage]:
    from pdagent.dashboard.live.loop import Answer

    query = {"match": question.match, "offset": str(question.offset), "limit": str(question.limit)}
    try:
        answer = client.call(HOSTS_PATH, None, wish=None, **query)
        return Answer(question, msgspec.json.decode(answer, type=HostPage))
    except (Unreachable, NoAnswer) as error:
        return Answer(question, problem=str(error))
    except AgentError as error:
        return Answer(question, problem=f"it refuses to tell: {error}")
    except ValueError:
        return Answer(question, problem="its answer isn't a list of hosts")
