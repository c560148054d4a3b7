"""Takes in what the command line spooled while the agent was down."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from actors.core.commands import Refusal
from pdagent import spool
from pdagent.events import InvalidEvent, ParsedEvent, parse_change, parse_v1, parse_v2
from pdagent.httpapi.agent import Agent, accept

logger = logging.getLogger(__name__)

_LOOK_EVERY = 5.0


async def take_in_for_ever(agent: Agent, directory: Path) -> None:
    """Look into the spool every few seconds: a command may have just missed the agent."""
    while True:
        try:
            await take_in(agent, directory)
        except OSError as error:
            logger.error("the spool %s can't be read (%s)", directory, error.strerror)
        await asyncio.sleep(_LOOK_EVERY)


async def take_in(agent: Agent, directory: Path) -> None:
    """Take in all that waits, oldest first; stop at the first that is refused for now."""
    for path in spool.waiting(directory):
        spooled = spool.read(path)
        event = None if spooled is None else _parse(spooled, path)
        if spooled is None or event is None:
            kept = spool.set_aside(path)
            logger.error("spooled event %s is invalid: kept as %s", path.name, kept.name)
            continue
        answer = await accept(
            agent, event, source="pd-send", idempotency_key=spooled.idempotency_key
        )
        if isinstance(answer, Refusal):
            logger.warning("spooled events wait: %s", answer.message)
            return
        path.unlink()
        logger.info("took in spooled event %s", answer.event)


def _parse(spooled: spool.SpooledEvent, path: Path) -> ParsedEvent | None:
    parse = {"v1": parse_v1, "v2": parse_v2, "change": parse_change}[spooled.kind]
    try:
        return parse(spooled.body)
    except InvalidEvent as invalid:
        logger.error("spooled event %s: %s", path.name, invalid)
        return None
