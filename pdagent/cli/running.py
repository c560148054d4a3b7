"""Runs a command as if nothing stood between it and its caller, and keeps the end of its output."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

from pdagent.integrations.run import JobEnd

_PIECE = 1 << 16  # bytes
_KEPT = 8_192  # bytes
_KILL_AFTER = 10.0  # seconds
# A process that the command leaves behind may hold its output open for ever.
_LINGER = 0.5
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
# Python ignores these, and what is ignored stays so in a new program.
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


def run(command: Sequence[str], timeout: float | None) -> JobEnd:
    """Run `command` with this process's standard streams, for `timeout` seconds at most.

    Its exit status is what a shell would say: 128 and the number of a signal that ended it, 126 or
    127 if it could not be started.
    After the timeout its process group gets SIGTERM, ten seconds later SIGKILL. Signals that would
    end this process are passed on to the group. On a terminal, which gives signals and input to the
    group in front, the command stays in this process's own, and alone gets the signals.
    """
    began = time.monotonic()
    _open_what_is_closed()
    own_group = not os.isatty(0)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)  # until they can be passed on
    streams, write, write_errors = _pipes()
    try:
        pid = os.posix_spawnp(
            command[0],
            list(command),
            _environment(),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, write, 1),
                (os.POSIX_SPAWN_DUP2, write_errors, 2),
            ],
            setsigdef=_IGNORED_BY_PYTHON,
            setsigmask=mask,
            setpgroup=0 if own_group else os.getpgrp(),
        )
    except (OSError, ValueError) as error:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        code = 127 if isinstance(error, FileNotFoundError) else 126
        why = f"can't run {command[0]}: {getattr(error, 'strerror', None) or error}"
        return JobEnd(code, None, why.encode(errors="replace"), 0.0, time.time(), ran=False)
    for end in {write, write_errors}:
        os.close(end)
    return _Run(pid, streams, began, timeout, own_group=own_group).to_its_end(mask)


def _open_what_is_closed() -> None:
    """Or a pipe would take the place of a standard stream."""
    for stream in range(3):
        try:
            os.fstat(stream)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number


def _environment() -> dict[bytes, bytes]:
    """The environment as it was: in the C locale, Python adds a variable to its own."""
    environment = dict(os.environb)
    with suppress(OSError), open("/proc/self/environ", "rb") as file:  # noqa: PTH123
        given = file.read().split(b"\0")
        if not any(entry.startswith(b"LC_CTYPE=") for entry in given):
            environment.pop(b"LC_CTYPE", None)
    return environment


def _pipes() -> tuple[dict[int, int], int, int]:
    """Ends to read from, each with where that goes; those to write output and errors to.

    One pipe if both go to the same file: so what is written keeps its order.
    """
    read, write = os.pipe()
    if os.path.samestat(os.fstat(1), os.fstat(2)):
        return {read: 1}, write, write
    read_errors, write_errors = os.pipe()
    return {read: 1, read_errors: 2}, write, write_errors


class _Run:
    """A command that runs: copies its output, watches the time, passes signals on."""

    def __init__(
        self,
        pid: int,
        streams: dict[int, int],
        began: float,
        timeout: float | None,
        *,
        own_group: bool,
    ) -> None:
        self._pid = pid
        self._kill = os.killpg if own_group else os.kill
        self._own_group = own_group
        self._streams = streams
        self._began = began
        self._timeout = timeout
        self._deadline = None if timeout is None else began + timeout
        self._timed_out = False
        self._kept = b""
        self._status: int | None = None

    def to_its_end(self, mask: Collection[int]) -> JobEnd:
        """Copy until the command has ended and its output with it. `mask` of signals is set."""
        poll = select.poll()
        for stream in self._streams:
            poll.register(stream, select.POLLIN)
        ended_at, at = 0.0, 0.0
        with _woken_by_signals(self._pass_on, own_group=self._own_group) as woken:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            poll.register(woken, select.POLLIN)
            while self._status is None or self._streams:
                for descriptor, _ in poll.poll(self._milliseconds_left()):
                    if descriptor == woken:
                        os.read(woken, _PIECE)
                    elif not self._copy(descriptor):
                        poll.unregister(descriptor)
                        os.close(descriptor)
                        del self._streams[descriptor]
                if self._status is None and self._has_ended():
                    ended_at, at = time.monotonic(), time.time()
                    self._deadline = ended_at + _LINGER
                elif self._milliseconds_left() == 0:
                    if self._status is not None:
                        break
                    self._end_it()
        if self._timed_out and self._own_group:
            self._signal(signal.SIGKILL)  # for what is left of the group
        assert self._status is not None
        code = os.waitstatus_to_exitcode(self._status)
        return JobEnd(
            code=code if code >= 0 else 128 - code,
            signal=_name(-code) if code < 0 else None,
            output=self._kept,
            seconds=ended_at - self._began,
            at=at,
            timeout=self._timeout if self._timed_out else None,
        )

    def _copy(self, descriptor: int) -> bool:
        """Whether there may be more to copy. A reader that is gone is so for the command too."""
        piece = os.read(descriptor, _PIECE)
        self._kept = (self._kept + piece)[-_KEPT:]
        left = memoryview(piece)
        while left:
            try:
                if not self._is_read(self._streams[descriptor]):
                    return False
                left = left[os.write(self._streams[descriptor], left[: select.PIPE_BUF]) :]
            except BlockingIOError:  # a process that shares the stream has made it non-blocking
                continue
            except OSError:
                return False
        return bool(piece)

    def _is_read(self, stream: int) -> bool:
        """Wait until `stream` takes output; False if its reader holds up a command out of time."""
        poll = select.poll()
        poll.register(stream, select.POLLOUT)
        ended_well = self._status is not None and not self._timed_out
        while not poll.poll(None if ended_well else self._milliseconds_left()):
            had_time_to_end = self._timed_out
            self._end_it()
            if had_time_to_end:
                return False
        return True

    def _milliseconds_left(self) -> float | None:
        if self._deadline is None:
            return None
        return max(0.0, (self._deadline - time.monotonic()) * 1000)

    def _end_it(self) -> None:
        if self._status is None:
            self._signal(signal.SIGKILL if self._timed_out else signal.SIGTERM)
            self._timed_out, self._deadline = True, time.monotonic() + _KILL_AFTER

    def _has_ended(self) -> bool:
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if pid:
            self._status = status
        return bool(pid)

    def _pass_on(self, number: int) -> None:
        if self._status is None:
            self._signal(number)

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            self._kill(self._pid, number)


@contextmanager
def _woken_by_signals(pass_on: Callable[[int], None], *, own_group: bool) -> Iterator[int]:
    """A descriptor that is readable after a signal; those that end this process are passed on."""
    woken, wake = os.pipe()
    for end in (woken, wake):
        fcntl.fcntl(end, fcntl.F_SETFL, fcntl.fcntl(end, fcntl.F_GETFL) | os.O_NONBLOCK)
    before = {}
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    try:
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in _FORWARDED:
            from_terminal = number in (signal.SIGINT, signal.SIGQUIT) and not own_group
            if signal.getsignal(number) is not signal.SIG_IGN:
                handler = (lambda *_: None) if from_terminal else (lambda n, _: pass_on(n))
                before[number] = signal.signal(number, handler)
        os.write(wake, b"\0")  # it may have ended before there was anything to wake
        yield woken
    finally:
        signal.set_wakeup_fd(-1)
        for number, old in before.items():
            signal.signal(number, old)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
