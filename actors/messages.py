"""All messages between actors. Commands of the core travel inside `Perform`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pykka
from pykka._envelope import Envelope

from actors.core.commands import Answer, Command, Refusal
from store.port import Append
from store.records import Entry, EventId, QueueId

SenderId = int

Reply = Callable[[Answer], None]

Report = Callable[[BaseException], None]
"""Called once by an actor that ends with an error, in the actor's thread."""


class Perform(msgspec.Struct, frozen=True):
    """Carry out a command and call `reply` once, from whatever thread, when it is on disk."""

    command: Command
    reply: Reply


class PerformAll(msgspec.Struct, frozen=True):
    """Carry out commands of one queue in their order, with one append for all of them.

    `reply` is called once with `Answers`, or with a `Refusal` if nothing was carried out. Ten
    events in one message cost a third each of what they cost in messages of their own.
    """

    commands: Sequence[Command]
    reply: Reply


class Needed(msgspec.Struct, frozen=True):
    """To the Supervisor: this queue has work and no Sequencer."""

    queue: QueueId


class SenderNeeded(msgspec.Struct, frozen=True):
    """To the Supervisor: there is something to deliver for this sender, and it does not run."""

    number: SenderId


class Due(msgspec.Struct, frozen=True):
    """To an actor: the deadline that it has set on its inbox has come."""


class Grant(msgspec.Struct, frozen=True):
    """To a Sequencer: it is this queue's turn, with this sender."""

    queue: QueueId
    sender: SenderId


class Wake(msgspec.Struct, frozen=True):
    """To a Sequencer: look again whether something is due, or a verdict can be claimed."""


class SaveSnapshot(msgspec.Struct, frozen=True):
    """To a Sequencer: save a snapshot now, so that old records can be removed."""


class IdleCheck(msgspec.Struct, frozen=True):
    """To a Sequencer: it may have been idle long enough to stop."""


class Saved(msgspec.Struct, frozen=True):
    """To a Sequencer that stops: all that it has written is on disk."""


class Failed(msgspec.Struct, frozen=True):
    """To the Supervisor: an actor died. `name` says which kind, `number` which one."""

    name: str
    number: int
    incarnation: int
    error: str


class Delivery(msgspec.Struct, frozen=True):
    """To a Sender: deliver this event of this queue."""

    queue: QueueId
    sender: SenderId
    event: EventId
    attempt: int


class Write(msgspec.Struct, kw_only=True):
    """To the JournalWriter: commit, then answer and hand over what had to wait for the commit.

    After the `last` one, the incarnation may write no more.
    """

    append: Append
    incarnation: int
    replies: tuple[tuple[Reply, Answer], ...] = ()
    delivery: Delivery | None = None
    last: bool = False


class Remove(msgspec.Struct, frozen=True):
    """To the JournalWriter: remove old entries."""

    entries: Sequence[Entry]


class Fence(msgspec.Struct, frozen=True):
    """To the JournalWriter: from here on only this incarnation may write for the queue.

    Answered with `FencePassed` once everything before it is committed or failed.
    """

    queue: QueueId
    incarnation: int
    sequencer: pykka.ActorRef[Any]


class FencePassed(msgspec.Struct, frozen=True):
    """To a Sequencer: read the journal now, no other incarnation writes to this queue."""


class WriteFailed(msgspec.Struct, frozen=True):
    """To a Sequencer: a commit failed, so that its state may not be what is on disk."""


def tell(ref: pykka.ActorRef[Any] | None, message: Any) -> bool:
    """Send a message; False if there is no such actor, or it has ended."""
    if ref is None or ref.actor_stopped.is_set():
        return False
    ref.actor_inbox.put(Envelope(message))  # as `ref.tell` does, in half the time
    return True


def stop(ref: pykka.ActorRef[Any] | None) -> None:
    """Have an actor end after what waits in its inbox, if there is one."""
    with contextlib.suppress(pykka.ActorDeadError):
        if ref is not None:
            ref.stop(block=False)


UNAVAILABLE = Refusal(
    reason="unavailable",
    message="the agent could not store the event just now: send it again",
    retry_after=5,
)

QUARANTINED = Refusal(
    reason="unavailable",
    message="this routing key's queue is being restarted after a failure: "
    "try again, 'pagerduty-agent status' shows when it works",
    retry_after=5,
)

STOPPING = Refusal(
    reason="unavailable", message="the agent is stopping: send the event again", retry_after=5
)


def unconfirmed(why: str) -> Refusal:
    """For what was part of a commit that failed: the disk may have it all the same."""
    return Refusal(reason="unconfirmed", message=why, retry_after=5)
