"""A terminal for programs that draw on one: tmux, whose screen is read and whose keys pressed."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from pdagent.demo.processes import call_off, dying_with_us

_TIME_LIMIT = 30.0
_PROMPT = "ready$ "

needs_tmux = pytest.mark.skipif(
    shutil.which("tmux") is None, reason="needs tmux (Debian, Ubuntu: apt install tmux)"
)


class Terminal:
    """A shell in a tmux of its own, in `directory`; gone at the end of the `with` block.

    with Terminal(tmp_path, {"PATH": ...}) as terminal:
        terminal.run(["htop"])
        terminal.wait_for("CPU")
        terminal.press("q")
    """

    def __init__(
        self,
        directory: Path,
        environment: Mapping[str, str],
        width: int = 80,
        height: int = 24,
    ) -> None:
        self._socket = directory / "tmux"
        self._size = (width, height)
        self._guard: subprocess.Popen[bytes] | None = None
        self._directory = directory
        self._environment = {**environment, "LC_ALL": "C.UTF-8"}
        self._environment.pop("TMUX", None)

    def __enter__(self) -> Terminal:
        width, height = map(str, self._size)
        # Said here, because a shell that runs a script forgets it.
        shell = f"exec env PS1='{_PROMPT}' bash --norc --noprofile -i"
        size = ["-x", width, "-y", height]
        self._tmux("-f", "/dev/null", "new-session", "-d", *size, "-c", str(self._directory), shell)
        # A tmux outlives who started it.
        self._guard = dying_with_us(int(self._tmux("display-message", "-p", "#{pid}")))
        try:
            self.wait_for(_PROMPT.strip())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def run(self, command: Sequence[str]) -> None:
        """Type a command and Enter."""
        self.type(shlex.join(command))
        self.press("Enter")

    def type(self, text: str) -> None:
        """Type text as it is."""
        self._tmux("send-keys", "-l", text)

    def press(self, *keys: str) -> None:
        """Press keys, by tmux's names for them: `j`, `Down`, `Escape`, `C-c`."""
        self._tmux("send-keys", *keys)

    def resize(self, width: int, height: int) -> None:
        """Make the window another size."""
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    def screen(self) -> list[str]:
        """The lines that the terminal shows, without spaces at their ends."""
        return [line.rstrip() for line in self._tmux("capture-pane", "-p").split("\n")[:-1]]

    def text(self) -> str:
        """The screen as one text."""
        return "\n".join(self.screen())

    def wait_until(self, condition: Callable[[str], object], what: str) -> list[str]:
        """Wait until the text of the screen meets `condition`; that screen, or AssertionError."""
        deadline = time.monotonic() + _TIME_LIMIT
        while True:
            lines = self.screen()
            if condition("\n".join(lines)):
                return lines
            if time.monotonic() > deadline:
                raise AssertionError(f"not shown: {what}; the screen:\n" + "\n".join(lines))
            time.sleep(0.05)

    def wait_for(self, *texts: str) -> list[str]:
        """Wait until all `texts` are on the screen at once; that screen."""
        return self.wait_until(lambda shown: all(text in shown for text in texts), str(texts))

    def wait_for_shell(self) -> list[str]:
        """Wait until the shell asks for a command again; the screen."""
        prompt = _PROMPT.strip()
        return self.wait_until(lambda shown: shown.rstrip().endswith(prompt), "the prompt")

    def _end(self) -> None:
        # This server alone: it listens at the socket in our directory.
        with contextlib.suppress(subprocess.CalledProcessError):
            self._tmux("kill-server")
        if self._guard is not None:
            call_off(self._guard)

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", str(self._socket), *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIME_LIMIT,
            check=True,
        )
        return done.stdout.decode("utf-8", "replace")
