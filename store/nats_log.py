"""The replicated log in NATS JetStream: a stream for the messages and one for the table."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence, Set
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, unquote

import msgspec

from store.log import (
    LogConflictError,
    LogTrimmedError,
    LogUnavailableError,
    Message,
    Row,
)
from store.nats_answers import (
    NO_MESSAGE,
    NO_STREAM,
    OTHER_CONFIG,
    WRONG_SEQUENCE,
    EngineAnswer,
    PublishedAnswer,
    StoredAnswer,
    StreamAnswer,
    StreamFacts,
    TemporaryError,
    checked,
)
from store.nats_connection import EngineConnection
from store.nats_nodes import NodeFacts, nodes_at

MOST_BYTES = 1 << 20
"""No message is larger, with its headers; smaller if the server says so."""

_HEADERS_BYTES = 512
_WRITE_SECONDS = 2.0
_ANSWER_SECONDS = 5.0
_PAUSE_SECONDS = 0.05
_POLL_SECONDS = 0.05
_BATCH = 1_000
_BATCH_BYTES = 4 << 20
_LEADER_BATCH = 100
_STALE_SECONDS = 1.0

A = TypeVar("A", bound=EngineAnswer)


def quoted(key: str) -> str:
    """A key as one part of a subject, in which a dot separates parts."""
    return quote(key, safe="/").replace(".", "%2E")


class NatsLog:
    """The log `name` on the engine at `urls`; `store.log.Log` describes the methods.

    Makes what is missing, with `replicas` copies. Raises `LogUnavailableError` if the engine can't
    be reached or refuses, within a few seconds; `ValueError` for a name that can't be used.
    """

    def __init__(
        self,
        urls: Sequence[str],
        name: str,
        *,
        replicas: int = 3,
        credentials: Path | None = None,
        ca: Path | None = None,
    ) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            raise ValueError(f"{name}: a name has letters, digits, - and _ only")
        self._stream, self._subject = f"{name}_log", f"{name}.log"
        self._table, self._keys = f"{name}_table", f"{name}.table."
        self._connection = EngineConnection(urls, credentials=credentials, ca=ca)
        try:
            most = min(MOST_BYTES, self._connection.max_payload(_ANSWER_SECONDS))
            log = self._made(self._stream, self._subject, replicas, most, direct=True)
            self._made(self._table, self._keys + ">", replicas, most, direct=False)
        except BaseException:
            self.close()
            raise
        if log.config.max_msg_size > 0:
            most = min(most, log.config.max_msg_size)
        self.max_message = most - _HEADERS_BYTES
        self.identity = log.config.metadata.get("identity") or log.created

    def append(self, expected: int, data: bytes) -> int:
        if len(data) > self.max_message:
            raise ValueError(f"a message of {len(data)} bytes, at most {self.max_message} may be")
        return self._publish(
            self._subject,
            data,
            {"Nats-Expected-Last-Sequence": str(expected)},
            lambda: self.bounds()[1] != expected,
        )

    def read(self, after: int, wait: float = 0.0) -> Iterator[Message]:
        last = self._wait_beyond(after, wait)
        while after < last:
            for message in self._fetch(after, last):
                yield message
                after = message.seq

    def bounds(self) -> tuple[int, int]:
        state = self._info(self._stream).state
        # A stream that never had a message begins at 0.
        return max(state.first_seq, 1), state.last_seq

    def size(self) -> int:
        return self._info(self._stream).state.bytes

    def trim(self, upto: int) -> None:
        first, last = self.bounds()
        # The engine would make its next message as high as it is told, also beyond the last one.
        upto = min(upto, last)
        if upto >= first:
            self._ask(f"STREAM.PURGE.{self._stream}", EngineAnswer, {"seq": upto + 1})

    def get(self, key: str) -> Row | None:
        asked = {"last_by_subj": self._keys + quoted(key)}
        answer = self._ask(f"STREAM.MSG.GET.{self._table}", StoredAnswer, asked, allow={NO_MESSAGE})
        return answer.row()

    def put(self, key: str, value: bytes, expected: int | None = None) -> int:
        def overtaken() -> bool:
            row = self.get(key)
            return expected != (row.revision if row else 0)

        headers = {}
        if expected is not None:
            headers["Nats-Expected-Last-Subject-Sequence"] = str(expected)
        return self._publish(self._keys + quoted(key), value, headers, overtaken)

    def rows(self, prefix: str) -> dict[str, Row]:
        info = self._info(self._table, {"subjects_filter": self._keys + ">"})
        subjects = {unquote(s.removeprefix(self._keys)): s for s in info.state.subjects or ()}
        keys = sorted(key for key in subjects if key.startswith(prefix))
        api = f"$JS.API.STREAM.MSG.GET.{self._table}"
        asked = [(api, msgspec.json.encode({"last_by_subj": subjects[key]})) for key in keys]
        answers = self._connection.calls(asked, _ANSWER_SECONDS)
        rows = (checked(StoredAnswer, answer, {NO_MESSAGE}).row() for answer in answers)
        return {key: row for key, row in zip(keys, rows, strict=True) if row is not None}

    def streams(self) -> list[StreamFacts]:
        """What the leaders of both streams say about their copies."""
        return [self._info(stream).facts(stream) for stream in (self._stream, self._table)]

    def nodes(self) -> list[NodeFacts]:
        """What all nodes that answer within a second say about themselves, by name.

        Empty if the relay's account may not ask them.
        """
        return nodes_at(self._connection)

    def close(self) -> None:
        self._connection.close()

    def _made(
        self, stream: str, subject: str, replicas: int, most: int, *, direct: bool
    ) -> StreamAnswer:
        """What the engine says about a stream, which is made if it is missing."""
        config = {
            "name": stream,
            "subjects": [subject],
            "storage": "file",
            "retention": "limits",
            "num_replicas": replicas,
            "max_msg_size": most,
            "deny_delete": True,
            # The table has one message for each key, the newest one.
            **(
                {"allow_direct": True, "discard": "new"}
                if direct
                else {"allow_direct": False, "discard": "old", "max_msgs_per_subject": 1}
            ),
            "metadata": {"identity": secrets.token_hex(16)},
        }
        deadline = time.monotonic() + _ANSWER_SECONDS
        while time.monotonic() < deadline:
            info = self._ask(f"STREAM.INFO.{stream}", StreamAnswer, allow={NO_STREAM})
            if info.error is None:
                return info
            # Another relay's may just be in the making, and not be shown yet.
            self._ask(f"STREAM.CREATE.{stream}", EngineAnswer, config, allow={OTHER_CONFIG})
            self._connection.closed.wait(_PAUSE_SECONDS)
        raise LogUnavailableError(f"the engine does not show the stream {stream}")

    def _publish(
        self, subject: str, data: bytes, headers: dict[str, str], overtaken: Callable[[], bool]
    ) -> int:
        """Store a message once and return its number.

        The engine also refuses a message while an earlier one is under way, which may fail later.
        So `overtaken` decides whether another writer was first.
        """
        deadline = time.monotonic() + _WRITE_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            answer = self._connection.call(
                subject, data, headers=headers, seconds=left, repeat=False
            )
            published = checked(PublishedAnswer, answer, WRONG_SEQUENCE)
            if published.error is None:
                return published.seq
            if overtaken():
                raise LogConflictError(published.error.description)
            self._connection.closed.wait(_PAUSE_SECONDS)
        raise LogUnavailableError("an earlier write is still under way in the engine")

    def _wait_beyond(self, after: int, wait: float) -> int:
        """The number of the last message, as soon as that is higher or the time is over.

        Asks again and again: whatever happens to a node, it can't be waited for in vain.
        """
        deadline = time.monotonic() + wait
        while True:
            first, last = self.bounds()
            if first > after + 1:
                raise LogTrimmedError(first)
            left = deadline - time.monotonic()
            if last > after or left <= 0:
                return last
            self._connection.closed.wait(min(_POLL_SECONDS, left))

    def _fetch(self, after: int, last: int) -> list[Message]:
        """The next messages after `after`: at least one, none of which is left out.

        Any copy may give them, usually the one on the node of this connection. If that is behind
        for too long, the leader has to.
        """
        begin = time.monotonic()
        while (spent := time.monotonic() - begin) < _ANSWER_SECONDS:
            found = (
                self._from_any(after, last)
                if spent < _STALE_SECONDS
                else self._from_leader(after, last)
            )
            if found:
                return found
            first = self.bounds()[0]
            if first > after + 1:
                raise LogTrimmedError(first)
            self._connection.closed.wait(_PAUSE_SECONDS)
        raise LogUnavailableError(f"the engine does not give message {after + 1}")

    def _from_any(self, after: int, last: int) -> list[Message]:
        asked = {
            "seq": after + 1,
            "batch": min(_BATCH, last - after),
            "max_bytes": _BATCH_BYTES,
        }
        messages = self._connection.batch(
            f"$JS.API.DIRECT.GET.{self._stream}", msgspec.json.encode(asked), _STALE_SECONDS
        )
        found: list[Message] = []
        for headers, data in messages:
            seq = int(headers.get("Nats-Sequence", 0))
            if seq != after + 1 + len(found):
                break
            found.append(Message(seq, data))
        return found

    def _from_leader(self, after: int, last: int) -> list[Message]:
        api = f"$JS.API.STREAM.MSG.GET.{self._stream}"
        numbers = range(after + 1, min(last, after + _LEADER_BATCH) + 1)
        asked = [(api, msgspec.json.encode({"seq": seq})) for seq in numbers]
        found: list[Message] = []
        for seq, answer in zip(
            numbers, self._connection.calls(asked, _ANSWER_SECONDS), strict=True
        ):
            row = checked(StoredAnswer, answer, {NO_MESSAGE}).row()
            if row is None:
                break
            found.append(Message(seq, row.value))
        return found

    def _info(self, stream: str, asked: object = None) -> StreamAnswer:
        return self._ask(f"STREAM.INFO.{stream}", StreamAnswer, asked)

    def _ask(
        self, api: str, kind: type[A], asked: object = None, allow: Set[int] = frozenset()
    ) -> A:
        """What the leader of a stream answers. Raises `LogUnavailableError` for other errors."""
        deadline = time.monotonic() + _ANSWER_SECONDS
        payload = b"" if asked is None else msgspec.json.encode(asked)
        while True:
            left = deadline - time.monotonic()
            answer = self._connection.call(f"$JS.API.{api}", payload, seconds=max(left, 0.1))
            try:
                return checked(kind, answer, allow)
            except TemporaryError:
                if left <= _PAUSE_SECONDS:
                    raise
            self._connection.closed.wait(_PAUSE_SECONDS)
