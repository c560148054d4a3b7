"""Reports to systemd: ready, alive, stopping. See sd_notify(3).

A few lines instead of a library: one datagram to the socket that `NOTIFY_SOCKET` names.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Mapping

_LARGEST_WAIT = 10.0  # seconds


class ServiceManager:
    """The service manager that started this process, if it asks for reports."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # '@' means the NUL byte of an abstract socket.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog = _watchdog_seconds(environment)

    def tell(self, *assignments: str) -> None:
        """Send assignments such as `READY=1`; a manager that doesn't listen is no error."""
        if not self._address:
            return
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection,
        ):
            # The manager may be busy; the agent does not wait for it.
            connection.setblocking(False)
            connection.sendto("\n".join(assignments).encode(), self._address)

    async def keep_informed(self, dead: Callable[[], list[str]], status: Callable[[], str]) -> None:
        """For ever: notify the watchdog while nothing is `dead`, and report the `status`.

        Runs in the event loop, so a loop that hangs is noticed as well.
        """
        pause = min(_LARGEST_WAIT, self.watchdog / 3) if self.watchdog else _LARGEST_WAIT
        while self._address:
            reasons = dead()
            if reasons:
                self.tell(f"STATUS={'; '.join(reasons)}")
            else:
                self.tell("WATCHDOG=1", f"STATUS={status()}")
            await asyncio.sleep(pause)


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """The watchdog timeout in seconds; None without a watchdog."""
    meant_for = environment.get("WATCHDOG_PID", "")
    microseconds = environment.get("WATCHDOG_USEC", "")
    if meant_for and meant_for != str(os.getpid()):
        return None
    return int(microseconds) / 1e6 if microseconds.isdigit() and int(microseconds) else None
