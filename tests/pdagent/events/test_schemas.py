"""The schemas that validate can describe the HTTP API as well."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pdagent.events import EVENT_TYPES

TEMPLATE = "#/components/schemas/{name}"


@pytest.fixture(scope="module")
def components() -> dict[str, Any]:
    types = [each for kind in EVENT_TYPES.values() for each in kind]
    _, components = msgspec.json.schema_components(types, ref_template=TEMPLATE)
    return components


def test_every_event_has_a_schema_of_its_own_name(components: dict[str, Any]) -> None:
    assert set(components) >= {
        "Trigger",
        "Acknowledge",
        "Resolve",
        "Change",
        "V1Trigger",
        "V1Acknowledge",
        "V1Resolve",
    }


def test_schemas_state_what_is_required_and_allowed(components: dict[str, Any]) -> None:
    trigger, payload = components["Trigger"], components["AlertPayload"]
    assert set(trigger["required"]) == {"event_action", "routing_key", "payload"}
    assert trigger["properties"]["event_action"]["enum"] == ["trigger"]
    assert trigger["properties"]["routing_key"]["pattern"] == "^[A-Za-z0-9]{32}$"
    assert set(payload["required"]) == {"summary", "source", "severity"}
    assert payload["properties"]["severity"]["enum"] == ["critical", "error", "info", "warning"]
    assert "class" in payload["properties"]


def test_unknown_fields_are_allowed(components: dict[str, Any]) -> None:
    assert not any("additionalProperties" in schema for schema in components.values())
