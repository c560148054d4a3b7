"""The delivery client: one event, one attempt, one verdict."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
from requests import PreparedRequest, Request, Session
from urllib3 import HTTPConnectionPool, Retry, Timeout
from urllib3.exceptions import ReadTimeoutError

from actors.core.verdict import Deferred, Rejected, Verdict
from actors.ports import OutgoingEvent
from pdagent import loops
from pdagent.events.kinds import EVENT_PATHS, EventKind
from pdagent.eventsapi.adapter import DeliveryAdapter
from pdagent.eventsapi.connection import Address, StaleConnectionError, head_of
from pdagent.eventsapi.failures import NETWORK_FAILURES
from pdagent.eventsapi.verdict import verdict_of_answer, verdict_of_failure

_PROXY_AUTHENTICATION_REQUIRED = 407
_NO_RETRY = Retry(False)


class _Route(msgspec.Struct, frozen=True):
    """How to get to one of PagerDuty's URLs: what doesn't change from event to event."""

    pool: HTTPConnectionPool
    target: str
    headers: dict[str, str]
    head: bytes
    """The headers, as `connection.head_of` makes them."""
    through_proxy: bool
    """Whether a proxy reads the requests and may answer them itself (http:// only)."""


class _Answer(NamedTuple):
    status: int
    retry_after: str | None
    body: bytes


class EventsApi:
    """Delivers events to PagerDuty over one kept-alive connection; a `DeliveryPort`.

    For one thread; only `close` may be called by another. Proxies and certificates are those that
    requests finds in the environment, plus SSL_CERT_FILE and SSL_CERT_DIR; they are looked up once
    for each URL, and again after PagerDuty could not be reached. Redirects are not followed,
    cookies and `.netrc` play no part.

        api = EventsApi(config.events_url, user_agent="pdagent/1.0", agent_id=id_, render=render)
        verdict = api.deliver(event)
    """

    def __init__(
        self,
        events_url: str,
        *,
        user_agent: str,
        agent_id: str,
        render: Callable[[OutgoingEvent], bytes],
        deliver_via: tuple[Address, ...] = (),
        headers: Mapping[str, str] | None = None,
        ca: Path | None = None,
        connect_timeout: float = 3.05,
        read_timeout: float = 30.0,
        may_send: Callable[[], bool] | None = None,
    ) -> None:
        """`render` makes the JSON to send, with the key in place, from an event.

        `agent_id` goes with each delivery, see `pdagent.loops`. `deliver_via` are addresses to
        connect to, one after the other until one works, instead of resolving the URL's name; then
        no proxy is used. `headers` go with each request. `ca` are the certificates to trust instead
        of the environment's.

        `connect_timeout` (seconds) holds for each address of the host and each step of the
        handshake, `read_timeout` (seconds) for the whole answer, from the end of the request on.
        `may_send` is asked right before each request is written; if it says no, `deliver` raises
        `MayNotSendError`.

        Raises ValueError if `events_url` is not an http or https URL.
        """
        self._agent_id = agent_id
        self._direct = bool(deliver_via)
        self._render = render
        self._timeout = Timeout(connect=connect_timeout, read=read_timeout)
        self._adapter = DeliveryAdapter(deliver_via, ca, may_send)
        self._session = Session()
        self._session.mount("http://", self._adapter)
        self._session.mount("https://", self._adapter)
        self._requests = {
            kind: _prepared(
                events_url.rstrip("/") + path,
                {"User-Agent": user_agent, loops.HEADER: loops.header_of(agent_id)},
                headers or {},
            )
            for kind, path in EVENT_PATHS.items()
        }
        for request in self._requests.values():
            self._session.get_adapter(str(request.url))
        self._routes: dict[EventKind, _Route] = {}

    def deliver(self, event: OutgoingEvent) -> Verdict:
        """Try once to deliver `event`. Trouble with the network is a verdict, never raised."""
        started = time.perf_counter()
        try:
            body = self._render(event)
        except (ValueError, msgspec.MsgspecError) as error:
            return Rejected(reason="unreadable", detail=type(error).__name__)
        try:
            route = self._routes.get(event.kind) or self._open_route(event.kind)
            headers, head = route.headers, route.head
            if own := self.own_headers(event):
                headers = {**headers, **own}
                head = head_of("POST", route.target, headers)
            answer = _post_again(route, head, body)
            if answer is None:
                answer = _post(route, headers, body, self._timeout)
        except NETWORK_FAILURES as error:
            return self._judged(verdict_of_failure(error, time.perf_counter() - started))
        seconds = time.perf_counter() - started
        if answer.status == _PROXY_AUTHENTICATION_REQUIRED and route.through_proxy:
            detail = "proxy: HTTP 407"
            return self._judged(Deferred(reason="unreachable", detail=detail, seconds=seconds))
        return self.judge(
            event.kind,
            answer.status,
            answer.retry_after,
            answer.body,
            time.time(),
            seconds,
        )

    def own_headers(self, event: OutgoingEvent) -> dict[str, str]:
        """The headers that other events don't have."""
        if not event.passed:
            return {}
        return {loops.HEADER: loops.header_of(self._agent_id, event.passed)}

    def judge(
        self,
        kind: EventKind,
        status: int,
        retry_after: str | None,
        body: bytes,
        now: float,
        seconds: float,
    ) -> Verdict:
        """What an answer means, see `verdict_of_answer`."""
        return verdict_of_answer(kind, status, retry_after, body, now, seconds)

    def close(self) -> None:
        """Close for good: from now on nothing is dialled or written.

        A `deliver` that hangs in another thread, wherever it hangs, ends with `no_answer`.
        """
        self._adapter.close()
        self._forget_routes()

    def _judged(self, verdict: Deferred) -> Deferred:
        if verdict.reason == "unreachable":
            self._forget_routes()  # the next attempt looks up proxies and certificates again
        return verdict

    def _forget_routes(self) -> None:
        routes, self._routes = self._routes, {}
        for route in routes.values():
            route.pool.close()
        self._adapter.forget()

    def _open_route(self, kind: EventKind) -> _Route:
        request = self._requests[kind]
        url = str(request.url)
        settings = self._session.merge_environment_settings(url, {}, None, None, None)
        if self._direct:
            settings["proxies"] = {}
        pool = self._adapter.pool_for(request, settings)
        target, headers = self._adapter.request_url(request, settings["proxies"]), request.headers
        route = self._routes[kind] = _Route(
            pool=pool,
            target=target,
            headers=dict(headers),
            head=head_of("POST", target, headers),
            through_proxy=pool.proxy is not None and url.startswith("http:"),
        )
        return route


def _prepared(url: str, ours: Mapping[str, str], more: Mapping[str, str]) -> PreparedRequest:
    """The request without a body; requests checks the URL and the headers."""
    request = Request(
        "POST",
        url,
        headers={
            "Host": urlsplit(url).netloc.rpartition("@")[2],
            **ours,
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            **more,
        },
    ).prepare()
    request.headers.pop("Content-Length", None)
    return request


def _post_again(route: _Route, head: bytes, body: bytes) -> _Answer | None:
    """Post over the kept-alive connection, past urllib3, which would take half of the CPU.

    None if there is no such connection, or it was closed before it took the request.
    """
    pool = route.pool
    if pool.proxy is not None:
        return None
    connection: Any = pool._get_conn()  # a `LeanConnection`
    try:
        if connection.sock is None:
            return None
        connection.send_event(head, body)
        try:
            answer = connection.receive_answer()
        except TimeoutError as error:
            raise ReadTimeoutError(pool, route.target, "no answer") from error
    except StaleConnectionError:
        connection.close()
        return None
    except BaseException:
        connection.close()
        raise
    finally:
        pool._put_conn(connection)
    return _Answer(answer.status, answer.retry_after, answer.body)


def _post(route: _Route, headers: dict[str, str], body: bytes, timeout: Timeout) -> _Answer:
    try:
        return _post_once(route, headers, body, timeout)
    except StaleConnectionError:
        # It can't have reached PagerDuty, and the connection is closed: the next one is new.
        return _post_once(route, headers, body, timeout)


def _post_once(route: _Route, headers: dict[str, str], body: bytes, timeout: Timeout) -> _Answer:
    answer = route.pool.urlopen(
        "POST",
        route.target,
        body=body,
        headers=headers,
        retries=_NO_RETRY,
        redirect=False,
        assert_same_host=False,
        timeout=timeout,
        release_conn=True,  # the answer is read when it is returned
    )
    return _Answer(answer.status, answer.headers.get("Retry-After"), answer.data or b"")
