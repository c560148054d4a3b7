"""Appends changes to a log, whatever becomes of the engine's answers."""

from __future__ import annotations

import secrets
import time

from store.errors import EngineSilentError
from store.log import Log, LogConflictError, LogTrimmedError, LogUnavailableError
from store.replication import WRITER_BYTES, Alteration, Position, messages_of

_PAUSE = 0.1  # seconds
_LOOK = 0.5  # seconds


class LogWriter:
    """Numbers the changes of this process, so that it knows its own in the log.

    `patience` (seconds): what the engine does not confirm for so long has failed.
    """

    def __init__(self, log: Log, patience: float) -> None:
        self.id = secrets.token_bytes(WRITER_BYTES)
        self._log = log
        self._patience = patience
        self._number = 0

    def append(self, change: Alteration, after: int) -> Position:
        """Append a change if `after` is the last message of the log; returns where it is.

        Raises `LogConflictError` if another message is there, `EngineSilentError` if it isn't known
        whether the change is in the log, or will be.
        """
        self._number += 1
        deadline = time.monotonic() + self._patience
        for data in messages_of(change, self.id, self._number, self._log.max_message):
            after = self._append_message(data, after, deadline)
        return Position(after, self.id, self._number, self._log.identity)

    def _append_message(self, data: bytes, after: int, deadline: float) -> int:
        """While it is unknown whether it was stored, the same is sent again."""
        trouble: LogUnavailableError | LogConflictError
        while True:
            try:
                return self._log.append(after, data)
            except LogUnavailableError as error:
                trouble = error
            except LogConflictError as error:
                found = self._message_behind(after)
                if found == data:
                    return after + 1
                if found is not None:
                    raise
                trouble = error
            if time.monotonic() >= deadline:
                raise EngineSilentError(self._patience, trouble)
            time.sleep(_PAUSE)

    def _message_behind(self, after: int) -> bytes | None:
        """None if it can't be read now."""
        try:
            for message in self._log.read(after, _LOOK):
                return message.data
        except LogUnavailableError:
            pass
        except LogTrimmedError:
            return b""
        return None
