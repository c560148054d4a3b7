"""`POST /notify/test`: whether people would learn of stuck pages."""

from __future__ import annotations

import falcon
import falcon.asgi
import msgspec

from pdagent.httpapi.operators.selection import OperatorsResource, with_secret


@falcon.before(with_secret)
class TestNotifications(OperatorsResource):
    """`POST /notify/test`, with the secret: use each channel of `notify` once."""

    async def on_post(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        """200 `{"results": [{"channel", "error"}]}`; `error` is null for one that works."""
        test = self._agent.test_notifications
        found = {} if test is None else await test()
        results = [{"channel": channel, "error": error} for channel, error in found.items()]
        response.content_type = falcon.MEDIA_JSON
        response.data = msgspec.json.encode({"results": results})
