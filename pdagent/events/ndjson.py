"""Lines out of a stream of bytes, of which none may be too long."""

from __future__ import annotations

from collections.abc import Iterator

from pdagent.events import rawjson

_RETURN = b"\r"
_COMMA = b"},"
# A pretty-printer breaks lines behind these.
_GOES_ON = (b"{", b"[", b":", b",")
_ENOUGH = 1 << 16  # bytes


def decides(beginning: bytes) -> bool:
    """Whether `why_not_lines` can judge by these first bytes of a batch."""
    return b"\n" in beginning.lstrip() or len(beginning) >= _ENOUGH


def why_not_lines(beginning: bytes) -> str | None:
    """Why a batch that begins so is not one event per line, in one sentence; None if it may be."""
    text = beginning.removeprefix(rawjson.BYTE_ORDER_MARK).lstrip()
    line, line_feed, _ = text.partition(b"\n")
    line = line.rstrip()
    if line.startswith(b"["):
        return "the batch is a JSON array, it takes one event per line: convert it with jq -c '.[]'"
    if line_feed and line.startswith(b"{") and line.endswith(_GOES_ON):
        try:
            rawjson.read(line.removesuffix(b","))
        except rawjson.MalformedJsonError:
            return (
                "the batch has an event on several lines, it takes one event per line: "
                "convert it with jq -c ."
            )
    return None


class TooLong(bytes):
    """A line over the limit; empty, since its content isn't kept."""


class LineSplitter:
    """Cuts pieces of a stream into lines, without their line ends (LF or CRLF).

    A comma between two events is dropped with the line end.

    `longest` is in bytes, line end not included. Never holds many more and one piece, however long
    a line gets.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._begun: list[bytes] = []
        self._size = 0
        self._too_long = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The lines that end in `piece`."""
        first, *others = piece.split(b"\n")
        self._keep(first)
        if not others:
            return
        yield self._take()
        last = others.pop()
        for line in others:
            yield self._without_return(line)
        self._keep(last)

    def end(self) -> Iterator[bytes]:
        """What the stream ended with, if its last line had no line feed."""
        if self._size:
            yield self._take()

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._longest + len(_RETURN):
            self._too_long = True
            self._begun.clear()
        elif part:
            self._begun.append(part)

    def _take(self) -> bytes:
        line = TooLong() if self._too_long else self._without_return(b"".join(self._begun))
        self._begun.clear()
        self._size, self._too_long = 0, False
        return line

    def _without_return(self, line: bytes) -> bytes:
        line = line.removesuffix(_RETURN)
        if (trimmed := line.rstrip()).endswith(_COMMA):
            line = trimmed[:-1]
        return line if len(line) <= self._longest else TooLong()
