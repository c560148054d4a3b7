"""Names of other projects that the agent uses without a promise of theirs, by supported version.

If one fails after an upgrade: adapt the code, or limit the range in pyproject.toml.
"""

from __future__ import annotations

import inspect
import re
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pykka
import pytest
import urllib3.connection
from pykka._envelope import Envelope
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, PoolManager
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import Server, ServerState

RANGES = {
    "uvicorn": ((0, 34), (1,)),
    "urllib3": ((2,), (3,)),
    "requests": ((2, 32), (3,)),
    "pykka": ((4, 1), (5,)),
}
PROJECT = Path(__file__).parents[1] / "pyproject.toml"

NAMES: list[tuple[Any, str]] = [
    (pykka.ThreadingActor, "_create_actor_inbox _start_actor_loop"),
    (pykka.ThreadingActor, "_actor_loop_setup _actor_loop_running _actor_loop_teardown"),
    (Envelope("message"), "message reply_to"),
    (HttpToolsProtocol, "_unset_keepalive_if_required on_message_begin on_headers_complete"),
    (HttpToolsProtocol, "on_body on_message_complete on_response_complete eof_received"),
    (Server, "startup shutdown capture_signals serve"),
    (PoolManager({}), "pool_classes_by_scheme"),
    (HTTPConnectionPool, "ConnectionCls"),
    (urllib3.connection.HTTPConnection, "is_connected getresponse"),
    (HTTPAdapter, "build_connection_pool_key_attributes get_connection_with_tls_context"),
]


@pytest.mark.parametrize("project", RANGES)
def test_the_installed_version_is_one_that_the_project_declares(project: str) -> None:
    lowest, limit = RANGES[project]
    found = tuple(int(number) for number in re.findall(r"\d+", version(project))[:2])
    assert lowest <= found < limit
    declared = tomllib.loads(PROJECT.read_text())["project"]["dependencies"]
    text = [".".join(map(str, bound)) for bound in (lowest, limit)]
    assert f"{project}>={text[0]},<{text[1]}" in declared


@pytest.mark.parametrize(("owner", "names"), NAMES)
def test_the_names_are_there(owner: Any, names: str) -> None:
    for name in names.split():
        assert hasattr(owner, name), name


def test_uvicorn_keeps_its_state_where_the_agent_looks() -> None:
    assert STATUS_LINE[408].startswith(b"HTTP/1.1 408 ")
    assert ServerState().connections == set()
    text = inspect.getsource(HttpToolsProtocol)
    for attribute in ("flow", "cycle", "pipeline", "parser", "headers", "url", "scheme"):
        assert f"self.{attribute}" in text, attribute
