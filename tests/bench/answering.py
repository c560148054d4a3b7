"""The cheapest PagerDuty there can be: answers 202 over TLS keep-alive, and counts.

    python tests/bench/answering.py PORT CERTIFICATE KEY

`GET /count` answers with the number of events so far. The sandbox checks what it gets; here only
the agent's own cost is to show.
"""

from __future__ import annotations

import asyncio
import ssl
import sys

import httptools
import uvloop

_BODY = b'{"status":"success","message":"Event processed","dedup_key":"x"}'
_ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)


class Answering(asyncio.Protocol):
    """One connection."""

    events = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Prepare to parse."""
        self._transport = transport  # type: ignore[assignment]
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""

    def data_received(self, data: bytes) -> None:
        """Feed the parser."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Called by the parser."""
        self._url = url

    def on_message_complete(self) -> None:
        """Called by the parser at the end of each request."""
        if self._url == b"/count":
            count = str(Answering.events).encode()
            answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(count), count)
        else:
            Answering.events += 1
            answer = _ACCEPTED
        self._transport.write(answer)


async def serve(port: int, certificate: str, key: str) -> None:
    """Answer until the process is ended."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Answering, "127.0.0.1", port, ssl=context)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
