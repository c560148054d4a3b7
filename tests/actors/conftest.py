"""Real actors on a real journal in a directory of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.actors.running_actors import RunningActors


@pytest.fixture
def actors(tmp_path: Path) -> Iterator[RunningActors]:
    with RunningActors(tmp_path / "journal") as running:
        yield running
