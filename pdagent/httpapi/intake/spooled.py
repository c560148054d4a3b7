"""Accepts events that the command line spooled while the agent was down."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from actors.core.commands import Refusal
from pdagent import spool
from pdagent.events import InvalidEvent, parse
from pdagent.httpapi.agent import Agent, accept
from pdagent.wording import counted
from store.records import RoutingKey

logger = logging.getLogger(__name__)

_LOOK_EVERY = 5.0
_AMEND = "correct its owner and mode; the agent retries"


class SpoolIntake:
    """Looks into the spool, again and again: a command may have just missed the agent.

    Nothing that is wrong with a file or a key keeps the others from being taken in, and each such
    thing is logged once, until it has changed.
    """

    def __init__(self, agent: Agent, directory: Path) -> None:
        self._agent = agent
        self._directory = directory
        self._unlisted: str | None = None
        self._aside: list[Path] = []
        self._failing: dict[str, str] = {}
        self._taken: set[str] = set()
        self._refused: dict[RoutingKey, str] = {}

    def warnings(self) -> list[str]:
        """What needs attention, one sentence each."""
        found = [] if self._unlisted is None else [self._unlisted]
        if self._aside:
            found.append(
                f"{counted(len(self._aside), 'file')} in the spool {self._directory} refused, the "
                f"first is {self._aside[0].name}: the log says why; remove what needs no attention"
            )
        if self._failing:
            first, more = next(iter(self._failing.values())), len(self._failing) - 1
            found.append(f"{first} (and {more} more, see the log)" if more else first)
        return found

    async def take_in_for_ever(self) -> None:
        """Take in what waits, every few seconds."""
        while True:
            await self.take_in()
            await asyncio.sleep(_LOOK_EVERY)

    async def take_in(self) -> None:
        """Take in all that waits, oldest first; never raises for what is in the spool."""
        try:
            waiting, self._aside = spool.content(self._directory)
        except OSError as error:
            self._note_unlisted(error)
            return
        self._unlisted = None
        try:
            await self._take_in(waiting)
        except Exception:  # a mistake of ours must not be the end of looking
            logger.exception("taking in spooled events fails, it is tried again")

    async def _take_in(self, waiting: list[Path]) -> None:
        names = {path.name for path in waiting}
        self._taken &= names
        self._failing = {name: why for name, why in self._failing.items() if name in names}
        refused: dict[RoutingKey, str] = {}
        for path in waiting:
            try:
                await self._take_in_file(path, refused)
            except FileNotFoundError:
                pass  # somebody removed it, which is their right
            except Exception as error:  # noqa: BLE001 - a mistake of ours concerns this one alone
                self._note_failing(path, error)
            else:
                self._failing.pop(path.name, None)
            if self._agent.system.admission.refusal is not None:
                break
        self._refused = refused

    async def _take_in_file(self, path: Path, refused: dict[RoutingKey, str]) -> None:
        """`refused` are the keys that take nothing in this round: their order has to be kept."""
        if path.name not in self._taken:
            try:
                spooled = spool.read(path)
                event = parse(spooled.kind, spooled.body)
            except (spool.FileRefused, InvalidEvent) as why:
                self._set_aside(path, why)
                return
            key = RoutingKey(event.routing_key)
            if key in refused:
                return
            answer = await accept(
                self._agent, event, source="pd-send", idempotency_key=spooled.idempotency_key
            )
            if isinstance(answer, Refusal) and answer.reason == "idempotency_key_reused":
                self._set_aside(path, answer.message)
                return
            if isinstance(answer, Refusal):
                self._note_refused(key, answer, refused)
                return
            logger.info("took in spooled event %s", answer.event)
            # Should the file not go away: it must not be sent again once the journal, whose
            # history ends some day, has forgotten it.
            self._taken.add(path.name)
        path.unlink()

    def _note_unlisted(self, error: OSError) -> None:
        why = f"the spool {self._directory} can't be read ({error.strerror}): {_AMEND}"
        if why != self._unlisted:
            logger.error("%s", why)
            self._unlisted = why

    def _note_failing(self, path: Path, error: Exception) -> None:
        if isinstance(error, OSError):
            what = "removed" if path.name in self._taken else "read"
            why = f"the spooled event {path} can't be {what} ({error.strerror}): {_AMEND}"
        else:
            why = f"the spooled event {path} can't be taken in: the agent's log says why"
        if self._failing.get(path.name) != why:
            logger.error("%s", why, exc_info=None if isinstance(error, OSError) else error)
            self._failing[path.name] = why

    def _note_refused(
        self, key: RoutingKey, refusal: Refusal, refused: dict[RoutingKey, str]
    ) -> None:
        refused[key] = refusal.message
        if self._refused.get(key) != refusal.message:
            name = self._agent.config.name_of(key)
            logger.warning("spooled events for %s wait: %s", name, refusal.message)

    def _set_aside(self, path: Path, why: object) -> None:
        kept = spool.set_aside(path)
        self._aside.append(kept)
        logger.error("spooled event %s is refused: %s: kept as %s", path.name, why, kept.name)
