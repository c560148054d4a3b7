"""Whatever a tool hands over: an event that the agent takes, nothing, or one line that says why."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pdagent.integrations import checkmk, nagios, sensu, zabbix
from pdagent.integrations.event import Event, Nothing, Unusable
from tests.pdagent.integrations.checked import AT, checked

# As of an environment or a command line: any character but NUL, and what isn't UTF-8 as surrogates.
TEXTS = st.text(st.characters(exclude_characters="\0"), max_size=30) | st.sampled_from(
    ["OK", "CRITICAL", "$", "$X$", "-1", "https://", "x" * 5000, "\ud800", "\n", " "]
)
NAMES = TEXTS.filter(str.strip)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def fields(*names: str, needed: tuple[str, ...] = ()) -> st.SearchStrategy[dict[str, str]]:
    """Some of the fields with these names, the `needed` ones always."""
    return st.fixed_dictionaries(dict.fromkeys(needed, NAMES), optional=dict.fromkeys(names, TEXTS))


def is_sent(event: Event | Nothing) -> None:
    """The event as it is, or without what is optional, is one that the agent takes."""
    if isinstance(event, Nothing):
        assert event.why
        return
    checked(event if not event.is_too_large else event.bare())
    checked(event.bare())


MACROS = ("SERVICEDESC", "SERVICESTATE", "HOSTSTATE", "SERVICEOUTPUT", "SERVICENOTESURL", "X")
TYPES = st.sampled_from(nagios.TYPES) | TEXTS


@given(TYPES, fields(*MACROS, needed=("HOSTNAME",)), TEXTS | st.none())
def test_nagios(notification_type: str, macros: dict[str, str], key: str | None) -> None:
    if nagios.is_resolved(macros["HOSTNAME"]):
        event = nagios.v2_event(notification_type, macros, occurred_at=AT, dedup_key=key)
        is_sent(event)


@given(st.sampled_from(nagios.TYPES), fields("X", needed=("HOSTNAME", "HOSTSTATE")))
def test_pd_nagios(notification_type: str, macros: dict[str, str]) -> None:
    is_sent(nagios.v1_event("host", notification_type, macros))


@given(TYPES, fields(*MACROS, "HOSTADDRESS", needed=("HOSTNAME",)), TEXTS)
def test_checkmk(notification_type: str, macros: dict[str, str], prefix: str) -> None:
    given = checkmk.variables({f"NOTIFY_{name}": value for name, value in macros.items()})
    given["NOTIFICATIONTYPE"] = notification_type
    is_sent(checkmk.v2_event(given, occurred_at=AT, url_prefix=prefix))


@given(TEXTS, fields("name", "status", "severity", "url", "NOTE", needed=("id", "hostname")))
def test_zabbix(action: str, given: dict[str, str]) -> None:
    is_sent(zabbix.v2_event(action, given, occurred_at=AT))


@given(TEXTS)
def test_any_body_of_zabbix_is_read(body: str) -> None:
    assert all(isinstance(value, str) for value in zabbix.parse_body(body).values())


@given(
    st.fixed_dictionaries(
        {"client": st.fixed_dictionaries({"name": NAMES}, optional={"x": JSON})},
        optional={"action": JSON, "id": JSON, "entity": JSON, "x": JSON},
    ),
    st.fixed_dictionaries({"name": NAMES}, optional={"output": JSON, "status": JSON}),
    st.sampled_from(["utf-8", "utf-16", "latin-1"]),
)
def test_sensu(document: dict[str, Any], check: dict[str, Any], encoding: str) -> None:
    text = json.dumps({**document, "check": check}, ensure_ascii=encoding == "latin-1")
    try:
        read = sensu.parse(text.encode(encoding, "replace"))
    except Unusable:
        assert encoding == "utf-16"
        return
    if not isinstance(document.get("entity"), dict):
        is_sent(sensu.v2_event(read, occurred_at=AT))
        if "action" in document:
            is_sent(sensu.v1_event(read))


def test_a_document_nested_without_end_is_sent_without_it() -> None:
    deep: Any = None
    for _ in range(300):
        deep = [deep]
    document = {"client": {"name": "c"}, "check": {"name": "n"}, "action": "create", "x": deep}
    event = sensu.v2_event(document, occurred_at=AT)
    assert isinstance(event, Event)
    assert checked(event.bare()).dedup_key == "c/n"


def test_a_document_that_is_too_large_is_known_as_such() -> None:
    document = {
        "client": {"name": "c" * 600_000},
        "check": {"name": "n", "output": "x" * 600_000},
        "action": "create",
    }
    for event in (sensu.v1_event(document), sensu.v2_event(document, occurred_at=AT)):
        assert isinstance(event, Event)
        assert event.is_too_large
        assert not event.bare().is_too_large
        assert len(checked(event.bare()).dedup_key) == 255
