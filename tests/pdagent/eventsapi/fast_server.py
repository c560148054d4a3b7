"""A TLS server that accepts every event, as fast as Python can; run as a process of its own.

Usage: python fast_server.py CERTIFICATE. It prints its port and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import ssl
import sys

BODY = b'{"status":"success","message":"Event processed","dedup_key":"0123456789abcdef"}'
ANSWER = (
    b"HTTP/1.1 202 Accepted\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\nServer: nginx\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\nConnection: keep-alive\r\n"
    b"Access-Control-Allow-Methods: GET, POST, OPTIONS\r\nAccess-Control-Allow-Origin: *\r\n"
    b"Strict-Transport-Security: max-age=31536000\r\nX-Request-Id: 0123456789abcdef\r\n\r\n%b"
) % (len(BODY), BODY)


class Acceptor(asyncio.Protocol):
    """Answers each whole request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            length = self.received[:end].lower().partition(b"content-length:")[2]
            size = end + 4 + int(length.split(b"\r\n")[0])
            if len(self.received) < size:
                return
            self.received = self.received[size:]
            self.transport.write(ANSWER)


async def serve(certificate: str) -> None:
    loop = asyncio.get_running_loop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = await loop.create_server(Acceptor, "127.0.0.1", 0, ssl=context)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
