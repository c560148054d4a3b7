"""One process's connection to the engine: requests with time limits, for any thread.

A connection to a server is used until it is lost, or until a request had no answer while no other
request had one; then the next server in the list is tried, for ever.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import ssl
import threading
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from store.log import LogUnavailableError
from store.nats_link import EngineLink, LinkFailedError, NotSentError

_TRY_SECONDS = 2.0
_PAUSE_SECONDS = 0.05
_ROUND_SECONDS = 0.2
_LONGEST_ROUND_SECONDS = 1.0
_CLOSE_SECONDS = 1.5

T = TypeVar("T")


class EngineConnection:
    """Connects when something is asked for; asyncio runs in a thread of its own.

    All methods raise `LogUnavailableError` after their time limit, with the reason why the last
    server was not reached, if it was not.
    """

    def __init__(
        self, urls: Sequence[str], *, credentials: Path | None = None, ca: Path | None = None
    ) -> None:
        self._urls = list(urls)
        self._credentials = credentials
        with_tls = ca is not None or any(url.startswith("tls://") for url in urls)
        self._tls = ssl.create_default_context(cafile=ca) if with_tls else None
        self._turn = 0
        self._link: EngineLink | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._answered = 0.0
        self._problem = ""
        self._ending: set[asyncio.Task[None]] = set()
        self.closed = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def call(
        self,
        subject: str,
        payload: bytes = b"",
        *,
        headers: dict[str, str] | None = None,
        seconds: float,
        repeat: bool = True,
    ) -> bytes:
        """The answer to a request. Without `repeat` it is sent once at most.

        Raises `LogUnavailableError` if there is no answer; then it may be done, or be done later.
        """
        return self._within(seconds, self._call(subject, payload, headers, seconds, repeat))

    def calls(self, requests: Sequence[tuple[str, bytes]], seconds: float) -> list[bytes]:
        """The answers to several requests at the same time, each repeated if necessary."""
        return self._within(seconds, self._calls(requests, seconds))

    def batch(
        self, subject: str, payload: bytes, seconds: float
    ) -> list[tuple[Mapping[str, str], bytes]]:
        """Headers and data of all messages of a long answer, or of as many as came in that time."""
        return self._within(seconds, self._batch(subject, payload, seconds))

    def max_payload(self, seconds: float) -> int:
        """The most bytes that the connected server takes as one message, with its headers."""
        return self._within(seconds, self._connected(seconds)).max_payload

    def close(self) -> None:
        """Close, within about two seconds in any case. What waits for an answer is ended."""
        if self.closed.is_set():
            return
        self.closed.set()
        asyncio.run_coroutine_threadsafe(self._shut_down(), self._loop)
        self._thread.join(2 * _CLOSE_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def _within(self, seconds: float, work: Coroutine[Any, Any, T]) -> T:
        try:
            if self.closed.is_set():
                raise RuntimeError
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:  # so says a loop that is closed just now, too
            work.close()
            raise self._unavailable() from None
        try:
            # The work has its own time limit; one more second is for a loop that is late.
            return future.result(seconds + 1)
        except (concurrent.futures.CancelledError, concurrent.futures.TimeoutError) as error:
            future.cancel()
            raise self._unavailable() from error

    def _unavailable(self) -> LogUnavailableError:
        if self.closed.is_set():
            return LogUnavailableError("the connection to the engine is closed")
        reason = f" ({self._problem})" if self._problem else ""
        return LogUnavailableError(f"the engine does not answer{reason}")

    async def _call(
        self,
        subject: str,
        payload: bytes,
        headers: dict[str, str] | None,
        seconds: float,
        repeat: bool,
    ) -> bytes:
        deadline = self._loop.time() + seconds
        while (left := deadline - self._loop.time()) > 0:
            link = await self._connected(left)
            sent = self._loop.time()
            limit = min(_TRY_SECONDS, deadline - sent)
            try:
                answer = await link.request(subject, payload, headers, limit)
            except NotSentError:
                await asyncio.sleep(_PAUSE_SECONDS)
            except TimeoutError:
                if self._answered < sent:
                    self._end(link)
                if not repeat:
                    break
            except LinkFailedError as error:
                raise LogUnavailableError(f"the engine can't be asked: {error}") from error
            else:
                self._answered = self._loop.time()
                return answer
        raise self._unavailable()

    async def _calls(self, requests: Sequence[tuple[str, bytes]], seconds: float) -> list[bytes]:
        return await asyncio.gather(
            *(self._call(subject, payload, None, seconds, True) for subject, payload in requests)
        )

    async def _batch(
        self, subject: str, payload: bytes, seconds: float
    ) -> list[tuple[Mapping[str, str], bytes]]:
        # Not for `_answered`: a node that is cut off from all others answers this as well.
        link = await self._connected(seconds)
        messages = await link.batch(subject, payload, seconds)
        return [(message.headers or {}, message.data) for message in messages]

    async def _connected(self, seconds: float) -> EngineLink:
        deadline = self._loop.time() + seconds
        while self._link is None or self._link.lost.done():
            if self._connecting is None or self._connecting.done():
                self._connecting = self._loop.create_task(self._connect())
            left = max(0.0, deadline - self._loop.time())
            await asyncio.wait({self._connecting}, timeout=left)
            if not self._connecting.done():
                raise self._unavailable()
            if error := self._connecting.exception():  # such as a seed that is none
                raise LogUnavailableError(f"the engine can't be used: {error}") from error
        return self._link

    async def _connect(self) -> None:
        """Connect to the next server that can be reached; tries for ever."""
        pause = _ROUND_SECONDS
        while True:
            link = EngineLink(
                self._urls[self._turn % len(self._urls)], self._credentials, self._tls
            )
            self._turn += 1
            try:
                await link.open()
            except LinkFailedError as error:
                self._problem = str(error)
            else:
                self._link, self._problem = link, ""
                return
            if self._turn % len(self._urls) == 0:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_ROUND_SECONDS)

    def _end(self, link: EngineLink) -> None:
        """Use another connection from now on."""
        link.lose()
        task = self._loop.create_task(link.close())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _shut_down(self) -> None:
        if self._link is not None:
            self._end(self._link)
            await asyncio.wait(self._ending, timeout=_CLOSE_SECONDS)
        current = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not current]
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=_CLOSE_SECONDS / 3)
        self._loop.stop()
