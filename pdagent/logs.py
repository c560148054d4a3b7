"""Logging of the server: console or JSON lines on stderr, with every credential masked."""

from __future__ import annotations

import logging
import re
import sys
import time

import msgspec

from pdagent.config import Config
from pdagent.masking import mask

_LIKE_A_KEY = re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9]{32}(?![A-Za-z0-9])")


class _Masked(logging.Formatter):
    """Masks the shared secret and whatever looks like a routing key, in tracebacks as well."""

    def __init__(self, config: Config, fmt: str) -> None:
        super().__init__(fmt, datefmt="%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime
        self._secret = config.secret

    def format(self, record: logging.LogRecord) -> str:
        return self._mask(super().format(record))

    def _mask(self, text: str) -> str:
        if self._secret:
            text = text.replace(self._secret, "…")
        return _LIKE_A_KEY.sub(lambda match: mask(match.group()), text)


class _Json(_Masked):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": f"{self.formatTime(record, self.datefmt)}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return self._mask(msgspec.json.encode(line).decode())


def set_up_logging(config: Config) -> None:
    """Log to stderr as `log_format` and `log_level` say; replaces any earlier set-up."""
    console = "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(message)s"
    formatter = _Json(config, "") if config.log_format == "json" else _Masked(config, console)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(config.log_level.upper())
    for noisy in ("uvicorn", "urllib3", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
