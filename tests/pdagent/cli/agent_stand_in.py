"""A small agent for tests of the command line: the local HTTP API, without a journal behind it."""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import threading
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

SECRET = "correct-horse-battery"

QUEUE = {
    "queue": "database",
    "routing_key": "database",
    "pending": 3,
    "success": 40,
    "error": 1,
    "discarded": 0,
    "state": "backing_off",
    "held": False,
    "oldest_waiting_at": "2026-08-01T12:00:00Z",
    "next_attempt_at": None,
    "last_error": "HTTP 503",
    "accepted": 44,
}
STATUS: dict[str, Any] = {
    "agent": {
        "version": "1.0.0",
        "agent_id": "a1",
        "pid": 4711,
        "started_at": "2026-08-01T11:00:00Z",
        "address": "127.0.0.1:49463",
    },
    "pagerduty": {
        "state": "unreachable",
        "since": "2026-08-01T12:00:00Z",
        "last_error": "connection refused",
        "in_flight": 1,
    },
    "totals": {
        "accepted": 44,
        "delivered": 40,
        "waiting": 3,
        "dead_lettered": 1,
        "discarded": 0,
    },
    "queues": [QUEUE],
}


class Received(NamedTuple):
    """One request as it arrived; `body` is None when it wasn't JSON."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    raw: bytes
    body: Any


Answer = tuple[int, dict[str, str], bytes]
Trick = Callable[[BaseHTTPRequestHandler], None]


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class AgentStandIn:
    """Answers as the agent does, except where `next_answers` or `tricks` say otherwise.

    `tricks` are done instead of answering, one a request: closing the connection, for example.
    With `path` it listens on a Unix socket there.
    """

    def __init__(
        self, certificate: Path | None = None, key: Path | None = None, path: Path | None = None
    ) -> None:
        self.received: list[Received] = []
        self.next_answers: deque[Answer] = deque()
        self.tricks: deque[Trick] = deque()
        self.status = STATUS
        self._server: socketserver.TCPServer = (
            ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
            if path is None
            else _UnixServer(str(path), self._handler())
        )
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def stop_listening(self) -> None:
        """Refuse new connections from now on."""
        self._server.socket.shutdown(socket.SHUT_RDWR)

    def refuse_next(self, status: int, *errors: str, **headers: str) -> None:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self.next_answers.append((status, names, json.dumps({"errors": errors}).encode()))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                stand_in._serve(self)

            def do_POST(self) -> None:
                stand_in._serve(self)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        return Handler

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        request = _read(handler)
        self.received.append(request)
        if self.tricks:
            self.tricks.popleft()(handler)
            return
        status, headers, body = (
            self.next_answers.popleft() if self.next_answers else self._answer(request)
        )
        handler.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    def _answer(self, request: Received) -> Answer:
        if request.path == "/health":
            return 200, {}, b"OK"
        if request.headers.get("authorization") != f"token {SECRET}":
            return _json(401, {"errors": ["wrong or missing secret"]})
        match request.method, request.path, request.headers.get("pd-event-version"):
            case "POST", "/send", "v1":
                key = request.body.get("incident_key", "made-up")
                return _json(200, {"key": "ev1", "incident_key": key})
            case "POST", "/send", "v2":
                key = request.body.get("dedup_key", "made-up")
                return _json(200, {"key": "ev1", "dedup_key": key})
            case "POST", "/send", "change":
                return _json(200, {"key": "ev1"})
            case "GET", "/queue/status", _:
                return _json(200, {"status_items": [QUEUE]})
            case "POST", "/queue/retry", _:
                return _json(200, {"message": "Retrying 2 events.", "count": 2})
            case "GET", "/status", _:
                return _json(200, self.status)
            case _:
                return _json(404, {"errors": ["no such path"]})


def _read(handler: BaseHTTPRequestHandler) -> Received:
    parts = urlsplit(handler.path)
    headers = {name.lower(): value for name, value in handler.headers.items()}
    raw = handler.rfile.read(int(headers.get("content-length", 0)))
    body = json.loads(raw) if raw else None
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return Received(handler.command, parts.path, query, headers, raw, body)


def _json(status: int, body: object) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(body).encode()


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection without an answer."""
    handler.close_connection = True


def stay_silent(handler: BaseHTTPRequestHandler) -> None:
    """Answer nothing until the client has gone."""
    handler.connection.recv(1)
    handler.close_connection = True


def speak_otherwise(handler: BaseHTTPRequestHandler) -> None:
    """Answer as something that isn't an HTTP server."""
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n")
    handler.close_connection = True


def stop_in_the_middle(handler: BaseHTTPRequestHandler) -> None:
    """Promise a longer answer than comes."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"key": "ev')
    handler.close_connection = True
