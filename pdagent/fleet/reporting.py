"""A host's reports to its relay."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from requests import Request, Session
from urllib3 import Retry, Timeout

from actors.system import ActorSystem
from pdagent.eventsapi.adapter import DeliveryAdapter
from pdagent.eventsapi.failures import NETWORK_FAILURES
from pdagent.eventsapi.verdict import verdict_of_failure
from pdagent.fleet.report import INTERVAL, HostReport
from pdagent.forwarding.choice import RelayChoice
from pdagent.operating.overview import oldest

logger = logging.getLogger(__name__)

_LOOK_EVERY = 1.0  # seconds
# Pauses in seconds are drawn from these ranges: many hosts start or switch at the same instant.
_SOON = (0.5, 5.0)
_USUALLY = (0.9 * INTERVAL, 1.1 * INTERVAL)
_AFTER_A_FAILURE = (8.0, 12.0)
_TOLD_AFTER = 5
_TIMEOUT = Timeout(connect=2.0, read=6.0)
_LONGEST_TROUBLE = 100
_LONGEST_NAME = 64
_encode = msgspec.json.Encoder().encode


class HostReporter:
    """Reports to the current relay every 30 seconds, to the next one if that takes no report.

    `report` makes the report for a relay, `post` sends it there and returns why it was not taken,
    None if it was. Both may take long, and are called in another thread.
    """

    def __init__(
        self,
        choice: RelayChoice,
        urls: Sequence[str],
        report: Callable[[str], HostReport],
        post: Callable[[str, bytes], str | None],
    ) -> None:
        self._choice = choice
        self._urls = urls
        self._report = report
        self._post = post
        self._failures = 0

    async def report_for_ever(self) -> None:
        """Runs until it is cancelled."""
        loop = asyncio.get_running_loop()
        due, reported_to = loop.time() + random.uniform(*_SOON), self._choice.current
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            if self._choice.current != reported_to:
                reported_to = self._choice.current
                due = min(due, loop.time() + random.uniform(*_SOON))
            if loop.time() >= due:
                taken = await asyncio.to_thread(self._report_once)
                reported_to = self._choice.current
                due = loop.time() + random.uniform(*(_USUALLY if taken else _AFTER_A_FAILURE))

    def _report_once(self) -> bool:
        """Report to the current relay, else to the others, each once."""
        current, why = self._choice.current, None
        for url in (current, *(url for url in self._urls if url != current)):
            try:
                why = self._post(url, _encode(self._report(url)))
            except Exception:
                logger.exception("a report to relay %s could not be made", url)
                return False
            if why is None:
                self._choice.took(url)  # so it is the one that takes events, too
                self._failures = 0
                return True
        self._failures += 1
        if self._failures == _TOLD_AFTER:
            logger.warning("no relay takes this host's reports (%s: %s)", url, why)
        return False


class ReportPost:
    """Sends reports over kept-alive connections, for one thread at a time.

    Proxies are those of the environment; `ca` are the certificates to trust, None for those of the
    environment. `secret` is one of the relays' `accept_secrets`.
    """

    def __init__(self, *, secret: str, ca: Path | None, user_agent: str) -> None:
        self._session, self._adapter = Session(), DeliveryAdapter(ca=ca)
        self._headers = {
            "Authorization": f"token {secret}",
            "Content-Type": "application/json",
            "User-Agent": user_agent,
        }

    def __call__(self, relay: str, report: bytes) -> str | None:
        """Post one report; why it was not taken, in a few words, None if it was."""
        try:
            request = Request("POST", f"{relay}/relay/hosts", self._headers).prepare()
            url = str(request.url)
            settings = self._session.merge_environment_settings(url, {}, None, None, None)
            answer = self._adapter.pool_for(request, settings).urlopen(
                "POST",
                self._adapter.request_url(request, settings["proxies"]),
                body=report,
                headers={**self._headers, "Host": urlsplit(url).netloc},
                retries=Retry(False),
                redirect=False,
                assert_same_host=False,
                timeout=_TIMEOUT,
            )
        except NETWORK_FAILURES as error:
            return verdict_of_failure(error, 0.0).detail
        return None if answer.status == 200 else f"HTTP {answer.status}"


def report_of(system: ActorSystem, agent_id: str, version: str, relay: str) -> HostReport:
    """What an agent says of itself to `relay`."""
    totals, queues = system.totals(), system.directory.figures.notable()
    since = min((at for entry in queues if (at := oldest(entry.state)) is not None), default=None)
    return HostReport(
        agent_id=agent_id,
        host=socket.gethostname()[:_LONGEST_NAME] or "?",
        version=version,
        relay=relay,
        waiting=totals["waiting"],
        oldest_waiting_seconds=None if since is None else round(max(0.0, time.time() - since), 1),
        dead_letters=totals["dead_lettered"],
        held_queues=sum(entry.state.hold is not None for entry in queues),
        link=system.link().state,
        trouble="; ".join(system.trouble())[:_LONGEST_TROUBLE],
    )
