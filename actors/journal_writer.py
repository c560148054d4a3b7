"""The only writer of the journal: group commit.

pykka can't hand over an inbox at once, so writes gather in a buffer until the inbox is empty. Then
all of them are committed together: what arrives while a commit runs joins the next one. A Sender
that has caused a write commits it in its own thread, unless a commit is under way.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from actors.bodies import Bodies
from actors.core.commands import Refusal
from actors.dispatcher import DispatchedActor, Dispatcher
from actors.messages import (
    UNAVAILABLE,
    Delivery,
    Due,
    Fence,
    FencePassed,
    Remove,
    Report,
    Write,
    WriteFailed,
    tell,
    unconfirmed,
)
from actors.supervised import place_of
from store.errors import (
    CommitFailedError,
    JournalDisplacedError,
    JournalError,
    JournalFullError,
)
from store.port import Journal
from store.records import Entry, QueueId, Record

logger = logging.getLogger(__name__)

_LOOK_AGAIN = 1.0  # seconds
_MOST_GATHERED = 1_000  # writes in one commit


class Admission:
    """Whether new events can be taken: written by the JournalWriter, read by the edge.

    Plain attributes on purpose: reading them costs nothing, and an event that slips in while
    `refusal` changes fits into the reserve. `busy_since` is when the writer began what it is doing
    (monotonic seconds), None when it waits for work.
    """

    def __init__(self) -> None:
        self.refusal: Refusal | None = None
        self.busy_since: float | None = None


COMMIT_SIZES = 14


class WriterStatistics(msgspec.Struct, kw_only=True):
    """Since the start: commits, appends in them, failed commits, seconds in commits.

    `sizes[n]` counts the commits with 2**(n-1) to 2**n - 1 appends, the last one those with more.
    """

    commits: int = 0
    appends: int = 0
    failures: int = 0
    seconds: float = 0.0
    sizes: list[int] = msgspec.field(default_factory=lambda: [0] * COMMIT_SIZES)


class JournalWriter(DispatchedActor):
    """Commits in the order of arrival; one transaction, one fsync for all that wait.

    After a failed commit nothing is known about what was persisted. Each Sequencer concerned ends,
    and writes of its incarnation are refused; its successor reads the queue from the journal.
    """

    def __init__(
        self,
        report: Report,
        dispatcher: Dispatcher,
        journal: Journal,
        admission: Admission,
        statistics: WriterStatistics,
        bodies: Bodies,
        hand_over: Callable[[Delivery], None],
        observe: Callable[[QueueId, Sequence[Record]], None],
    ) -> None:
        super().__init__(report, dispatcher)
        self._dispatcher = dispatcher
        self._journal = journal
        self._admission = admission
        self._statistics = statistics
        self._bodies = bodies
        self._hand_over = hand_over
        self._observe = observe
        self._buffer: list[Write] = []
        self._current: dict[QueueId, Fence] = {}
        self._waiting_fences: list[Fence] = []
        self._broken: str | None = None
        self._failures_logged: set[str] = set()

    def begin(self) -> None:
        """Check the journal: an earlier writer may have died while it refused events."""
        self._look_again()

    def receive(self, message: Any) -> None:
        """The writer's messages."""
        self._admission.busy_since = time.monotonic()
        try:
            match message:
                case Write():
                    self._buffer.append(message)
                case Fence():
                    self._fence(message)
                case Remove(entries=entries):
                    self._remove(entries)
                case Due():
                    self._look_again()
            gathered = len(self._buffer)
            if gathered >= _MOST_GATHERED or (gathered and self.actor_inbox.empty()):
                self._flush()
        finally:
            self._admission.busy_since = None

    def on_stop(self) -> None:
        """Commit what has gathered; nothing comes after."""
        self._flush()

    def abandon(self, message: Any) -> None:
        """Refuse writes that will never be committed."""
        match message:
            case Write():
                self._answer(message, UNAVAILABLE)
        for write in self._buffer:
            self._answer(write, UNAVAILABLE)
        self._buffer.clear()

    def _flush(self) -> None:
        batch, self._buffer = self._buffer, []
        valid = [write for write in batch if self._is_current(write)]
        for write in batch:
            if not self._is_current(write):
                self.abandon(write)
        if not valid:
            return
        if self._broken is not None:
            self._lose(valid, self._admission.refusal or UNAVAILABLE)
            return
        started = time.perf_counter()
        try:
            self._journal.commit([write.append for write in valid])
        except CommitFailedError as error:
            self._break(error)
            self._lose(valid, unconfirmed(str(error)))
            return
        except JournalDisplacedError:
            self._admit()  # sets the refusal that later senders get
            self._lose(valid, self._admission.refusal or UNAVAILABLE)
            return
        except BaseException as error:
            for write in valid:
                self._answer(write, unconfirmed(f"the commit failed ({type(error).__name__})"))
            raise
        self._statistics.commits += 1
        self._statistics.appends += len(valid)
        self._statistics.sizes[min(len(valid).bit_length(), COMMIT_SIZES - 1)] += 1
        self._statistics.seconds += time.perf_counter() - started
        asked = any(write.replies for write in valid)
        for write in valid:
            self._answer(write)
        for write in valid:
            self._bodies.note(write.append.records)
            if write.last:
                self._current.pop(write.append.queue, None)
            if write.delivery is not None:
                self._hand_over(write.delivery)
        if asked:
            self._admit()
        for write in valid:
            self._call(self._observe, write.append.queue, write.append.records)

    def _call(self, callback: Callable[..., None], *what: object) -> None:
        """Call a reply or the observer. An error in it must not end the only writer."""
        try:
            callback(*what)
        except Exception as error:  # noqa: BLE001 - whatever they do wrong
            place = place_of(error)
            if place not in self._failures_logged:  # it may fail on each record
                self._failures_logged.add(place)
                logger.error("a callback after a commit failed (%s): the writer continues", place)

    def _answer(self, write: Write, refusal: Refusal | None = None) -> None:
        """Call the replies of a write, unless they were called before."""
        replies, write.replies = write.replies, ()
        for reply, answer in replies:
            self._call(reply, refusal or answer)

    def _is_current(self, write: Write) -> bool:
        fence = self._current.get(write.append.queue)
        return fence is not None and fence.incarnation == write.incarnation

    def _lose(self, writes: Sequence[Write], why: Refusal) -> None:
        for write in writes:
            self._answer(write, why)
            fence = self._current.pop(write.append.queue, None)
            if fence is not None:
                tell(fence.sequencer, WriteFailed())

    def _fence(self, fence: Fence) -> None:
        if self._buffer:
            self._flush()
        if self._broken is not None:
            self._waiting_fences.append(fence)
            return
        self._current[fence.queue] = fence
        tell(fence.sequencer, FencePassed())

    def _remove(self, entries: Sequence[Entry]) -> None:
        if self._broken is not None:
            return
        try:
            self._journal.remove(entries)
        except CommitFailedError as error:
            self._break(error)
        else:
            self._admit()

    def _break(self, error: CommitFailedError) -> None:
        """Refuse everything until the journal can be written again; `_look_again` finds out."""
        logger.error("%s; nothing is accepted or delivered until it works again", error)
        self._statistics.failures += 1
        self._broken = str(error)
        refusal = Refusal(
            reason="unavailable",
            message=f"{error}: make room on its disk, the agent then continues without a restart",
            retry_after=10,
        )
        if not error.is_about_disk:
            refusal = msgspec.structs.replace(refusal, message=str(error))
        self._admission.refusal = refusal

    def _admit(self) -> None:
        try:
            self._journal.admit()
        except JournalFullError as error:
            self._admit_nothing(Refusal(reason="journal_full", message=str(error), retry_after=30))
        except JournalDisplacedError as error:
            self._admit_nothing(Refusal(reason="unavailable", message=str(error), retry_after=30))
        else:
            if self._admission.refusal is not None:
                logger.warning("the journal takes new events again")
            self._admission.refusal = None

    def _admit_nothing(self, why: Refusal) -> None:
        before, self._admission.refusal = self._admission.refusal, why
        if before is None or before.reason != why.reason:
            logger.error("%s; new events are refused, deliveries go on", why.message)

    def _look_again(self) -> None:
        """Check every second, also when nothing is written, so that health stays current."""
        self._dispatcher.tell_later(self.actor_ref, Due(), _LOOK_AGAIN)
        if self._broken is not None:
            try:
                self._journal.recover()
            except JournalError:
                return
            self._broken = None
            logger.warning("the journal can be written again")
        self._admit()
        fences, self._waiting_fences = self._waiting_fences, []
        for fence in fences:
            self._fence(fence)
