"""One HTTP request over a socket, and the answer as it arrives.

An HTTP library takes longer to load than the rest of a command that sends an event.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from httptools import HttpParserError, HttpResponseParser

from pdagent.localclient.errors import Broken, NoAnswer, NotUnderstood, Unreachable

_CONNECT_SECONDS = 5.0
_PIECE = 1 << 16
_FRAMING = ("content-length", "transfer-encoding")


def connect(host: str, port: int) -> socket.socket:
    """A TCP connection. Raises `Unreachable`."""
    try:
        # Bytes: a name given as text is encoded as IDNA, which takes long to load.
        return socket.create_connection((host.encode(), port), _CONNECT_SECONDS)  # type: ignore[arg-type]
    except socket.gaierror:
        raise Unreachable("no such host") from None
    except TimeoutError:
        raise Unreachable("timed out") from None
    except OSError as error:
        raise Unreachable((error.strerror or type(error).__name__).lower()) from None


class Exchange:
    """Sends `request` over `connection`, then has the answer's `status` and `headers`.

    The other side may be silent for `seconds`. Header names are in lower case. Raises `NoAnswer`,
    or `NotUnderstood` if it isn't HTTP; so do `body` and `pieces`.
    """

    def __init__(self, connection: socket.socket, request: bytes, seconds: float) -> None:
        self.headers: dict[str, str] = {}
        self.status = 0
        self._connection = connection
        self._seconds = seconds
        self._parser = HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._complete = False
        connection.settimeout(seconds)
        with self._failures():
            # A server that refuses a request early closes, and its answer can still be read.
            with suppress(BrokenPipeError):
                connection.sendall(request)
            while not self.status:
                self._receive()

    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self.pieces())

    def lines(self) -> Iterator[bytes]:
        """The lines of the body as they arrive."""
        rest = b""
        for piece in self.pieces():
            *lines, rest = (rest + piece).split(b"\n")
            yield from lines
        if rest:
            yield rest

    def pieces(self) -> Iterator[bytes]:
        """The body as it arrives."""
        while self._pieces or not self._complete:
            arrived, self._pieces = self._pieces, []
            yield from arrived
            if not self._pieces and not self._complete:
                with self._failures():
                    self._receive()

    def _receive(self) -> None:
        if data := self._connection.recv(_PIECE):
            self._parser.feed_data(data)
        elif self.status and not any(name in self.headers for name in _FRAMING):
            self._complete = True
        else:
            raise ConnectionResetError

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise NoAnswer(f"none within {self._seconds:.0f} s") from None
        except OSError:
            raise Broken("the connection broke") from None
        except HttpParserError:
            raise NotUnderstood("it doesn't speak HTTP") from None

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        self._complete = True
