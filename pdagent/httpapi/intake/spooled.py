"""Accepts events that the command line spooled while the agent was down."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from actors.core.commands import Refusal
from pdagent import spool
from pdagent.events import InvalidEvent, parse
from pdagent.httpapi.agent import Agent, EventSender, accept
from pdagent.operating.names import QueueNames
from pdagent.wording import counted
from store.records import RoutingKey

logger = logging.getLogger(__name__)

_LOOK_EVERY = 5.0  # seconds
_AMEND = "correct its owner and mode; the agent retries"


class SpoolIntake:
    """Looks into the spool, again and again: a command may have just missed the agent.

    Nothing that is wrong with a file or a key keeps the others from being taken in, and each such
    thing is logged once, until it has changed.
    """

    def __init__(self, agent: Agent, directory: Path) -> None:
        self._agent = agent
        self._directory = directory
        self._aside: list[Path] = []
        self._taken: set[str] = set()
        # What was found in the latest look: by file or directory, and by key.
        self._problems: dict[Path, str] = {}
        self._refused: dict[RoutingKey, str] = {}

    def warnings(self) -> list[str]:
        """What needs attention, one sentence each."""
        found = []
        if self._aside:
            found.append(
                f"{counted(len(self._aside), 'file')} in the spool {self._directory} refused, the "
                f"first is {self._aside[0].name}: the log says why; remove what needs no attention"
            )
        if self._problems:
            first, more = next(iter(self._problems.values())), len(self._problems) - 1
            found.append(f"{first} (and {more} more, see the log)" if more else first)
        return found

    async def take_in_for_ever(self) -> None:
        """Take in what waits, every few seconds."""
        while True:
            await self.take_in()
            await asyncio.sleep(_LOOK_EVERY)

    async def take_in(self) -> None:
        """Take in all that waits, oldest first; never raises for what is in the spool."""
        problems: dict[Path, str] = {}
        refused: dict[RoutingKey, str] = {}
        waiting: list[Path] = []
        try:
            waiting, self._aside = spool.content(self._directory)
            self._taken &= {path.name for path in waiting}
        except OSError as error:
            why = f"the spool {self._directory} can't be read ({error.strerror}): {_AMEND}"
            problems[self._directory] = self._logged(self._directory, why)
        for path in waiting:
            try:
                await self._take_in_file(path, refused)
            except FileNotFoundError:
                pass  # somebody removed it, which is their right
            except OSError as error:
                what = "removed" if path.name in self._taken else "read"
                why = f"the spooled event {path} can't be {what} ({error.strerror}): {_AMEND}"
                problems[path] = self._logged(path, why)
            except Exception as error:  # noqa: BLE001 - a mistake of ours concerns this one alone
                why = f"the spooled event {path} can't be taken in: the agent's log says why"
                problems[path] = self._logged(path, why, error)
            if self._agent.system.admission.refusal is not None:
                break
        self._problems, self._refused = problems, refused

    async def _take_in_file(self, path: Path, refused: dict[RoutingKey, str]) -> None:
        """`refused` are the keys that take nothing in this round: their order has to be kept."""
        if path.name not in self._taken:
            try:
                spooled, uid = spool.read(path)
                event = parse(spooled.kind, spooled.body)
            except (spool.FileRefused, InvalidEvent) as why:
                self._set_aside(path, why)
                return
            key = RoutingKey(event.routing_key)
            if key in refused:
                return
            answer = await accept(
                self._agent,
                event,
                sender=EventSender("pd-send", uid),
                idempotency_key=spooled.idempotency_key,
                occurred=spooled.occurred,
                job=spooled.job,
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

    def _logged(self, path: Path, why: str, error: Exception | None = None) -> str:
        if self._problems.get(path) != why:
            logger.error("%s", why, exc_info=error)
        return why

    def _note_refused(
        self, key: RoutingKey, refusal: Refusal, refused: dict[RoutingKey, str]
    ) -> None:
        refused[key] = refusal.message
        if self._refused.get(key) != refusal.message:
            name = QueueNames(self._agent.config.routing_keys).of(key)
            logger.warning("spooled events for %s wait: %s", name, refusal.message)

    def _set_aside(self, path: Path, why: object) -> None:
        kept = spool.set_aside(path)
        self._aside.append(kept)
        logger.error("spooled event %s is refused: %s: kept as %s", path.name, why, kept.name)
