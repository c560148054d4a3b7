"""What the sandbox does to its callers when it is told to."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import requests

from tests.pdagent.sandbox.sample_events import (
    CHANGE,
    HEARTBEAT,
    KEY,
    OTHER_KEY,
    V1,
    V2,
    post,
    trigger,
    v1_trigger,
)
from tests.sandbox_process import SandboxProcess

Http = requests.Session


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as threads:
        yield threads


def send(sandbox: SandboxProcess, key: str = KEY, timeout: float = 30) -> int:
    return post(sandbox.url + V2, trigger(key=key), timeout=timeout)


def requests_now(sandbox: SandboxProcess) -> int:
    return int(sandbox.stats()["requests"]["current"])


def connection_is_refused(sandbox: SandboxProcess) -> bool:
    try:
        socket.create_connection(("127.0.0.1", sandbox.port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("code", [302, 400, 404, 429, 500, 503, 599])
def test_every_answer_can_be_a_failure(sandbox: SandboxProcess, http: Http, code: int) -> None:
    sandbox.behave(fail=code)
    answers = [
        http.post(sandbox.url + V2, json=trigger(), allow_redirects=False),
        http.post(sandbox.url + CHANGE, json={}, allow_redirects=False),
        http.post(sandbox.url + V1, json=v1_trigger(), allow_redirects=False),
        http.post(sandbox.url + HEARTBEAT, json={}, allow_redirects=False),
    ]
    assert [answer.status_code for answer in answers] == [code] * 4
    assert sandbox.alerts() == []
    assert [event["status"] for event in sandbox.events()] == [code] * 3
    sandbox.behave(fail=None)
    assert http.post(sandbox.url + V2, json=trigger()).status_code == 202


def test_a_share_of_answers_fails_the_same_way_for_the_same_seed(http: Http) -> None:
    with SandboxProcess("--seed", "1", "--fail-rate", "0.5", "--fail-code", "503") as sandbox:

        def answers() -> list[int]:
            sandbox.reset()
            return [http.post(sandbox.url + V2, json=trigger()).status_code for _ in range(40)]

        first = answers()
        assert set(first) == {202, 503}
        assert answers() == first


def test_the_rate_of_each_key_is_limited_with_429_and_v1_with_403(
    sandbox: SandboxProcess, http: Http
) -> None:
    sandbox.behave(rate_limit=2, retry_after=7)
    answers = [http.post(sandbox.url + V2, json=trigger()) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert answers[2].headers["Retry-After"] == "7"
    refused = http.post(sandbox.url + V1, json=v1_trigger())
    assert (refused.status_code, refused.headers["Retry-After"]) == (403, "7")
    assert http.post(sandbox.url + V2, json=trigger(key=OTHER_KEY)).status_code == 202
    assert len([event for event in sandbox.events() if event["effective"]]) == 3


def test_no_retry_after_is_sent_unless_asked_for(sandbox: SandboxProcess, http: Http) -> None:
    sandbox.behave(fail=429)
    assert "Retry-After" not in http.post(sandbox.url + V2, json=trigger()).headers


def test_a_rate_window_that_has_passed_lets_calls_through_again(
    sandbox: SandboxProcess, http: Http
) -> None:
    sandbox.behave(rate_limit=1, rate_window=0.2)
    assert http.post(sandbox.url + V2, json=trigger()).status_code == 202
    sandbox.wait_for(
        lambda: http.post(sandbox.url + V2, json=trigger()).status_code == 202, "a new window"
    )
    first, *_refused, last = sandbox.events()
    assert last["at"] - first["at"] >= 0.2


def test_answers_can_be_late(sandbox: SandboxProcess, http: Http) -> None:
    sandbox.behave(latency="0.1..0.15")
    started = time.monotonic()
    assert http.post(sandbox.url + V2, json=trigger()).status_code == 202
    assert time.monotonic() - started >= 0.1


def test_answers_for_one_key_hang_while_others_go_on(
    sandbox: SandboxProcess, pool: ThreadPoolExecutor
) -> None:
    sandbox.behave(hang_key=KEY, hang=60)
    hanging = pool.submit(send, sandbox)
    sandbox.wait_for(lambda: requests_now(sandbox) == 1, "a request that hangs")
    assert send(sandbox, key=OTHER_KEY) == 202
    assert not hanging.done()
    assert sandbox.events(rk=KEY)[0]["status"] is None
    sandbox.behave(hang_key=None)
    assert hanging.result(timeout=10) == 202
    assert sandbox.events(rk=KEY)[0]["status"] == 202


def test_all_keys_can_hang(sandbox: SandboxProcess, pool: ThreadPoolExecutor) -> None:
    sandbox.behave(hang_key="*", hang=60)
    hanging = [pool.submit(send, sandbox, key) for key in (KEY, OTHER_KEY)]
    sandbox.wait_for(lambda: requests_now(sandbox) == 2, "two requests that hang")
    sandbox.behave(hang_key=None)
    assert [answer.result(timeout=10) for answer in hanging] == [202, 202]


def test_a_caller_that_gives_up_is_not_counted_as_there(sandbox: SandboxProcess) -> None:
    sandbox.behave(hang_key=KEY, hang=60)
    for count in range(1, 4):
        with pytest.raises(requests.ReadTimeout):
            send(sandbox, timeout=0.2)
        sandbox.wait_for(lambda: sandbox.stats()["unanswered"] == count, "it is gone")  # noqa: B023
    sandbox.wait_for(lambda: requests_now(sandbox) == 0, "nobody waiting")
    stats = sandbox.stats()
    assert stats["per_key"][KEY] == {"current": 0, "max": 1, "total": 3}
    assert (stats["unanswered"], stats["connections"]["current"]) == (3, 0)


def test_requests_and_connections_at_once_are_counted(
    sandbox: SandboxProcess, pool: ThreadPoolExecutor
) -> None:
    sandbox.behave(hang_key="*", hang=60)
    answers: list[Future[int]] = []
    answers += [pool.submit(send, sandbox) for _ in range(5)]
    answers += [pool.submit(send, sandbox, OTHER_KEY) for _ in range(3)]
    sandbox.wait_for(lambda: requests_now(sandbox) == 8, "eight requests at once")
    assert sandbox.stats()["connections"]["current"] == 8
    sandbox.behave(hang_key=None)
    assert {answer.result(timeout=10) for answer in answers} == {202}
    sandbox.wait_for(lambda: sandbox.stats()["connections"]["current"] == 0, "no connection")
    stats = sandbox.stats()
    assert stats["requests"] == {"current": 0, "max": 8, "total": 8}
    assert stats["connections"] == {"current": 0, "max": 8, "total": 8, "cut": 0}
    assert stats["per_key"][KEY] == {"current": 0, "max": 5, "total": 5}
    assert stats["per_key"][OTHER_KEY] == {"current": 0, "max": 3, "total": 3}


def test_a_dropped_answer_leaves_the_event_in_effect(sandbox: SandboxProcess) -> None:
    sandbox.behave(drop_rate=1)
    with pytest.raises(requests.ConnectionError):
        send(sandbox)
    sandbox.wait_for(lambda: sandbox.stats()["unanswered"] == 1, "an event without an answer")
    event = sandbox.events()[0]
    assert (event["effective"], event["status"], event["answered_at"]) == (True, None, None)
    assert len(sandbox.alerts()) == 1
    assert sandbox.stats()["connections"]["cut"] == 1


def test_an_invalid_event_is_answered_even_if_answers_are_dropped(
    sandbox: SandboxProcess, http: Http
) -> None:
    sandbox.behave(drop_rate=1)
    assert http.post(sandbox.url + V2, json={}).status_code == 400


def test_down_refuses_connections_and_cuts_those_that_are_there(
    sandbox: SandboxProcess, pool: ThreadPoolExecutor
) -> None:
    sandbox.behave(hang_key=KEY, hang=60)
    hanging = pool.submit(send, sandbox)
    sandbox.wait_for(lambda: requests_now(sandbox) == 1, "a request that hangs")
    idle = socket.create_connection(("127.0.0.1", sandbox.port), timeout=10)
    sandbox.wait_for(lambda: sandbox.stats()["connections"]["current"] == 2, "two connections")
    assert sandbox.behave(down=True)["down"] is True
    assert connection_is_refused(sandbox)
    with pytest.raises(requests.ConnectionError):
        hanging.result(timeout=10)
    assert idle.recv(1) == b""
    idle.close()
    sandbox.wait_for(lambda: requests_now(sandbox) == 0, "no request left")
    stats = sandbox.stats()
    assert stats["down"] is True
    assert stats["connections"] == {"current": 0, "max": 2, "total": 2, "cut": 2}
    assert sandbox.events()[0]["status"] is None
    sandbox.behave(down=False, hang_key=None)
    assert send(sandbox) == 202


def test_no_connection_gets_through_while_it_is_down(sandbox: SandboxProcess) -> None:
    for _ in range(5):
        sandbox.behave(down=True)
        assert all(connection_is_refused(sandbox) for _ in range(50))
        sandbox.behave(down=False)
        assert not connection_is_refused(sandbox)
    sandbox.wait_for(lambda: sandbox.stats()["connections"]["total"] == 5, "five connections")


def test_down_for_comes_back_by_itself(sandbox: SandboxProcess) -> None:
    started = time.monotonic()
    sandbox.behave(down_for=0.5)
    assert connection_is_refused(sandbox)
    sandbox.wait_for(lambda: not sandbox.stats()["down"], "up again")
    assert time.monotonic() - started >= 0.5
    assert send(sandbox) == 202


def test_a_later_word_on_being_down_replaces_an_earlier_one(sandbox: SandboxProcess) -> None:
    sandbox.behave(down_for=0.2)
    sandbox.behave(down=True)
    sandbox.behave(down_for=60)
    sandbox.behave(down=False)
    assert send(sandbox) == 202
    assert sandbox.stats()["down"] is False


def test_on_the_main_port_down_is_refused_and_down_for_is_answered_first(
    sandbox: SandboxProcess, http: Http
) -> None:
    behaviour = sandbox.url + "/sandbox/behaviour"
    assert http.post(behaviour, json={"down": True}).status_code == 409
    assert http.post(behaviour, json={"down_for": 0.3}).status_code == 200
    sandbox.wait_for(lambda: sandbox.stats()["down"], "down")
    sandbox.wait_for(lambda: not sandbox.stats()["down"], "up again")
    assert send(sandbox) == 202


def test_many_callers_while_it_goes_up_and_down_are_all_accounted_for(
    sandbox: SandboxProcess, pool: ThreadPoolExecutor
) -> None:
    done = threading.Event()
    sandbox.behave(latency="0..0.01")

    def call() -> tuple[int, int]:
        answered = failed = 0
        while not done.is_set():
            try:
                answered += send(sandbox) == 202
            except requests.RequestException:
                failed += 1
        return answered, failed

    callers = [pool.submit(call) for _ in range(4)]
    try:
        for _ in range(5):
            sandbox.wait_for(lambda: sandbox.stats()["requests"]["current"] > 0, "callers at work")
            sandbox.behave(down=True)
            sandbox.behave(down=False)
    finally:
        done.set()
    answered = sum(caller.result(timeout=10)[0] for caller in callers)
    sandbox.wait_for(lambda: requests_now(sandbox) == 0, "no request left")
    stats = sandbox.stats()
    assert stats["effective"] == stats["statuses"]["202"] + stats["unanswered"]
    assert 0 < answered <= stats["statuses"]["202"]
    assert stats["requests"]["max"] <= 4
    assert stats["connections"]["max"] <= 8
