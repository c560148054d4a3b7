"""The pidfile's lock, held by real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pdagent.agent.pidfile import holds, pidfile, running_pid
from pdagent.config import StartRefused

REPOSITORY = Path(__file__).resolve().parents[2]
HOLDER = """
import sys
from pathlib import Path
from pdagent.agent.pidfile import pidfile
with pidfile(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_by_another_process(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds the pidfile until its standard input is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process


def test_it_names_its_holder_and_is_gone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "new" / "pidfile"
    with pidfile(path):
        assert path.read_text() == str(os.getpid())
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert path.stat().st_mode & 0o777 == 0o600
        assert running_pid(path) == os.getpid()
    assert not path.exists()
    assert running_pid(path) is None


def test_a_second_holder_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "pidfile"
    with held_by_another_process(path) as other:
        with (
            pytest.raises(StartRefused, match=rf"running already \(pid {other.pid}\)"),
            pidfile(path),
        ):
            pass
        assert running_pid(path) == other.pid
        assert holds(other.pid, path)
        assert not holds(os.getpid(), path)


def test_a_killed_holder_leaves_nothing_that_matters(tmp_path: Path) -> None:
    path = tmp_path / "pidfile"
    with held_by_another_process(path) as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert path.read_text() == str(other.pid)
    assert running_pid(path) is None
    with pidfile(path):
        assert running_pid(path) == os.getpid()


@pytest.mark.parametrize("left", [b"", b"12", b"\0\0\0\0", b"123456\n", b" 1\n"])
def test_a_half_written_or_stale_file_stops_nothing(tmp_path: Path, left: bytes) -> None:
    path = tmp_path / "pidfile"
    path.write_bytes(left)
    path.chmod(0o644)
    assert running_pid(path) is None
    with pidfile(path):
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.read_text() == str(os.getpid())


@pytest.mark.parametrize("content", [b"root:x:0:0\n", b"1" * 100])
def test_a_file_that_is_no_pidfile_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "precious"
    path.write_bytes(content)
    with pytest.raises(StartRefused, match="isn't a pidfile"), pidfile(path):
        pass
    assert path.read_bytes() == content


def test_a_path_that_cannot_hold_a_pidfile_is_refused_in_one_line(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "precious")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    (tmp_path / "plain").touch()
    for path, reason in (
        (tmp_path, "Is a directory"),
        (link, "it is a symbolic link"),
        (fifo, "isn't a pidfile"),
        (tmp_path / "plain" / "pidfile", "Not a directory|File exists"),
    ):
        with pytest.raises(StartRefused, match=reason) as caught, pidfile(path):
            pass
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "precious").exists()


def test_looking_for_the_holder_never_keeps_a_new_one_out(tmp_path: Path) -> None:
    path = tmp_path / "pidfile"
    path.write_text("1\n")
    looking = (
        "import sys; from pathlib import Path; from pdagent.agent.pidfile import running_pid\n"
        "print('looking', flush=True)\n"
        "while True: running_pid(Path(sys.argv[1]))"
    )
    watcher = subprocess.Popen(
        [sys.executable, "-c", looking, str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    with watcher:
        assert watcher.stdout is not None
        watcher.stdout.readline()
        try:
            for _ in range(50):
                with pidfile(path):
                    assert running_pid(path) == os.getpid()
        finally:
            watcher.kill()
