"""`POST /notify/test`: whether people would learn of stuck pages."""

from __future__ import annotations

import falcon
import falcon.asgi
import msgspec

from pdagent.httpapi.agent import Agent
from pdagent.httpapi.guard import Secret


class TestNotifications:
    """`POST /notify/test`, with the secret: use each channel of `notify` once."""

    def __init__(self, agent: Agent, secret: Secret) -> None:
        self._agent = agent
        self._secret = secret

    async def on_post(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        """200 `{"results": [{"channel", "error"}]}`; `error` is null for one that works."""
        self._secret.check(request)
        test = self._agent.test_notifications
        found = {} if test is None else await test()
        results = [{"channel": channel, "error": error} for channel, error in found.items()]
        response.content_type = falcon.MEDIA_JSON
        response.data = msgspec.json.encode({"results": results})
