"""PagerDuty's agent heartbeat: `POST /agent/2014-03-14/heartbeat` at the API's base URL."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable

import msgspec
import requests

from pdagent import loops

logger = logging.getLogger(__name__)

_PATH = "/agent/2014-03-14/heartbeat"
_TIMEOUT = 10.0  # seconds


class _Interval(msgspec.Struct):
    heartbeat_interval_secs: float = 0.0


class HeartbeatApi:
    """Its `beat` is an `actors.ports.Beat`.

    `statistics` gives the counts that are sent along; the description of the system goes with the
    first heartbeat that is taken.
    """

    def __init__(
        self,
        api_url: str,
        *,
        agent_id: str,
        version: str,
        user_agent: str,
        statistics: Callable[[], dict[str, int]],
    ) -> None:
        self._url = api_url + _PATH
        self._agent_id = agent_id
        self._version = version
        self._user_agent = user_agent
        self._statistics = statistics
        self._introduced = False

    def beat(self) -> float | None:
        """One heartbeat; see `actors.ports.Beat`."""
        body: dict[str, object] = {
            "agent_id": self._agent_id,
            "agent_version": self._version,
            "agent_stats": self._statistics(),
        }
        if not self._introduced:
            body["system_info"] = {"platform": platform.platform(), "python": _python()}
        try:
            answer = requests.post(
                self._url,
                data=msgspec.json.encode(body),
                headers={
                    "Content-Type": "application/json",
                    "User-Agent": self._user_agent,
                    loops.HEADER: loops.header_of(self._agent_id),
                },
                timeout=_TIMEOUT,
                allow_redirects=False,
            )
        except (requests.RequestException, OSError, ValueError) as error:
            logger.debug("the heartbeat failed: %s", type(error).__name__)
            return None
        if answer.status_code // 100 != 2:
            logger.debug("the heartbeat was refused: HTTP %d", answer.status_code)
            return None
        self._introduced = True
        try:
            return msgspec.json.decode(answer.content, type=_Interval).heartbeat_interval_secs
        except msgspec.MsgspecError:
            return 0.0


def _python() -> str:
    return f"{platform.python_implementation()} {platform.python_version()}"
