"""Whatever is sent: no 5xx, no traceback, an answer as described, and nothing stored if refused.

Requests come from the API's own description (schemathesis: requests that fit it, and requests that
don't) and from events that are nearly valid, in bodies of every form. A normal run always has the
same few; `PDAGENT_FULL=1`, or a number in `PDAGENT_CASES`, makes 20,000 new ones. `pytest -s` shows
how many there were of each kind.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS
from schemathesis.generation import GenerationMode

from pdagent.events import EventKind
from pdagent.events.kinds import EVENT_PATHS
from pdagent.httpapi.answers import INTEGRATION_PATH, NAGIOS_PATH
from tests.agent_process import AgentProcess
from tests.pdagent.events.near_events import NEAR_EVENTS
from tests.pdagent.events.rules_by_hand import is_valid
from tests.system.full_run import number

CASES = number("PDAGENT_CASES", normal=200, full=20_000)

DOCUMENT = json.loads(resources.files("pdagent.httpapi").joinpath("openapi.json").read_bytes())
CALLS = {
    f"{method.upper()} {path}": call
    for path, item in DOCUMENT["paths"].items()
    for method, call in item.items()
}
# Of these the schema is only a part: a batch has lines, the key of a path makes that of the body
# needless, and forms have no types.
LOOSE_CALLS = [f"POST {path}" for path in ("/send/batch", INTEGRATION_PATH, NAGIOS_PATH)]
EVENT_CALLS = [*(f"POST {path}" for path in (*EVENT_PATHS.values(), "/send")), *LOOSE_CALLS]
ENDLESS = {"GET /queue/tail"}
# These can't be asked for wrongly.
WITHOUT_INPUT = {
    name
    for name, call in CALLS.items()
    if name.startswith("GET ") and "{" not in name and not (call["security"] or call["parameters"])
}
OTHER_CALLS = sorted(CALLS.keys() - {*EVENT_CALLS, *ENDLESS, *WITHOUT_INPUT})

# JSON Schema can't say that one of two parameters is needed.
NOT_ALL_IN_THE_SCHEMA = {f"POST /queue/{command}" for command in ("discard", "hold", "release")}
SETTINGS = settings(
    deadline=None,
    database=None,
    derandomize=CASES < 1_000,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@schemathesis.serializer("application/x-ndjson")
def lines(context: schemathesis.SerializationContext, value: Any) -> bytes:
    """Text as it is; anything else as one line of JSON."""
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations()}


@pytest.fixture(scope="module")
def running_agent(tmp_path_factory: pytest.TempPathFactory, nowhere: str) -> Iterator[AgentProcess]:
    with AgentProcess(tmp_path_factory.mktemp("any") / "agent", nowhere) as process:
        yield process


class Accepted:
    """Watches how many events an agent has accepted."""

    def __init__(self, agent: AgentProcess) -> None:
        self._agent = agent
        self._last = self._now()

    def since_last_time(self) -> int:
        before, self._last = self._last, self._now()
        return self._last - before

    def _now(self) -> int:
        return int(self._agent.status(rk="none")["totals"]["accepted"])


def checks_of(call: str) -> list[Any]:
    """What is demanded of every answer to a call."""
    names = ["not_a_server_error", "status_code_conformance", "content_type_conformance"]
    names += ["response_headers_conformance", "response_schema_conformance"]
    if call not in NOT_ALL_IN_THE_SCHEMA:
        names.append("positive_data_acceptance")
    # Elsewhere unknown parameters are let pass.
    if call in EVENT_CALLS and call not in LOOSE_CALLS:
        names.append("negative_data_rejection")
    return list(CHECKS.get_by_names(names))


def run_cases(agent: AgentProcess, call: str, mode: GenerationMode, cases: int) -> None:
    operation, checks, accepted = OPERATIONS[call], checks_of(call), Accepted(agent)
    seen: Counter[int] = Counter()
    # Where a secret is needed, a wrong or missing one is among what is tried.
    secret = {"Authorization": f"token {agent.secret}"}

    @settings(SETTINGS, max_examples=cases)
    @given(case=operation.as_strategy(generation_mode=mode))
    def one(case: schemathesis.Case) -> None:
        if call == "POST /send" and mode is GenerationMode.POSITIVE:
            # Nor can it say that the body has to be of the kind that a header names.
            alert = "v2" if "event_action" in case.body else "change"
            case.headers["Pd-Event-Version"] = "v1" if "service_key" in case.body else alert
        answer = case.call(base_url=agent.url, session=agent.session(), headers=secret)
        seen[answer.status_code] += 1
        if answer.status_code == 422 and "Idempotency-Key" in answer.request.headers:
            # Nor that a key is used once: another event under a used one is valid, and refused.
            assert accepted.since_last_time() == 0
            return
        case.validate_response(answer, checks=checks)
        assert_stored(call, answer, accepted.since_last_time())

    one()
    print(f"{call}, {mode.value}: {seen.total()} requests, {dict(seen)}")  # noqa: T201


def assert_stored(call: str, answer: Any, stored: int) -> None:
    if call == "POST /send/batch" and answer.status_code == 200:
        results = [json.loads(line) for line in answer.content.splitlines()]
        assert stored == sum("key" in result for result in results)
    elif call in EVENT_CALLS and answer.status_code < 300:
        # A repetition of an Idempotency-Key is answered, and not stored again.
        if answer.json().get("message", "").startswith("Nothing to send"):
            assert stored == 0
        else:
            assert stored == 1 or "Idempotency-Key" in answer.request.headers
    else:
        assert stored == 0, f"{answer.status_code}, and something was stored"


@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.value)
@pytest.mark.parametrize("call", EVENT_CALLS)
def test_any_event_is_answered_as_described(
    agent: AgentProcess, call: str, mode: GenerationMode
) -> None:
    run_cases(agent, call, mode, CASES // 20)


@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.value)
@pytest.mark.parametrize("call", OTHER_CALLS)
def test_any_other_call_is_answered_as_described(
    agent: AgentProcess, call: str, mode: GenerationMode
) -> None:
    run_cases(agent, call, mode, CASES // 100)


@pytest.mark.parametrize("call", sorted(WITHOUT_INPUT))
def test_calls_without_input_are_answered_as_described(agent: AgentProcess, call: str) -> None:
    run_cases(agent, call, GenerationMode.POSITIVE, 1)


_BYTES = st.binary(max_size=40)


@st.composite
def bodies(draw: st.DrawFn, kinds: tuple[EventKind, ...]) -> tuple[EventKind, bytes, bool | None]:
    """An event's kind, a body, and whether it is valid: None where nobody can tell by eye."""
    kind: EventKind = draw(st.sampled_from(kinds))
    event = draw(NEAR_EVENTS[kind])
    ascii_only, spaces = draw(st.booleans()), draw(st.sampled_from([None, 1]))
    text = json.dumps(event, ensure_ascii=ascii_only, indent=spaces).encode(errors="replace")
    if draw(st.integers(0, 3)):
        return kind, text, is_valid(kind, event)
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(len(text), start + 30)))
    return kind, text[:start] + draw(_BYTES) + text[end:], None


