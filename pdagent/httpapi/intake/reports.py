"""`POST /relay/hosts`: the reports of a relay's hosts, thousands in half a minute."""

from __future__ import annotations

import asyncio

import falcon

from pdagent.httpapi.agent import Agent
from pdagent.httpapi.guard import Secret
from pdagent.httpapi.intake.single import Call, OnOutcome

HOSTS_PATH = "/relay/hosts"


class HostReports:
    """Takes reports the way single events come: `DirectIntake` reads nearly all of them."""

    def __init__(self, agent: Agent, secret: Secret) -> None:
        self._agent = agent
        self._secret = secret

    def check(self, call: Call) -> None:
        """Raise 401 without the secret, 409 if this agent is no relay."""
        self._secret.check(call.header, call.sender.uid)
        if self._agent.fleet is None:
            raise no_relay(self._agent)

    def take(self, call: Call, body: bytes, done: OnOutcome) -> None:
        """Note the report; `done` is called once, later, in the event loop."""
        assert self._agent.fleet is not None
        asyncio.get_running_loop().call_soon(done, self._agent.fleet.report(body, call.path))


def no_relay(agent: Agent) -> falcon.HTTPError:
    """409 for what only relays can answer."""
    return falcon.HTTPConflict(
        description="this agent is no relay, so no host reports to it: run the command on a relay, "
        "or name a relay with --address"
    )
