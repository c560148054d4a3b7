"""What operators' calls share: the secret, numbers, queues by key (`rk=`) or name (`queue=`)."""

from __future__ import annotations

import falcon
import falcon.asgi

from actors.directory import QueueEntry
from pdagent.httpapi.agent import Agent
from pdagent.httpapi.guard import Secret, peer_of
from pdagent.operating.known import KnownQueues
from pdagent.operating.names import QueueNames
from store.records import RoutingKey


class Selection:
    """Reads `rk` and `queue` of a request's query."""

    def __init__(self, agent: Agent) -> None:
        self._directory = agent.system.directory
        self.names = QueueNames(agent.config.routing_keys)
        self.known = KnownQueues(self._directory, self.names)
        self._whole = QueueNames(agent.config.routing_keys, whole=True)

    def names_for(self, request: falcon.asgi.Request, shown: str = "") -> QueueNames:
        """How to call queues in the answer: keys whole for `show_keys=1` (default: `shown`)."""
        whole = (request.get_param("show_keys") or shown) == "1"
        return self._whole if whole else self.names

    def is_limited(self, request: falcon.asgi.Request) -> bool:
        """Whether the request names a queue at all."""
        return any(_named(request))

    def queues(self, request: falcon.asgi.Request) -> list[QueueEntry]:
        """The queues that are named, none if there is no such queue; all if none is named."""
        key, name = _named(request)
        if key is not None:
            entry = self._directory.by_key(RoutingKey(key))
            return [] if entry is None else [entry]
        entries = self._directory.entries()
        return entries if name is None else self.names.called(name, entries)

    def named_queues(self, request: falcon.asgi.Request) -> list[QueueEntry] | None:
        """The queues that are named, None if none is named: the request is about all."""
        return self.queues(request) if self.is_limited(request) else None

    def queues_with_events(self, request: falcon.asgi.Request) -> list[QueueEntry]:
        """As `queues`, but if none is named, only those in which something waits or has died."""
        named = self.named_queues(request)
        return self._directory.figures.notable() if named is None else named

    def queues_to_change(self, request: falcon.asgi.Request) -> list[QueueEntry]:
        """As `queues`; raises 409 if several have the name."""
        queues = self.queues(request)
        if self.is_limited(request):
            _refuse_several(len(queues))
        return queues

    def key(self, request: falcon.asgi.Request) -> RoutingKey:
        """The one key that is named; it need not have a queue yet if the config knows it.

        Raises 400 if none is named, 404 for an unknown one, 409 if several have the name.
        """
        if not self.is_limited(request):
            raise falcon.HTTPBadRequest(
                description="name a queue: rk=ROUTING_KEY, or queue=NAME as 'status' shows it"
            )
        found = [entry.routing_key for entry in self.queues(request)]
        if not found:
            found = self._configured(request)
        _refuse_several(len(found))
        if not found:
            raise falcon.HTTPNotFound(
                description="no event was ever accepted for this routing key, and the agent's "
                "config has no name for it: 'pagerduty-agent queue status' shows the known ones"
            )
        return found[0]

    def _configured(self, request: falcon.asgi.Request) -> list[RoutingKey]:
        key = RoutingKey(request.get_param("rk") or "")
        if self.names.is_configured(key):
            return [key]
        named = self.names.key_of(request.get_param("queue") or "")
        return [] if named is None else [named]


class OperatorsResource:
    """A class of handlers; `with_secret` has to be called before each of them."""

    def __init__(self, agent: Agent, secret: Secret, selection: Selection) -> None:
        self._agent = agent
        self._selection = selection
        self.secret = secret


async def with_secret(
    request: falcon.asgi.Request,
    response: falcon.asgi.Response,
    resource: object,
    params: dict[str, object],
) -> None:
    """A hook for `falcon.before`: 401 unless the request brings the secret."""
    assert isinstance(resource, OperatorsResource)
    resource.secret.check(request.get_header, peer_of(request))


def number_in(request: falcon.asgi.Request, name: str, least: int, most: int) -> int | None:
    """The parameter `name`, None if it is missing; 400 unless it is from `least` to `most`."""
    text = request.get_param(name)
    if text is None:
        return None
    # The length first: Python refuses to read thousands of digits.
    if text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most:
        return int(text)
    raise falcon.HTTPBadRequest(description=f"{name}: a number from {least} to {most} is allowed")


def _refuse_several(count: int) -> None:
    if count > 1:
        raise falcon.HTTPConflict(
            description=f"{count} routing keys look like this: give the whole key with rk=, or "
            "give them names (routing_keys in the config)"
        )


def _named(request: falcon.asgi.Request) -> tuple[str | None, str | None]:
    """`rk` and `queue`; one without a value, as go-pdagent's client sends it, names nothing."""
    return request.get_param("rk") or None, request.get_param("queue") or None
