"""One connection to a server of the engine, without a server."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from store.nats_link import EngineLink


def test_a_request_that_fails_after_the_connection_was_lost_is_not_logged() -> None:
    said: list[dict[str, Any]] = []

    async def fails_late() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise ConnectionError("closed")

    async def lose_it() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: said.append(context))
        link = EngineLink("nats://127.0.0.1:1", None, None)
        asyncio.get_running_loop().call_soon(asyncio.get_running_loop().call_soon, link.lose)
        with pytest.raises(TimeoutError):
            await link._until_lost(fails_late())
        await asyncio.sleep(0.01)
        gc.collect()

    asyncio.run(lose_it())
    assert said == []
