"""Which queue `-k` means, and what is said where it means none: a typo is no sign of calm."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches

from pdagent.cli.failures import LOOKED, CommandFailed
from pdagent.cli.session import Session
from pdagent.localclient import LocalClient, Refused
from pdagent.masking import mask

_KEY = re.compile(r"[A-Za-z0-9]{32}")
_NOT_FOUND, _NOT_CLEAR = 404, 409
_NEARLY_THE_SAME_KEY = 0.9


def key_of(session: Session, given: str | None) -> str | None:
    """What the agent is asked with: the key if it is known here, else a name as tables show it.

    None if nothing was given.
    """
    if not given:
        return None
    return session.loaded.config.routing_keys.get(given) or session.routing_key(given)


def refuse_unknown(client: LocalClient, session: Session, given: str | None) -> None:
    """Say that a queue is unknown, where nothing was found under it; names in the config are known.

    Raises:
        CommandFailed: Neither the agent nor the config knows it.
    """
    key = key_of(session, given)
    if given is None or key is None or key in session.loaded.config.routing_keys.values():
        return
    if not client.queue_status(key).get("status_items"):
        raise _unknown(client, session, given)


@contextmanager
def about_queue(client: LocalClient, session: Session, given: str | None) -> Iterator[None]:
    """What the agent says of a queue that isn't there or isn't clear, in words of the command line.

    Raises:
        CommandFailed: No queue, or more than one, is meant.
    """
    try:
        yield
    except Refused as error:
        key = key_of(session, given)
        if given is None or key is None or key in session.loaded.config.routing_keys.values():
            raise
        if error.status == _NOT_FOUND:
            raise _unknown(client, session, given) from None
        if error.status == _NOT_CLEAR and not _KEY.fullmatch(key):
            raise CommandFailed(
                f"several routing keys look like {given!r}: give the whole key with -k, or give "
                "them names (routing_keys in the config)"
            ) from None
        raise


def whole_keys(session: Session) -> dict[str, str]:
    """The keys without a name, by their mask; without those that share one, which is which?"""
    with session.agent(LOOKED) as client:
        items = client.queue_status(show_keys=True).get("status_items")
    rows = items if isinstance(items, list) else []
    called = [str(row.get("queue")) for row in rows if isinstance(row, dict)]
    keys = [key for key in called if _KEY.fullmatch(key)]
    times = Counter(map(mask, keys))
    return {mask(key): key for key in keys if times[mask(key)] == 1}


def option_for(session: Session, queue: str) -> str:
    """What to write behind `-k` for the queue that the agent calls `queue`."""
    return f"@{queue}" if queue in session.loaded.config.routing_keys else queue


def _unknown(client: LocalClient, session: Session, given: str) -> CommandFailed:
    known = session.command("queue", "status")
    if _KEY.fullmatch(given):
        text = f"no event of the key {mask(given)} was ever accepted"
        nearest = _nearest(given, session.loaded.config.routing_keys, _NEARLY_THE_SAME_KEY)
    else:
        items = client.queue_status().get("status_items")
        rows = [row for row in items if isinstance(row, dict)] if isinstance(items, list) else []
        called = [*session.loaded.config.routing_keys, *(str(row.get("queue")) for row in rows)]
        text = f"no queue is called {given!r}"
        nearest = _nearest(given.removeprefix("@"), {name: name for name in called}, 0.6)
    if nearest is None:
        return CommandFailed(f"{text}: '{known}' shows those that there are")
    return CommandFailed(f"{text}: did you mean {shlex.quote(option_for(session, nearest))}?")


def _nearest(given: str, names: dict[str, str], cutoff: float) -> str | None:
    """The one of `names` whose value is most like `given`."""
    by_value = {value.lower(): name for name, value in reversed(names.items())}
    found = get_close_matches(given.lower(), by_value, 1, cutoff)
    return by_value[found[0]] if found else None
