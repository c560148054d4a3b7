"""Lines out of a stream of bytes, of which none may be too long."""

from __future__ import annotations

from collections.abc import Iterator

_RETURN = b"\r"


class TooLong(bytes):
    """Stands for a line over the limit; empty, its content isn't kept."""


class LineSplitter:
    """Cuts pieces of a stream into lines, without their line ends (LF or CRLF).

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
        return line if len(line) <= self._longest else TooLong()
