"""HTTP byte by byte, for requests that no client library would send."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from typing import Any, NamedTuple, Self

from tests.agent_process import AgentProcess

PATIENCE = 20.0


class Answer(NamedTuple):
    """One response; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class RawConnection:
    """One TCP connection to an agent."""

    def __init__(self, agent: AgentProcess) -> None:
        host, _, port = agent.address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=PATIENCE)
        self._agent = agent

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *parts: bytes) -> Self:
        """Send bytes as they are."""
        self.socket.sendall(b"".join(parts))
        return self

    def finish_sending(self) -> Self:
        """Half-close: nothing more will be sent."""
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def answer(self, method: str = "POST") -> Answer:
        """Read one response; `method` is that of the request."""
        response = http.client.HTTPResponse(_Unbuffered(self.socket), method=method)  # type: ignore[arg-type]
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, response.read())

    def is_closed_by_the_agent(self) -> bool:
        """Wait until the connection ends; False if something else comes, or nothing."""
        with contextlib.suppress(ConnectionResetError):
            try:
                return self.socket.recv(1) == b""
            except TimeoutError:
                return False
        return True


class _Unbuffered:
    """A socket whose file reads no further than one response: the next one is still in it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def makefile(self, mode: str) -> Any:
        """As http.client asks for it."""
        return self._connection.makefile(mode, 0)


def head(
    agent: AgentProcess, path: str = "/v2/enqueue", method: str = "POST", **headers: object
) -> bytes:
    """The head of a request with the secret; underscores in names of headers become hyphens."""
    lines = [f"{method} {path} HTTP/1.1"]
    known: dict[str, object] = {"Host": "localhost", "Authorization": f"token {agent.secret}"}
    for name, value in {**known, **headers}.items():
        if value is not None:
            lines.append(f"{name.replace('_', '-')}: {value}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def chunked(*pieces: bytes) -> bytes:
    """Pieces of a body in chunked encoding, with its end."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
