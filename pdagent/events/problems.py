"""All that is wrong with an event, in sentences for its sender.

msgspec stops at the first mistake, so an event that it refuses is gone through again, along the
same schemas, and every mistake is named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from msgspec import Raw
from msgspec import inspect as schema

from pdagent.events import rawjson
from pdagent.events.event import EventKind
from pdagent.events.schemas import EVENT_TYPES

_LONGEST_QUOTE = 60
_LIKE_A_KEY = re.compile("[A-Za-z0-9_+-]{20,}")
# Shorter values than that could be anything, and would blank out half of a sentence.
_SHORTEST_KEY = 6

_TYPES: dict[EventKind, tuple[schema.Type, ...]] = {
    kind: tuple(schema.multi_type_info(types)) for kind, types in EVENT_TYPES.items()
}


def problems_of(kind: EventKind, body: bytes, key_name: str) -> tuple[str, ...]:
    """Name every mistake in `body`, a JSON object; the value of `key_name` is never repeated."""
    members = rawjson.members(body)
    key = members.get(key_name)
    survey = _Survey(_text_or_nothing(key))
    survey.any_of(_structs(_TYPES[kind]), Raw(body), "")
    return tuple(survey.problems)


def _text_or_nothing(value: Raw | None) -> str:
    return rawjson.text(value) if value is not None and rawjson.kind_of(value) == "text" else ""


def _structs(types: Sequence[schema.Type]) -> list[schema.StructType]:
    return [each for each in types if isinstance(each, schema.StructType)]


class _Survey:
    """One walk through an event along the description of its schema."""

    def __init__(self, secret: str) -> None:
        self.problems: list[str] = []
        self._secret = secret

    def any_of(self, structs: Sequence[schema.StructType], value: Raw, path: str) -> None:
        """Check an object against the struct that its tag (action, type of context) names."""
        if rawjson.kind_of(value) != "an object":
            self._wrong_type(value, path, "an object")
            return
        members = self._unique_members(value, path)
        chosen = (
            structs[0] if structs[0].tag_field is None else self._tagged(structs, members, path)
        )
        if chosen is None:
            return
        for field in chosen.fields:
            member = members.get(field.encode_name)
            where = _below(path, field.encode_name)
            if member is not None and rawjson.kind_of(member) != "null":
                self._check(field.type, member, where, {})
            elif field.required:
                self.problems.append(f"{where}: is missing, it takes {_takes(field.type)}")

    def _tagged(
        self, structs: Sequence[schema.StructType], members: rawjson.Members, path: str
    ) -> schema.StructType | None:
        tag_field = str(structs[0].tag_field)
        where = _below(path, tag_field)
        tags = [str(each.tag) for each in structs]
        value = members.get(tag_field)
        if value is None or rawjson.kind_of(value) == "null":
            self.problems.append(f"{where}: is missing, it takes {_one_of(tags)}")
        elif rawjson.kind_of(value) != "text":
            self._wrong_type(value, where, _one_of(tags))
        elif (tag := rawjson.text(value)) in tags:
            return structs[tags.index(tag)]
        else:
            self._not(rawjson.text(value), where, _one_of(tags))
        return _most_likely(structs, members) if not path else None

    def _check(
        self, expected: schema.Type, value: Raw, path: str, hints: Mapping[str, object]
    ) -> None:
        match expected:
            case schema.Metadata(type=inner, extra=extra):
                self._check(inner, value, path, extra or {})
            case schema.UnionType(types=types):
                if structs := _structs(types):
                    self.any_of(structs, value, path)
                else:
                    self._check(_not_null(types), value, path, hints)
            case schema.StructType():
                self.any_of([expected], value, path)
            case schema.ListType(item_type=item_type) if rawjson.kind_of(value) == "a list":
                for number, item in enumerate(rawjson.items(value)):
                    self._check(item_type, item, f"{path}[{number}]", {})
            case schema.DictType() if rawjson.kind_of(value) == "an object":
                pass
            case schema.StrType() if rawjson.kind_of(value) == "text":
                self._check_text(expected, rawjson.text(value), path, hints)
            case schema.LiteralType(values=values) if rawjson.kind_of(value) == "text":
                if (given := rawjson.text(value)) not in values:
                    self._not(given, path, str(hints.get("rule") or _takes(expected)))
            case _:
                self._wrong_type(value, path, str(hints.get("rule") or _takes(expected)))

    def _check_text(
        self, expected: schema.StrType, given: str, path: str, hints: Mapping[str, object]
    ) -> None:
        rule = str(hints.get("rule") or _takes(expected))
        if not _breaks(expected, given):
            return
        if expected.min_length and not given.strip():
            self.problems.append(f"{path}: is {'blank' if given else 'empty'}, it takes {rule}")
        elif (exception := hints.get("exception")) and re.search(str(exception), given):
            self.problems.append(f"{path}: {hints['exception_rule']}")
        elif hints.get("secret"):
            self.problems.append(f"{path}: is not {rule}{_length_note(expected, given)}")
        elif expected.max_length is not None and len(given) > expected.max_length:
            self.problems.append(f"{path}: has {len(given):,} characters, it takes {rule}")
        else:
            self._not(given, path, rule)

    def _unique_members(self, value: Raw, path: str) -> rawjson.Members:
        unique: rawjson.Members = {}
        repeated: dict[str, None] = {}
        for name, member in rawjson.all_members(value):
            if name in unique:
                repeated[name] = None
            unique[name] = member
        for name in repeated:
            owner = path or "the event"
            self.problems.append(f"{owner}: has {self._quoted(name)} more than once")
        return unique

    def _wrong_type(self, value: Raw, path: str, takes: str) -> None:
        self.problems.append(f"{path}: is {rawjson.kind_of(value)}, it takes {takes}")

    def _not(self, given: str, path: str, rule: str) -> None:
        self.problems.append(f"{path}: {self._quoted(given)} is not {rule}")

    def _quoted(self, given: str) -> str:
        # A key that was put into the wrong field must not be repeated either.
        if len(self._secret) >= _SHORTEST_KEY:
            given = given.replace(self._secret, "…")
        given = _LIKE_A_KEY.sub("…", given)
        return repr(given if len(given) <= _LONGEST_QUOTE else f"{given[:_LONGEST_QUOTE]}…")


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _most_likely(
    structs: Sequence[schema.StructType], members: rawjson.Members
) -> schema.StructType:
    """Choose what an event without a valid action is checked as: a trigger, the first struct.

    Only one that names its alert and has nothing of what a trigger needs is taken for a follow-up,
    whose sender would be misled by complaints about a missing summary.
    """
    trigger, follow_up = structs[0], structs[1]
    content = _required(trigger) - _required(follow_up)
    identity = _required(follow_up) - _required(trigger)
    return follow_up if identity <= members.keys() and not content & members.keys() else trigger


def _required(struct: schema.StructType) -> set[str]:
    return {field.encode_name for field in struct.fields if field.required}


def _not_null(types: Sequence[schema.Type]) -> schema.Type:
    return next(each for each in types if not isinstance(each, schema.NoneType))


def _breaks(expected: schema.StrType, given: str) -> bool:
    return (
        (expected.min_length is not None and len(given) < expected.min_length)
        or (expected.max_length is not None and len(given) > expected.max_length)
        or (expected.pattern is not None and re.search(expected.pattern, given) is None)
    )


def _length_note(expected: schema.StrType, given: str) -> str:
    if expected.max_length is None or len(given) == expected.max_length:
        return ""
    return f", it has {len(given):,} characters"


def _one_of(values: Sequence[object]) -> str:
    return f"one of {', '.join(str(value) for value in values)}"


def _takes(expected: schema.Type) -> str:
    """Complete the sentence "it takes ..."."""
    match expected:
        case schema.Metadata(type=inner, extra=extra):
            return str((extra or {}).get("rule") or _takes(inner))
        case schema.UnionType(types=types):
            return _takes(_not_null(types))
        case schema.LiteralType(values=values):
            return _one_of(values)
        case schema.ListType():
            return "a list"
        case schema.StructType() | schema.DictType():
            return "an object"
        case _:
            return "text"
