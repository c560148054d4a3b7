"""`POST /relay/resend`: sends to the relays again what this host has forwarded."""

from __future__ import annotations

import asyncio
from typing import Annotated

import falcon
import falcon.asgi
import msgspec

from pdagent.httpapi.intake.bodies import read_body
from pdagent.httpapi.operators.selection import OperatorsResource, with_secret

_encode = msgspec.json.Encoder().encode


class ResendRequest(msgspec.Struct, frozen=True):
    """The JSON body: a time in seconds since 1970, and the `next` of the answer before."""

    since: float
    after: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,18}:[0-9]{1,18}$")] | None = None


_wish = msgspec.json.Decoder(ResendRequest)


@falcon.before(with_secret)
class Resend(OperatorsResource):
    """`POST /relay/resend`, with the secret."""

    async def on_post(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        """200 `{"sent", "already_there", "refused", "refused_count", "next", "error"}`.

        409 if this agent has no relays.
        """
        resender = self._agent.resender
        if resender is None:
            raise falcon.HTTPConflict(
                description="this agent has no relays: only a host with 'relays' in its config "
                "sends again what it has forwarded"
            )
        try:
            wish = _wish.decode(await read_body(request))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise falcon.HTTPBadRequest(
                description=f"the body is not as expected: {error}"
            ) from None
        done = await asyncio.to_thread(resender.portion, wish.since, wish.after)
        response.content_type = falcon.MEDIA_JSON
        response.data = _encode(done)
