"""What the tests of the sandbox talk to it with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests


@pytest.fixture
def http() -> Iterator[requests.Session]:
    """A client with kept-alive connections that follows nothing and asks no proxy."""
    with requests.Session() as session:
        session.trust_env = False
        yield session
