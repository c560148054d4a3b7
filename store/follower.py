"""Applies the messages of a log to a copy, in order."""

from __future__ import annotations

from collections.abc import Sequence

from store.errors import JournalFencedError, JournalForeignError
from store.lmdb_copy import LmdbCopy
from store.log import Log, LogTrimmedError, LogUnavailableError
from store.replication import (
    WRITER_BYTES,
    Assembly,
    Part,
    Position,
    TakenOver,
    Whole,
    part_in,
)

_AT_ONCE = 4 << 20
"""Bytes of changes that are written to the copy in one transaction."""
_ANOTHER = "that owns the log now"


class Follower:
    """Knows how far `copy` is in `log`: `seq` is the last message that is taken into account.

    Only `resume` helps after a failure: until then, `is_sound` is False. For one thread at a time.
    """

    def __init__(self, copy: LmdbCopy, log: Log) -> None:
        self.seq = 0
        self.is_sound = False
        self._copy = copy
        self._log = log
        self._assembly = Assembly()
        self._owner: tuple[bytes, int] | None = None

    @property
    def owns(self) -> bool:
        """Whether this process has become the owner of the log."""
        return self._owner is not None

    def own(self, writer: bytes) -> None:
        """From here on, messages are to come from this writer only, which is this process."""
        self._owner = writer, self.seq

    def appended(self, seq: int) -> None:
        """This process has appended the messages up to `seq`; it writes them to the copy itself."""
        self.seq = seq
        self._assembly = Assembly()

    def resume(self) -> None:
        """Go on behind the last message that the copy has stored, which may not be the last known.

        Raises `JournalForeignError` for a copy of another log, or one that has more than the log.
        """
        first, last = self._log.bounds()
        position, directory = self._copy.position(), self._copy.directory
        if position is not None and position.log != self._log.identity:
            raise JournalForeignError(
                f"the journal {directory} is a copy of another log than the engine's: name "
                "another 'database'; an empty one is filled from the log"
            )
        if position is not None and (position.seq > last or not self._is_in_log(position, first)):
            raise JournalForeignError(
                f"the journal {directory} has message {position.seq}, which the engine has lost: "
                "move this directory away, start the relay again, then send again what the hosts "
                "have kept ('relay resend' on each)"
            )
        if position is None:
            self._begin(first)
        else:
            self.appended(position.seq)
        self.is_sound = True

    def _begin(self, first: int) -> None:
        if self._owner is not None:
            raise JournalFencedError(_ANOTHER)  # only an owner trims
        self._copy.begin(Position(first - 1, bytes(WRITER_BYTES), 0, self._log.identity))
        self.appended(first - 1)

    def _is_in_log(self, position: Position, first: int) -> bool:
        """Whether the message of a position is that of the log, as far as the log still has it."""
        if position.seq < first:
            return True
        try:
            for message in self._log.read(position.seq - 1):
                return part_in(message)[:2] == (position.writer, position.number)
        except LogTrimmedError:
            return True  # it was there when `first` was asked for
        raise LogUnavailableError(f"message {position.seq} of the log can't be read now")

    def catch_up(self, wait: float = 0.0) -> int:
        """Apply the messages behind the last one known; returns how many there were.

        If there are none, waits for one for up to `wait` seconds. A copy that is too old is filled
        anew. Raises `JournalFencedError` for a message of another owner, or where another owner has
        trimmed; `CommitFailedError` if the copy can't be written.
        """
        count = size = 0
        changes: list[Whole] = []
        try:
            for message in self._log.read(self.seq, wait):
                part = part_in(message)
                self._refuse_another_owner(message.seq, part)
                whole = self._assembly.add(message.seq, part)
                self.seq = message.seq
                count += 1
                if whole is not None:
                    changes.append(whole)
                    size += whole.size
                if size >= _AT_ONCE:
                    self._apply(changes)
                    changes, size = [], 0
        except LogTrimmedError as error:
            changes = []
            self._begin(error.first)
            return count + self.catch_up(wait)
        finally:
            self._apply(changes)
        return count

    def _apply(self, changes: Sequence[Whole]) -> None:
        if changes:
            last, was_sound = changes[-1], self.is_sound
            self.is_sound = False
            position = Position(last.seq, last.writer, last.number, self._log.identity)
            self._copy.apply([whole.change for whole in changes], position)
            self.is_sound = was_sound

    def _refuse_another_owner(self, seq: int, part: Part) -> None:
        if self._owner is None or part.writer == self._owner[0] or seq <= self._owner[1]:
            return
        whole = Assembly().add(seq, part)
        if whole is not None and isinstance(whole.change, TakenOver):
            raise JournalFencedError(whole.change.owner)
        raise JournalFencedError(_ANOTHER)
