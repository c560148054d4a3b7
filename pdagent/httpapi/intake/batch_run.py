"""One request of `POST /send/batch`: from a stream of lines to a stream of results.

Lines of different keys are stored side by side. What follows is gathered while the lines before are
being committed, then handed over, all lines of a key at once: that keeps the order, and makes an
event in a batch several times as cheap as one on its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from actors.core.commands import Answer, Answers, NewEvent, Receipt, Refusal
from pdagent.events import MAX_EVENT_BYTES, EventKind, InvalidEvent, parse
from pdagent.events.ndjson import LineSplitter, TooLong
from pdagent.httpapi.agent import Agent, EventSender, completed
from pdagent.httpapi.answers import line_error, line_refusal, stored
from store.records import RoutingKey

if TYPE_CHECKING:
    from pdagent.forwarding.acknowledging import Expected

MAX_OPEN_LINES = 4_000
"""Lines that may wait for their commit at once."""

_MAX_OPEN_BYTES = 8 << 20
# For clients that send everything before they read anything.
_MAX_UNREAD_LINES = 100_000
# So many lines that have gathered are handed over while others are being committed.
_LINES_AT_ONCE = 1_000
_LONGEST_WAIT = 0.1  # seconds, for that commit
# Parsing keeps the event loop busy: after so many lines others have a turn.
_LINES_A_TURN = 256
_RESULTS_A_PIECE = 1_000
# Their answers wait for relays, which take the events of a key one after the other.
_LINES_FOR_RELAYS = 400


class _Line:
    """One line on its way; `result` is what goes back for it."""

    __slots__ = ("kind", "number", "result", "size")

    def __init__(self, number: int, size: int) -> None:
        self.number = number
        self.size = size
        self.kind: EventKind = "v2"
        self.result: bytes | None = None


class _Group:
    """Lines of one key that were handed over together."""

    __slots__ = ("began", "expected", "key", "lines")

    def __init__(
        self, key: RoutingKey, lines: list[_Line], expected: list[Expected] | None
    ) -> None:
        self.key = key
        self.lines = lines
        self.expected = expected
        self.began = time.perf_counter()


class BatchRun:
    """Stores the lines of one request; everything happens in the event loop's thread.

    `kind` is that of all events, None if their fields tell; `idempotency_key` is the request's,
    from which each line has its own by its number; `occurred` is when all of them did; lines are
    counted from `first_line`.
    """

    def __init__(
        self,
        agent: Agent,
        *,
        kind: EventKind | None,
        sender: EventSender,
        idempotency_key: str | None,
        occurred: str | None,
        first_line: int,
    ) -> None:
        self._agent = agent
        self._relays = agent.acknowledgements
        self._most_open = MAX_OPEN_LINES if self._relays is None else _LINES_FOR_RELAYS
        self._kind: EventKind | None = kind
        self._sender = sender
        self._idempotency_key = idempotency_key
        self._occurred = occurred
        self._next_number = first_line
        self._lines: deque[_Line] = deque()
        self._gathered: dict[RoutingKey, tuple[list[_Line], list[NewEvent]]] = {}
        self._under_way: set[RoutingKey] = set()
        self._barred: dict[RoutingKey, Refusal] = {}
        self._gathered_lines = 0
        self._has_timer = False
        self._open = 0
        self._open_bytes = 0
        self._turn_began = time.perf_counter()
        self._progress = asyncio.Event()
        self._room = asyncio.Event()

    async def results(self, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Read all of `stream`; yield results, in the order of their lines, as they come."""
        reader = asyncio.create_task(self._read(stream))
        reader.add_done_callback(lambda _: self._progress.set())
        try:
            while self._lines or not reader.done():
                self._progress.clear()
                ready = self._take_ready()
                if ready:
                    yield b"".join(ready)
                    self._room.set()
                elif reader.done() and reader.exception() is not None:
                    break
                elif self._lines or not reader.done():
                    await self._progress.wait()
            await reader
        finally:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader

    def _take_ready(self) -> list[bytes]:
        ready: list[bytes] = []
        lines = self._lines
        while lines and len(ready) < _RESULTS_A_PIECE and (result := lines[0].result) is not None:
            lines.popleft()
            ready.append(result)
        return ready

    async def _read(self, stream: AsyncIterator[bytes]) -> None:
        splitter = LineSplitter(MAX_EVENT_BYTES)
        taken = 0
        async for piece in stream:
            for line in splitter.feed(piece):
                self._take(line)
                taken += 1
                if taken % _LINES_A_TURN == 0 or self._is_full():
                    self._hand_over()
                    await self._until_there_is_room()
            self._hand_over()
        for line in splitter.end():
            self._take(line)
        self._hand_over()

    def _is_full(self) -> bool:
        return self._open >= self._most_open or self._open_bytes >= _MAX_OPEN_BYTES

    async def _until_there_is_room(self) -> None:
        computed = time.perf_counter() - self._turn_began
        await asyncio.sleep(self._agent.replies.pause_after(computed))
        while self._is_full() or len(self._lines) >= _MAX_UNREAD_LINES:
            self._room.clear()
            await self._room.wait()
        self._turn_began = time.perf_counter()

    def _take(self, text: bytes) -> None:
        number = self._next_number
        self._next_number += 1
        if isinstance(text, TooLong):
            reason = f"the event is larger than {MAX_EVENT_BYTES} bytes, PagerDuty's limit"
            line = _Line(number, 0)
            line.result = line_error(number, 413, reason) + b"\n"
            self._lines.append(line)
            return
        if not text or text.isspace():
            return
        line = _Line(number, len(text))
        self._lines.append(line)
        try:
            event = parse(self._kind, text)
        except InvalidEvent as invalid:
            line.result = line_error(number, 400, *invalid.errors) + b"\n"
            return
        line.kind = event.kind
        idempotency_key = None
        if self._idempotency_key is not None:
            # No header can hold a line feed: it is no other request's key.
            idempotency_key = f"{self._idempotency_key}\n{number}"
        key, new = completed(
            self._agent,
            event,
            sender=self._sender,
            idempotency_key=idempotency_key,
            occurred=self._occurred,
        )
        barred = self._barred.get(key)
        if barred is not None:
            self._note(line, barred, 0.0)
            return
        self._open += 1
        self._open_bytes += line.size
        self._gathered_lines += 1
        lines, events = self._gathered.setdefault(key, ([], []))
        lines.append(line)
        events.append(new)

    def _hand_over(self) -> None:
        """Hand over what has gathered; if a commit is under way, its end does, with more lines.

        No key waits longer than `_LONGEST_WAIT` for another whose commit hangs.
        """
        self._progress.set()
        if not self._under_way or self._gathered_lines >= _LINES_AT_ONCE:
            self._hand_over_all()
        elif not self._has_timer:
            self._has_timer = True
            asyncio.get_running_loop().call_later(_LONGEST_WAIT, self._hand_over_late)

    def _hand_over_late(self) -> None:
        self._has_timer = False
        self._hand_over_all()

    def _hand_over_all(self) -> None:
        for key in [key for key in self._gathered if key not in self._under_way]:
            self._hand_over_key(key)

    def _hand_over_key(self, key: RoutingKey) -> None:
        lines, events = self._gathered.pop(key)
        self._gathered_lines -= len(lines)
        self._under_way.add(key)
        expected = [self._relays.expect(event.id) for event in events] if self._relays else None
        self._agent.replies.submit(
            partial(self._agent.system.accept_all, key, events),
            partial(self._settle, _Group(key, lines, expected)),
        )

    def _settle(self, group: _Group, answer: Answer) -> None:
        key, lines = group.key, group.lines
        self._under_way.remove(key)
        seconds = time.perf_counter() - group.began
        answers = answer.each if isinstance(answer, Answers) else (answer,) * len(lines)
        for n, (line, each) in enumerate(zip(lines, answers, strict=True)):
            if isinstance(each, Refusal) and each.reason != "idempotency_key_reused":
                # What follows must not overtake: sent again, this line would come after it.
                self._barred.setdefault(key, _barring(each))
            assert isinstance(each, Receipt | Refusal)
            if self._relays and group.expected:
                self._relays.settle(
                    group.expected[n], each, partial(self._close_at_last, line, seconds)
                )
            else:
                self._close(line, each, seconds)
        if key in self._barred and key in self._gathered:
            self._refuse_gathered(key)
        if not self._under_way:
            self._hand_over()
        elif key in self._gathered and self._gathered_lines >= _LINES_AT_ONCE:
            self._hand_over_key(key)
        self._progress.set()
        self._room.set()

    def _refuse_gathered(self, key: RoutingKey) -> None:
        refused, _ = self._gathered.pop(key)
        self._gathered_lines -= len(refused)
        for line in refused:
            self._close(line, self._barred[key], 0.0)

    def _close(self, line: _Line, answer: Answer, seconds: float) -> None:
        self._note(line, answer, seconds)
        self._open -= 1
        self._open_bytes -= line.size

    def _close_at_last(self, line: _Line, seconds: float, answer: Receipt | Refusal) -> None:
        """A relay has the event, or has not for too long."""
        self._close(line, answer, seconds)
        self._progress.set()
        self._room.set()

    def _note(self, line: _Line, answer: Answer, seconds: float) -> None:
        assert isinstance(answer, Receipt | Refusal)
        self._agent.intake.note(answer, seconds)
        if isinstance(answer, Refusal):
            line.result = line_refusal(line.number, answer) + b"\n"
        else:
            line.result = stored(line.kind, answer, line=line.number) + b"\n"


def _barring(refusal: Refusal) -> Refusal:
    """Why lines after one that got `refusal` are refused: they were not handed over."""
    if refusal.reason != "unconfirmed":
        return refusal
    message = f"an earlier event of this routing key is not confirmed ({refusal.message})"
    return msgspec.structs.replace(refusal, reason="unavailable", message=message)
