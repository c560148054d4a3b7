"""Peers on loopback that answer as told, or misbehave as told."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from pathlib import Path

CERTIFICATES = Path(__file__).parent / "certificates"
PATIENCE = 10.0


class Link:
    """The peer's end of one connection."""

    def __init__(self, sock: socket.socket, number: int, requests: list[bytes]) -> None:
        self.sock = sock
        self.number = number
        """1 for the first connection that the peer accepted."""
        self._requests = requests
        self._received = b""

    def request(self) -> bytes | None:
        """Read one whole request; None if the client closes instead."""
        while (end := self._received.find(b"\r\n\r\n")) < 0:
            if not self._more():
                return None
        head = self._received[:end].lower()
        _, found, value = head.partition(b"content-length:")
        length = end + 4 + (int(value.split(b"\r\n")[0]) if found else 0)
        while len(self._received) < length:
            if not self._more():
                return None
        request, self._received = self._received[:length], self._received[length:]
        self._requests.append(request)
        return request

    def send(self, answer: bytes) -> None:
        self.sock.sendall(answer)

    def answer_requests(self, *answers: bytes) -> None:
        """Answer one request after the other, then wait until the client closes."""
        for answer in answers:
            if self.request() is None:
                return
            self.send(answer)
        self.wait_for_close()

    def wait_for_close(self) -> None:
        with contextlib.suppress(OSError):
            while self.sock.recv(4096):
                pass

    def reset(self) -> None:
        """Close with a RST instead of a FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def _more(self) -> bool:
        try:
            received = self.sock.recv(65_536)
        except OSError:
            return False
        self._received += received
        return bool(received)


Script = Callable[[Link], None]


class Peer:
    """A server that runs `script` in a thread for each connection, then closes it.

    `certificate` names a file in `certificates` for a server that speaks TLS. What scripts raise
    for a client that went away is expected; anything else fails the test at the end.
    """

    def __init__(self, script: Script, certificate: str | None = None) -> None:
        self._script = script
        self.tls = server_context(certificate) if certificate else None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._errors: list[Exception] = []
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[bytes] = []
        self.accepted = 0
        self.done = threading.Event()
        """Set when the script of a connection has ended."""
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Peer:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(PATIENCE)
        for sock in self._open:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        assert not self._errors, self._errors

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            thread = threading.Thread(target=self._run, args=(sock, self.accepted), daemon=True)
            self._open.append(sock)
            self._threads.append(thread)
            thread.start()

    def _run(self, sock: socket.socket, number: int) -> None:
        try:
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_side=True)
                self._open.append(sock)
            with sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._script(Link(sock, number, self.requests))
        except OSError:
            sock.close()  # the client went away, or did not like the certificate
        except Exception as error:  # noqa: BLE001 (raised again by the thread of the test)
            self._errors.append(error)
        finally:
            self.done.set()


def server_context(certificate: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / certificate)
    return context


def answer(status: int, body: bytes = b"{}", *headers: str) -> bytes:
    lines = "".join(f"{header}\r\n" for header in (f"Content-Length: {len(body)}", *headers))
    return f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode() + body


SUCCESS = b'{"status":"success","message":"Event processed","dedup_key":"d"}'
ACCEPTED, ACCEPTED_V1 = answer(202, SUCCESS), answer(200, SUCCESS)
