"""Reading answers off a connection: the status, `Retry-After` and at most 64 KiB in all."""

from __future__ import annotations

import re

import httptools

MAX_ANSWER_BYTES = 65_536
"""Head and body together. What PagerDuty answers is well under 1 KiB."""

_SWITCHING_PROTOCOLS = 101

# The status line of the final answer, whole, behind any number of whole interim answers.
_STATUS_LINE = re.compile(
    rb"(?:HTTP/\d(?:\.\d)? 1(?!01)\d\d[^\n]*\n(?:[^\r\n][^\n]*\n)*\r?\n)*"
    rb"HTTP/\d(?:\.\d)? (101|[2-9]\d\d)(?: [^\n]*)?\r?\n"
)


class AnswerReader:
    """Takes the bytes of one connection and finds the answers in them, one after the other.

    `start`, then `feed` until `complete`, or `end` where no more bytes come. After that `status` is
    the HTTP code, or 0 if not even a whole status line came; `garbled` then says that what came is
    no HTTP. An answer that breaks off or turns
    bad behind its status line still has its status: that is what says whether the event was taken.
    `reusable` says whether the connection is fit for a further request. Interim answers (1xx but
    101) are skipped.
    """

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.start()

    def start(self) -> None:
        """Get ready for the answer to the next request."""
        self.status = 0
        self.retry_after: str | None = None
        self.head_complete = False
        self.complete = False
        self.reusable = False
        self.garbled = False
        self._received = b""
        self._body: list[bytes] = []

    @property
    def begun(self) -> bool:
        """Whether any byte of an answer has come."""
        return bool(self._received)

    @property
    def room(self) -> int:
        """How many more bytes are taken."""
        return MAX_ANSWER_BYTES - len(self._received)

    @property
    def body(self) -> bytes:
        """What came of the body, without chunked coding."""
        return b"".join(self._body)

    def feed(self, received: bytes) -> None:
        """Take the next bytes from the connection."""
        self._received += received
        try:
            self._parser.feed_data(received)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._stop_reading()
        if self.room <= 0 and not self.complete:
            self._stop_reading()

    def end(self) -> None:
        """No more bytes come: make do with those that did."""
        self.complete = True
        self.reusable = False
        if not self.head_complete:
            line = _STATUS_LINE.match(self._received)
            self.status = int(line[1]) if line else 0

    def _stop_reading(self) -> None:
        """What comes makes no sense, or there is too much of it."""
        self.end()
        self.garbled = not self.status

    # Called by the parser, under the names that httptools gives.

    def on_message_begin(self) -> None:
        """A further answer begins in the same bytes: nobody asked for it."""
        if self.complete:
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Of all headers one is of interest; those that frame the body are the parser's."""
        if len(name) == 11 and name.lower() == b"retry-after":
            self.retry_after = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The status is certain, unless it is an interim one."""
        if not self.complete:
            self.status = self._parser.get_status_code()
            self.head_complete = True

    def on_body(self, chunk: bytes) -> None:
        """A piece of the body."""
        if not self.complete:
            self._body.append(chunk)

    def on_message_complete(self) -> None:
        """The answer is here, unless it was an interim one."""
        if self.complete:
            return
        if 100 <= self.status <= 199 and self.status != _SWITCHING_PROTOCOLS:
            self.status, self.retry_after, self.head_complete = 0, None, False
        else:
            self.complete = True
            self.reusable = self._parser.should_keep_alive() and self.status != _SWITCHING_PROTOCOLS
