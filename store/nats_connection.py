"""One process's connection to the engine: requests with time limits, for any thread.

The library's own reconnecting is not used. It sends what it has buffered at some later time, it
gives up for good after some errors, and it keeps to a server that answers pings only. Here each
connection is used until it is lost, or until a request had no answer while no other request had
one; then the next server in the list is tried, for ever.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import ssl
import threading
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from store.log import LogUnavailableError

_TRY_SECONDS = 2.0
_CONNECT_SECONDS = 1
_CLOSE_SECONDS = 1.0
_PING_SECONDS = 10
_PAUSE_SECONDS = 0.05
_ROUND_SECONDS = 0.2
_LAST_OF_BATCH = {"204", "404", "408", "503"}

T = TypeVar("T")


class _LostError(Exception):
    """The connection was lost, or given up, while a request waited for its answer."""


class _TlsClient(Client):
    """Sends credentials and data over TLS only."""

    def _connect_command(self) -> bytes:
        if not self._server_info.get("tls_required"):
            raise nats.errors.Error("the server offers no TLS")
        return super()._connect_command()


class _Link:
    """One connection to one server; `lost` is done as soon as it is of no use any more."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def give_up(self) -> None:
        """Mark it as lost; the library's end of it gets no more time than it needs."""
        if not self.lost.done():
            self.lost.set_result(None)

    async def until_lost(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns. Raises `_LostError` at once when the connection is lost."""
        task = asyncio.ensure_future(work)
        either: set[asyncio.Future[Any]] = {task, self.lost}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise _LostError
            return await task
        finally:
            task.cancel()


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
        self._link: _Link | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._answered = 0.0
        self._problem = ""
        self._ended: set[asyncio.Task[None]] = set()
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
        return self._run_for(seconds, self._call(subject, payload, headers, seconds, repeat))

    def calls(self, requests: Sequence[tuple[str, bytes]], seconds: float) -> list[bytes]:
        """The answers to several requests at the same time, each repeated if necessary."""
        return self._run_for(seconds, self._calls(requests, seconds))

    def batch(self, subject: str, payload: bytes, seconds: float) -> list[Msg]:
        """All messages of an answer that ends with a status, without that."""
        return self._run_for(seconds, self._batch(subject, payload, seconds))

    def max_payload(self, seconds: float) -> int:
        """The most bytes that the connected server takes as one message, with its headers."""
        return self._run_for(seconds, self._max_payload(seconds))

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

    def _run_for(self, seconds: float, work: Coroutine[Any, Any, T]) -> T:
        if self.closed.is_set():
            work.close()
            raise LogUnavailableError("the connection to the engine is closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            # The work keeps to its time by itself; the second more is for a loop that is late.
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
        while True:
            link = await self._connected(deadline)
            sent = self._loop.time()
            limit = min(_TRY_SECONDS, deadline - sent)
            try:
                message = await link.until_lost(
                    link.client.request(subject, payload, timeout=limit, headers=headers)
                )
            except (nats.errors.NoRespondersError, nats.errors.ConnectionClosedError):
                # Nobody got it, so that it can be sent again in any case.
                await self._pause(deadline)
                continue
            except (nats.errors.TimeoutError, _LostError) as error:
                if self._answered < sent:
                    await self._drop(link)
                if repeat and self._loop.time() < deadline:
                    continue
                raise self._unavailable() from error
            except nats.errors.Error as error:
                raise LogUnavailableError(f"the engine refuses: {error}") from error
            self._answered = self._loop.time()
            return message.data

    async def _calls(self, requests: Sequence[tuple[str, bytes]], seconds: float) -> list[bytes]:
        return await asyncio.gather(
            *(self._call(subject, payload, None, seconds, True) for subject, payload in requests)
        )

    async def _batch(self, subject: str, payload: bytes, seconds: float) -> list[Msg]:
        deadline = self._loop.time() + seconds
        link = await self._connected(deadline)
        messages: list[Msg] = []
        complete = self._loop.create_future()

        async def take(message: Msg) -> None:
            if message.headers and message.headers.get("Status") in _LAST_OF_BATCH:
                complete.set_result(None)
            else:
                messages.append(message)

        inbox = link.client.new_inbox()
        try:
            subscription = await link.client.subscribe(
                inbox, cb=take, pending_msgs_limit=0, pending_bytes_limit=0
            )
            await link.client.publish(subject, payload, reply=inbox)
            await asyncio.wait(
                {complete, link.lost},
                timeout=deadline - self._loop.time(),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not link.lost.done():
                await subscription.unsubscribe()
        except nats.errors.Error as error:
            raise self._unavailable() from error
        # A part of the answer is as good as a short one.
        return messages

    async def _max_payload(self, seconds: float) -> int:
        link = await self._connected(self._loop.time() + seconds)
        return link.client.max_payload

    async def _connected(self, deadline: float) -> _Link:
        while self._link is None or self._link.lost.done():
            if self._connecting is None or self._connecting.done():
                self._connecting = self._loop.create_task(self._connect())
            await asyncio.wait({self._connecting}, timeout=max(0.0, deadline - self._loop.time()))
            if self._connecting.done() and (error := self._connecting.exception()):
                raise LogUnavailableError(f"the engine can't be used: {error}") from error
            if not self._connecting.done() or self._loop.time() > deadline:
                raise self._unavailable()
        return self._link

    async def _connect(self) -> None:
        """Connect to the next server that can be reached; tries for ever."""
        while True:
            url = self._urls[self._turn % len(self._urls)]
            self._turn += 1
            client = _TlsClient() if self._tls else Client()
            link = _Link(client)
            try:
                async with asyncio.timeout(2 * _CONNECT_SECONDS):
                    await client.connect(
                        [url],
                        name="pagerduty-agent",
                        allow_reconnect=False,
                        max_reconnect_attempts=1,
                        reconnect_time_wait=0,
                        connect_timeout=_CONNECT_SECONDS,
                        ping_interval=_PING_SECONDS,
                        error_cb=self._note,
                        closed_cb=link.give_up,
                        tls=self._tls,
                        user_credentials=self._credentials,
                    )
            except (OSError, nats.errors.Error, TimeoutError, ValueError) as error:
                await self._note(error)
                # Without the password that the URL may contain.
                self._problem = f"{urlsplit(url).netloc.rpartition('@')[2]}: {self._problem}"
                self._end(client)
            else:
                self._link, self._problem = link, ""
                return
            if self._turn % len(self._urls) == 0:
                await asyncio.sleep(_ROUND_SECONDS)

    async def _note(self, error: Exception) -> None:
        """Remember why a server was not reached; the library would log it otherwise."""
        if isinstance(error, OSError) and error.errno:
            self._problem = os.strerror(error.errno)
        elif not isinstance(error, nats.errors.NoServersError) or not self._problem:
            self._problem = str(error) or "no answer"

    async def _drop(self, link: _Link) -> None:
        """Use another connection from now on."""
        await link.give_up()
        self._end(link.client)

    def _end(self, client: Client) -> None:
        async def end() -> None:
            # A server that hangs keeps the library waiting.
            with contextlib.suppress(Exception):
                await asyncio.wait_for(client.close(), _CLOSE_SECONDS)

        task = self._loop.create_task(end())
        self._ended.add(task)
        task.add_done_callback(self._ended.discard)

    async def _pause(self, deadline: float) -> None:
        if self._loop.time() + _PAUSE_SECONDS > deadline:
            raise self._unavailable()
        await asyncio.sleep(_PAUSE_SECONDS)

    async def _shut_down(self) -> None:
        if self._link is not None:
            await self._drop(self._link)
            await asyncio.wait(self._ended, timeout=_CLOSE_SECONDS)
        current = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not current]
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=_CLOSE_SECONDS / 2)
        self._loop.stop()
