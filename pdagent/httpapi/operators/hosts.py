"""`/relay/hosts`: the hosts that report to a relay."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import falcon
import falcon.asgi
import msgspec

from pdagent.httpapi.agent import Agent
from pdagent.httpapi.guard import Secret
from pdagent.httpapi.intake.bodies import read_body
from pdagent.httpapi.intake.reports import HostReports, no_relay
from pdagent.httpapi.intake.resource import SingleEventsResource
from pdagent.httpapi.operators.selection import (
    OperatorsResource,
    Selection,
    number_in,
    with_secret,
)
from pdagent.operating.overview import MOST_ROWS

if TYPE_CHECKING:
    from pdagent.fleet.desk import FleetDesk

_MOST_NAMES = 10_000


class ForgetRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON body of `POST /relay/hosts/forget`: `names` of hosts, or all that are `missing`."""

    names: list[str] = msgspec.field(default_factory=list)
    missing: bool = False


_wish = msgspec.json.Decoder(ForgetRequest)


class RelayHosts(OperatorsResource):
    """Operators list and forget hosts with the secret; hosts report with the relays' own."""

    def __init__(
        self, agent: Agent, secret: Secret, selection: Selection, reports: HostReports
    ) -> None:
        super().__init__(agent, secret, selection)
        self._reports = SingleEventsResource(reports)

    async def on_post(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        """`POST /relay/hosts`: a report that `DirectIntake` has left to falcon."""
        await self._reports.on_post(request, response)

    @falcon.before(with_secret)
    async def on_get(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        """`GET /relay/hosts[?missing=1][&attention=1][&match=][&offset=][&limit=]`.

        `{"fleet": sums over all, "matching": how many are meant, "hosts": rows}`; missing ones
        come first, then those with trouble.
        """
        desk = self._desk()
        from pdagent.fleet.desk import HostsWanted

        wanted = HostsWanted(
            missing=request.get_param("missing") == "1",
            attention=request.get_param("attention") == "1",
            match=request.get_param("match") or "",
            offset=number_in(request, "offset", 0, MOST_ROWS) or 0,
            limit=number_in(request, "limit", 0, MOST_ROWS),
        )
        response.data = await asyncio.to_thread(desk.page, wanted)

    @falcon.before(with_secret)
    async def on_post_forget(
        self, request: falcon.asgi.Request, response: falcon.asgi.Response
    ) -> None:
        """`POST /relay/hosts/forget`: 200 `{"forgotten": names, "unknown": names}`."""
        desk, body = self._desk(), await read_body(request)
        try:
            wish = _wish.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise falcon.HTTPBadRequest(
                description=f"the body is not as expected: {error}"
            ) from None
        if not (wish.names or wish.missing) or len(wish.names) > _MOST_NAMES:
            raise falcon.HTTPBadRequest(
                description=f"say which hosts to forget: 1 to {_MOST_NAMES:,} 'names', or 'missing'"
            )
        forgotten, unknown = desk.forget(wish.names, missing=wish.missing)
        response.data = msgspec.json.encode({"forgotten": forgotten, "unknown": unknown})

    def _desk(self) -> FleetDesk:
        if self._agent.fleet is None:
            raise no_relay(self._agent)
        return self._agent.fleet