@pytest.mark.parametrize("path", [None, "/send"], ids=["pagerduty", "send"])
def test_any_body_is_an_event_or_a_refusal(agent: AgentProcess, path: str | None) -> None:
    accepted, seen = Accepted(agent), Counter[int]()
    kinds: tuple[EventKind, ...] = ("v1", "v2") if path == "/send" else ("v1", "v2", "change")

    @settings(SETTINGS, max_examples=CASES * 15 // 100)
    @given(bodies(kinds), st.booleans(), st.sampled_from([None, "application/json", "text/plain"]))
    def one(body: tuple[EventKind, bytes, bool | None], chunked: bool, media_type: str) -> None:
        kind, text, valid = body
        headers = {"Content-Type": media_type, "Pd-Event-Version": kind}
        sent: Any = iter([text[:9], text[9:]]) if chunked and len(text) > 9 else text
        answer = agent.post(path or EVENT_PATHS[kind], data=sent, headers=headers)
        seen[answer.status_code] += 1
        assert_event_or_refusal(answer, kind, valid)
        assert accepted.since_last_time() == (answer.status_code != 400)

    one()
    print(f"{path or 'PagerDuty paths'}: {seen.total()} bodies, {dict(seen)}")  # noqa: T201


def assert_event_or_refusal(answer: requests.Response, kind: EventKind, valid: bool | None) -> None:
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.status_code in (200, 202, 400), answer.text
    if valid is not None:
        assert (answer.status_code != 400) == valid, answer.text
    told = answer.json()
    if answer.status_code == 400:
        assert told["errors"]
        assert all(isinstance(error, str) for error in told["errors"])
    elif "key" not in told:
        assert told["status"] == "success"
        assert ("dedup_key" in told, "incident_key" in told) == (kind == "v2", kind == "v1")
