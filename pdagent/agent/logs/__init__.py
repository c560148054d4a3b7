"""Logging of the server: console or JSON lines on stderr, with every credential masked."""

from __future__ import annotations

import logging
import sys
import threading
import time
from types import TracebackType

import msgspec

from pdagent.agent.logs.thread import LogThread, LogThreadHandler
from pdagent.config import Config
from pdagent.masking import without_keys
from pdagent.occurrence import utc_timestamp
from pdagent.operating.names import QueueNames
from pdagent.wording import one_line

logger = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode


class Lines:
    """How a line of the log looks, in `log_format`.

    `mask` replaces the shared secret and whatever looks like a routing key. `are_json` is False for
    lines of the console.
    """

    def __init__(self, config: Config) -> None:
        self._secret = config.secret
        self.are_json = config.log_format == "json"

    def mask(self, text: str) -> str:
        """`text` without any credential."""
        if self._secret:
            text = text.replace(self._secret, "…")
        return without_keys(text)

    def line(
        self, at: float, level: str, logger: str, message: str, fields: dict[str, object]
    ) -> str:
        """One line with its end; `at` in seconds since 1970. Credentials must be masked already."""
        stamp = utc_timestamp(at)
        if self.are_json:
            head = {"at": stamp, "level": level, "logger": logger, "message": message}
            return f"{_encode(head | fields).decode()}\n"
        traceback = fields.pop("traceback", None)
        end = "\n" if traceback is None else f"\n{traceback}\n"
        return f"{stamp} {level.upper():<7} {one_line(message)}{shown(fields)}{end}"


def shown(fields: dict[str, object]) -> str:
    """How a line of the console shows fields, with a space before each."""
    return "".join([f" {name}={_quoted(value)}" for name, value in fields.items()])


def _quoted(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    text = str(value)
    if " " not in text and text.isprintable():
        return text
    return f'"{one_line(text)}"'


class _Formatter(logging.Formatter):
    """Formats records of the `logging` module as `Lines` says.

    One whose `extra` has a `routing_key` is about that key's queue, which is called by its name.
    """

    def __init__(self, lines: Lines, names: QueueNames) -> None:
        super().__init__()
        self._lines = lines
        self._names = names

    def format(self, record: logging.LogRecord) -> str:
        """One line; on the console, a traceback follows it."""
        lines = self._lines
        fields: dict[str, object] = {}
        key = getattr(record, "routing_key", None)
        if key is not None:
            fields["queue"] = self._names.of(key)
        if record.exc_info:
            fields["traceback"] = lines.mask(self.formatException(record.exc_info))
        message = lines.mask(record.getMessage())
        level = record.levelname.lower()
        return lines.line(record.created, level, record.name, message, fields).rstrip("\n")


def set_up_logging(config: Config) -> LogThread:
    """Log to stderr as `log_format` and `log_level` say; replaces any earlier set-up.

    Warnings and uncaught exceptions, which Python would print, are logged too, with credentials
    masked. The thread returned writes at once until it is
    started, and has to be stopped at the end.
    """
    lines = Lines(config)

    def remark(text: str) -> str:
        return lines.line(time.time(), "warning", __name__, text, {})

    thread = LogThread(sys.stderr, remark)
    handler = LogThreadHandler(thread)
    handler.setFormatter(_Formatter(lines, QueueNames(config.routing_keys)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(config.log_level.upper())
    for noisy in ("uvicorn", "urllib3", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_exception
    threading.excepthook = _log_thread_exception
    sys.unraisablehook = _log_unraisable
    return thread


def _log_exception(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    logger.critical("the agent fails", exc_info=(kind, error, trace))


def _log_thread_exception(failure: threading.ExceptHookArgs) -> None:
    if failure.exc_value is None or issubclass(failure.exc_type, SystemExit):
        return
    name = failure.thread.name if failure.thread else "?"
    trace = (failure.exc_type, failure.exc_value, failure.exc_traceback)
    logger.critical("the thread %s fails", name, exc_info=trace)


def _log_unraisable(failure: sys.UnraisableHookArgs) -> None:
    logger.error("an error that nothing can handle", exc_info=failure.exc_value)
