"""Shares the seeds out over tests, so that they run on all processors."""

from __future__ import annotations

import pytest

_MEMORY_CHUNK = 50
_LMDB_CHUNK = 10
# The disk is the same for most purposes, and costs much more: every twentieth seed has a real one.
_LMDB_SHARE = 20
# Several processes in each.
_RELAY_CHUNK = 25
_RELAY_SHARE = 4


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for name, share, size in (
        ("memory_seeds", 1, _MEMORY_CHUNK),
        ("lmdb_seeds", _LMDB_SHARE, _LMDB_CHUNK),
        ("relay_seeds", _RELAY_SHARE, _RELAY_CHUNK),
    ):
        if name in metafunc.fixturenames:
            chunks = _chunks(metafunc.config, share, size)
            metafunc.parametrize(name, chunks, ids=[f"{seeds[0]}-{seeds[-1]}" for seeds in chunks])


def _chunks(config: pytest.Config, share: int, size: int) -> list[range]:
    seed = config.getoption("seed")
    if seed is not None:
        return [range(seed, seed + 1)]
    count = -(-config.getoption("seeds") // share)
    return [range(start, min(start + size, count)) for start in range(0, count, size)]
