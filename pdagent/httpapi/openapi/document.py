"""`GET /openapi.json`: what the HTTP API takes and answers, for machines.

Paths and methods come from the application's own routes; `events.py` has the schemas of events,
`sending.py` and `operating.py` describe the calls. A test finds a route without a description.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import falcon
import falcon.asgi
import falcon.inspect
import msgspec

from pdagent.httpapi.answers import Errors, PagerDutyErrors
from pdagent.httpapi.openapi import operating, sending
from pdagent.httpapi.openapi.calls import JSON, LINES, REFUSALS, Call, Json, Parameter
from pdagent.httpapi.openapi.events import EVENTS

CALLS: dict[str, Call] = {**sending.CALLS, **operating.CALLS}
"""Every call that is described, by `METHOD path`."""

_OPENAPI = "3.1.0"
_REFERENCE = "#/components/schemas/{name}"
_ABOUT = """\
The local HTTP API of pagerduty-agent. A 2xx for an event means that it is on disk.

Where it helps, refusals carry `Retry-After`. Any call may also be refused before it is looked at:
403 for requests of web pages (`Origin`, a foreign `Host`), 405 for another method, 408 when it
takes too long to arrive, 429 for too many requests at once on one connection, 431 for large
headers, 503 when too many connections are open. Every refusal is JSON.
"""


class OpenApi:
    """The document of one application; made when it is first asked for."""

    def __init__(
        self, app: falcon.asgi.App[falcon.asgi.Request, falcon.asgi.Response], version: str
    ) -> None:
        self._app = app
        self._version = version
        self._document: bytes | None = None

    async def on_get(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        """200 and the document; it has no secret in it, and none is asked for."""
        if self._document is None:
            self._document = msgspec.json.encode(document(routes(self._app), self._version))
        response.content_type = falcon.MEDIA_JSON
        response.data = self._document


def routes(
    app: falcon.asgi.App[falcon.asgi.Request, falcon.asgi.Response],
) -> list[tuple[str, str]]:
    """All calls of an application as pairs of method and path."""
    return [
        (method.method, route.path)
        for route in falcon.inspect.inspect_routes(app)
        for method in route.methods
        if not method.internal
    ]


def document(calls: list[tuple[str, str]], version: str) -> Json:
    """The OpenAPI document for `calls`, pairs of method and path.

    Raises KeyError for a call that `CALLS` has nothing about.
    """
    described = {f"{method} {path}": CALLS[f"{method} {path}"] for method, path in calls}
    references, components = _schemas(described)
    paths: dict[str, Json] = {}
    for method, path in calls:
        call = described[f"{method} {path}"]
        paths.setdefault(path, {})[method.lower()] = _operation(method, path, call, references)
    return {
        "openapi": _OPENAPI,
        "info": {
            "title": "pagerduty-agent",
            "version": version,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "secret": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The secret of the agent's config; 'token SECRET' does as well.",
                }
            },
        },
    }


def _schemas(described: Mapping[str, Call]) -> tuple[dict[Any, Json], Json]:
    types: list[Any] = [Errors, PagerDutyErrors]
    events = {name: schema for kind in EVENTS.values() for name, schema in kind.items()}
    for call in described.values():
        types += [body for body in call.bodies if body not in events]
        types += [answer.schema for answer in call.answers.values() if _is_type(answer.schema)]
    references, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    known: dict[Any, Json] = dict(zip(types, references, strict=True))
    known |= {name: {"$ref": _REFERENCE.format(name=name)} for name in events}
    return known, {**events, **components}


def _is_type(schema: object) -> bool:
    return schema is not None and not isinstance(schema, dict)


def _operation(method: str, path: str, call: Call, references: dict[Any, Json]) -> Json:
    operation: Json = {
        "operationId": _name(method, path),
        "summary": call.summary,
        "parameters": [*_in_path(path), *map(_parameter, call.parameters)],
        "responses": _responses(call, references),
        "security": [{"secret": []}] if call.secret else [],
    }
    if call.bodies:
        schemas = [references[body] for body in call.bodies]
        operation["requestBody"] = {
            "required": call.needs_body,
            "content": {JSON: {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}},
        }
    elif call.lines is not None:
        schema = {"type": "string", "description": call.lines}
        operation["requestBody"] = {"required": True, "content": {LINES: {"schema": schema}}}
    return operation


def _responses(call: Call, references: dict[Any, Json]) -> Json:
    responses: Json = {}
    for status, answer in call.answers.items():
        schema = answer.schema
        if _is_type(schema):
            schema = references[schema]
        content = {} if schema is None else {answer.media_type: {"schema": schema}}
        responses[str(status)] = {"description": answer.description, "content": content}
    shape = references[call.refusal]
    statuses = {403, *call.refusals, *([401] if call.secret else [])} - call.answers.keys()
    for status in sorted(statuses):
        refusal: Json = {
            "description": REFUSALS[status],
            "content": {JSON: {"schema": shape}},
        }
        if status in (429, 503):
            refusal["headers"] = {
                "Retry-After": {
                    "description": "Seconds after which another try makes sense.",
                    "schema": {"type": "integer"},
                }
            }
        responses[str(status)] = refusal
    return responses


def _parameter(parameter: Parameter) -> Json:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.required,
        "description": parameter.description,
        "schema": parameter.schema,
    }


def _in_path(path: str) -> list[Json]:
    if "{event}" not in path:
        return []
    text = "The event's id, or its first characters: at least four, and only one event has them."
    schema = {"type": "string", "minLength": 1, "pattern": "^[^/]+$"}
    return [
        {"name": "event", "in": "path", "required": True, "description": text, "schema": schema}
    ]


def _name(method: str, path: str) -> str:
    words = path.replace("{event}", "event").replace(".json", "").replace("-", "_").split("/")
    return "_".join([method.lower(), *filter(None, words)])
