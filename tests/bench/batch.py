"""How fast `POST /send/batch` takes events durably, next to what single posts get in the same run.

    make bench            (or: python tests/bench/batch.py [EVENTS])

10,000 events over 100 keys in one request, PagerDuty being down, against single posts from one
connection and from 64. The goal: 8,000 events/s, or 10 times as much as single posts. CPU time per
event, which other work on the machine changes little, says why.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

from accepting import ROOT, SECRET, agent, free_port, load

KEYS = 100
GOAL_PER_SECOND = 8_000
GOAL_TIMES = 10
_TICKS = os.sysconf("SC_CLK_TCK")


def lines(count: int) -> bytes:
    """`count` triggers over all keys, in turn."""
    return b"".join(
        json.dumps(
            {
                "routing_key": f"{number % KEYS:032d}",
                "event_action": "trigger",
                "dedup_key": f"host-{number}/disk",
                "payload": {
                    "summary": "disk usage on /var is 97%",
                    "source": "web-17.example.com",
                    "severity": "critical",
                    "custom_details": {
                        "free": "1.2 GB",
                        "used": "97%",
                        "check": "disk",
                        "n": number,
                    },
                },
            }
        ).encode()
        + b"\n"
        for number in range(count)
    )


def post_batch(address: str, body: bytes) -> tuple[float, list[dict[str, object]]]:
    """Send one batch, reading while sending; seconds until the last result, and the results."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port))) as connection:
        head = (
            f"POST /send/batch HTTP/1.1\r\nHost: localhost\r\nAuthorization: token {SECRET}\r\n"
            f"Content-Type: application/x-ndjson\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n"
        )
        began = time.perf_counter()
        sender = threading.Thread(target=connection.sendall, args=(head.encode() + body,))
        sender.start()
        answer = bytearray()
        while piece := connection.recv(1 << 18):
            answer += piece
        seconds = time.perf_counter() - began
        sender.join()
    return seconds, [json.loads(line) for line in answer.splitlines() if line.startswith(b"{")]


def cpu_seconds(pid: int) -> float:
    """What a process has used so far, in user and kernel mode."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / _TICKS


def main(count: int) -> int:
    """Measure; 0 if one of the goals is reached."""
    body = lines(count)
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".bench-") as name:
        place = Path(name) / "agent"
        with agent(place, f"http://127.0.0.1:{free_port()}") as address:
            pid = int((place / "pidfile").read_text())
            single = load(address, 1, 3.0)["per_second"]
            busy = load(address, 64, 3.0)["per_second"]
            rates = []
            for _ in range(3):
                before = cpu_seconds(pid)
                seconds, results = post_batch(address, body)
                used = cpu_seconds(pid) - before
                taken = sum("key" in result for result in results)
                if taken != count:
                    print(f"only {taken} of {count} were taken, the first refusal:")
                    print(next(result for result in results if "key" not in result))
                    return 1
                rates.append(count / seconds)
                print(f"batch: {rates[-1]:.0f} events/s, CPU {used / count * 1e6:.0f} us an event")
    best = max(rates)
    print(f"single posts: {single:.0f}/s from one connection, {busy:.0f}/s from 64")
    reached = best >= GOAL_PER_SECOND or best >= GOAL_TIMES * single
    print(
        f"best batch {best:.0f}/s, {best / single:.1f} times one connection's single posts "
        f"(goal {GOAL_PER_SECOND}/s or {GOAL_TIMES} times: {'ok' if reached else 'MISSED'})"
    )
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
