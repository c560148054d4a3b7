"""A sandbox per test module, reset between tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests.sandbox_process import SandboxProcess


@pytest.fixture(scope="module")
def running_sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess() as process:
        yield process


@pytest.fixture
def sandbox(running_sandbox: SandboxProcess) -> SandboxProcess:
    running_sandbox.reset()
    return running_sandbox


@pytest.fixture
def http() -> Iterator[requests.Session]:
    """A client with kept-alive connections that follows nothing and asks no proxy."""
    with requests.Session() as session:
        session.trust_env = False
        yield session
