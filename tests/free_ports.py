"""Ports for agents that are started later, or again: no other test of this machine takes them."""

from __future__ import annotations

import contextlib
import random
import socket
from collections import deque

# Below those that systems give to outgoing connections, one of which could take the port of an
# agent that is down.
_PORTS = range(20_000, 32_000)
_MOST = 200

_claims: deque[socket.socket] = deque()


def free_port() -> int:
    """A TCP port on loopback that is free now and that no other process of tests gets.

    A name in the kernel says whose it is. It goes with this process, or after 200 further ports.
    """
    while True:
        port = random.choice(_PORTS)
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with contextlib.suppress(OSError), socket.socket() as probe:
            claim.bind(f"\0pdagent-test-port-{port}")
            probe.bind(("127.0.0.1", port))
            _claims.append(claim)
            if len(_claims) > _MOST:
                _claims.popleft().close()
            return port
        claim.close()
