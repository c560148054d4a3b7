"""Where one run of the bench has its files, and how large it measures."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench import agent
from bench.agent import Agent
from bench.answering import PagerDuty, answering


class Bench:
    """Gives places and agents to what measures: `scale` shrinks journals, `pace` times."""

    def __init__(self, directory: Path, *, scale: float, pace: float) -> None:
        self.directory = directory
        self._scale = scale
        self._pace = pace
        agent.make_certificate(directory)

    def scaled(self, count: int) -> int:
        """A number of events or keys in a journal."""
        return max(1, int(count * self._scale))

    def seconds(self, full: float) -> float:
        """How long to look at something that goes on for as long as one likes."""
        return full * self._pace

    @contextlib.contextmanager
    def place(self) -> Iterator[Path]:
        """A directory of its own for an agent, removed at the end."""
        with tempfile.TemporaryDirectory(dir=self.directory) as name:
            yield Path(name)

    @contextlib.contextmanager
    def down(
        self,
        program: Path,
        place: Path | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> Iterator[Agent]:
        """An agent that can't reach PagerDuty."""
        with contextlib.ExitStack() as stack:
            where = place or stack.enter_context(self.place())
            url = f"https://127.0.0.1:{agent.free_port()}"
            yield stack.enter_context(agent.running(where, url, program, settings))

    @contextlib.contextmanager
    def delivering(self, program: Path) -> Iterator[tuple[Agent, PagerDuty]]:
        """An agent and a PagerDuty that answers at once."""
        port = agent.free_port()
        with (
            self.place() as place,
            answering(port, self.directory) as pagerduty,
            agent.running(place, f"https://127.0.0.1:{port}", program) as it,
        ):
            yield it, pagerduty
