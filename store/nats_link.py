"""One connection to one server of the engine, with the library nats-py.

The library's own reconnecting is not used. It sends what it has buffered at some later time, it
gives up for good after some errors, and it keeps to a server that answers nothing but pings.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import ssl
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

_CONNECT_SECONDS = 1
_CLOSE_SECONDS = 1.0
_PING_SECONDS = 10
_LAST_OF_BATCH = {"204", "404", "408", "503"}

T = TypeVar("T")

# nats-py turns a plain connection into one with TLS; asyncio then warns each time that one ends.
logging.getLogger("asyncio").addFilter(lambda record: "eof_received()" not in record.getMessage())


class LinkFailedError(Exception):
    """A server can't be used; the text says which one and why, without credentials."""


class NotSentError(Exception):
    """No server got the request, so that it can be sent again in any case."""


class _TlsClient(Client):
    """Sends credentials and data over TLS only."""

    def _connect_command(self) -> bytes:
        if not self._server_info.get("tls_required"):
            raise nats.errors.Error("the server offers no TLS")
        return super()._connect_command()


class EngineLink:
    """Usable once `open` has returned and until `lost` is done; belongs to one asyncio loop."""

    def __init__(self, url: str, credentials: Path | None, tls: ssl.SSLContext | None) -> None:
        self._url = url
        self._credentials = credentials
        self._tls = tls
        self._client = _TlsClient() if tls else Client()
        self._problem = ""
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def max_payload(self) -> int:
        """The most bytes that the server takes as one message, with its headers."""
        return self._client.max_payload

    async def open(self) -> None:
        """Connect, within about two seconds. Raises `LinkFailedError`."""
        identity = _identity(self._credentials)
        try:
            async with asyncio.timeout(2 * _CONNECT_SECONDS):
                await self._client.connect(
                    [self._url],
                    name="pagerduty-agent",
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=_CONNECT_SECONDS,
                    ping_interval=_PING_SECONDS,
                    error_cb=self._note,
                    closed_cb=self._closed,
                    tls=self._tls,
                    **identity,
                )
        except ImportError as error:
            raise LinkFailedError(f"credentials need another package: {error}") from error
        except (OSError, nats.errors.Error, ValueError) as error:
            await self._note(error)
            # Without the password that the URL may contain.
            where = urlsplit(self._url).netloc.rpartition("@")[2]
            failed = LinkFailedError(f"{where}: {self._problem}")
            await self.close()
            raise failed from error

    async def request(
        self, subject: str, payload: bytes, headers: dict[str, str] | None, seconds: float
    ) -> bytes:
        """The answer to a request.

        Raises `TimeoutError` if there is none, at once when the connection is lost; `NotSentError`;
        and `LinkFailedError` if the library refuses to send it.
        """
        asked = self._client.request(subject, payload, timeout=seconds, headers=headers)
        try:
            return (await self._until_lost(asked)).data
        except (nats.errors.NoRespondersError, nats.errors.ConnectionClosedError) as error:
            raise NotSentError from error
        except nats.errors.Error as error:
            if isinstance(error, TimeoutError):
                raise
            raise LinkFailedError(str(error)) from error

    async def batch(self, subject: str, payload: bytes, seconds: float) -> list[Msg]:
        """The messages of an answer that ends with a status, or as many as came in that time."""
        messages: list[Msg] = []
        complete = asyncio.get_running_loop().create_future()

        async def take(message: Msg) -> None:
            if not message.headers or message.headers.get("Status") not in _LAST_OF_BATCH:
                messages.append(message)
            elif not complete.done():
                complete.set_result(None)

        inbox = self._client.new_inbox()
        with contextlib.suppress(nats.errors.Error):
            subscription = await self._client.subscribe(
                inbox, cb=take, pending_msgs_limit=0, pending_bytes_limit=0
            )
            await self._client.publish(subject, payload, reply=inbox)
            either = {complete, self.lost}
            await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            await subscription.unsubscribe()
        return messages

    async def close(self) -> None:
        """Close, within a second: a server that hangs would keep the library waiting."""
        self.lose()
        with contextlib.suppress(OSError, nats.errors.Error):
            await asyncio.wait_for(self._client.close(), _CLOSE_SECONDS)

    def lose(self) -> None:
        """Have nobody wait for an answer any more, or ask again."""
        if not self.lost.done():
            self.lost.set_result(None)

    async def _closed(self) -> None:
        self.lose()

    async def _note(self, error: Exception) -> None:
        """Keep the reason for `open`; the library would log it otherwise."""
        if isinstance(error, ConnectionError) and error.errno:
            self._problem = os.strerror(error.errno)
        elif not isinstance(error, nats.errors.NoServersError) or not self._problem:
            self._problem = str(error) or "no answer"

    async def _until_lost(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.ensure_future(work)
        task.add_done_callback(_read)
        either: set[asyncio.Future[Any]] = {task, self.lost}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise nats.errors.TimeoutError
            return await task
        finally:
            task.cancel()


def _read(task: asyncio.Future[Any]) -> None:
    """A task that nobody waits for any more may fail: asyncio would log that."""
    if not task.cancelled():
        task.exception()


def _identity(credentials: Path | None) -> dict[str, Any]:
    """The library's option for a file: a credentials file of `nsc`, or the seed of an nkey."""
    if credentials is None:
        return {}
    try:
        is_jwt = b"NATS USER JWT" in credentials.read_bytes()
    except OSError as error:
        raise LinkFailedError(f"can't read {credentials}: {error.strerror}") from error
    return {"user_credentials" if is_jwt else "nkeys_seed": str(credentials)}
