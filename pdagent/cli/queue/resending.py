"""The command that sends an event anew: what an operator copies, corrects and runs."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from pdagent.cli.parameters import image, link
from pdagent.cli.session import Session

_Kind = TypeVar("_Kind")
_Members = Mapping[str, msgspec.Raw]

# Where each member stands on the command line.
_V1 = {
    "event_type": "-t",
    "incident_key": "-i",
    "description": "-d",
    "client": "-c",
    "client_url": "-u",
}
_V2 = {"event_action": "-t", "dedup_key": "-y", "client": "--client", "client_url": "--client-url"}
_PAYLOAD = {
    "summary": "-d",
    "source": "-u",
    "severity": "-e",
    "timestamp": "--timestamp",
    "component": "--component",
    "group": "-g",
    "class": "--class",
}
_CHANGE_PAYLOAD = {name: _PAYLOAD[name] for name in ("summary", "source", "timestamp")}
# The key has its own place, and the agent adds what is its own again.
_NEVER_GIVEN = frozenset(("service_key", "routing_key", "agent"))
_LONG = 1_000
_FILE = "details.json"
# In a format of printf, between single quotes.
_ESCAPES = {"\n": "\\n", "\t": "\\t", "\\": "\\\\", "%": "%%", "'": "'\\''"}
_NOTHING = frozenset((b"null", b'""', b"[]", b"{}"))


class Resending:
    """Builds the shell `commands` that send an event anew, given its id, kind and body.

    `queue` is the configured name of the key, or its mask: then ROUTING_KEY stands in the command,
    for the operator to replace. Long details go through a file, which can be corrected as well.
    `left_out` names what no option can express.
    """

    def __init__(self, event_id: str, kind: str, body: bytes, queue: str, session: Session) -> None:
        self.key_is_missing = queue not in session.loaded.config.routing_keys
        self._words = ["-k", "ROUTING_KEY" if self.key_is_missing else f"@{queue}"]
        self._input: bytes | None = None
        self.left_out: list[str] = []
        event = _decoded(msgspec.Raw(body), dict[str, msgspec.Raw]) or {}
        match kind:
            case "v1":
                command = "send"
                self._take(event, _V1, ["details"])
                self._take_details("details", event.get("details"), as_json=False)
            case "change":
                command = "change"
                self._take(event, {"event_action": ""}, ["payload", "links"])
                self._take_payload(event, _CHANGE_PAYLOAD)
            case _:
                command = "enqueue"
                self._take(event, _V2, ["payload", "links", "images"])
                self._take_payload(event, _PAYLOAD)
        self._take_links(event.get("links"))
        self._take_images(event.get("images"))
        sending = " ".join([session.command(command), *map(_word, self._words)])
        if self._input is None:
            self.commands = [sending]
        elif len(self._input) <= _LONG:
            details = _printable_json(self._input.decode())
            self.commands = [f"printf %s {shlex.quote(details)} | {sending}"]
        else:
            show = session.command("queue", "show", event_id, "--json")
            self.commands = [f"{show} | jq .event.payload.custom_details > {_FILE}", sending]

    def _take(
        self, members: _Members, options: Mapping[str, str], later: Iterable[str], path: str = ""
    ) -> None:
        """Take the texts that have `options`; `later` names what is taken otherwise."""
        for name, value in members.items():
            if name in _NEVER_GIVEN or name in later or bytes(value) in _NOTHING:
                continue
            text = _decoded(value, str)
            if text is None or name not in options or not _can_be_given(text):
                self.left_out.append(path + name)
            elif options[name]:
                self._words += [options[name], text]

    def _take_payload(self, event: _Members, options: Mapping[str, str]) -> None:
        payload = _decoded(event.get("payload"), dict[str, msgspec.Raw]) or {}
        self._take(payload, options, ["custom_details"], "payload.")
        self._take_details("payload.custom_details", payload.get("custom_details"), as_json=True)

    def _take_details(self, name: str, value: msgspec.Raw | None, *, as_json: bool) -> None:
        if value is None or bytes(value) in _NOTHING:
            return
        fields = _decoded(value, dict[str, str])
        fit = not as_json or len(bytes(value)) <= _LONG
        if fields is not None and fit and all(field and "=" not in field for field in fields):
            pairs = [f"{field}={text}" for field, text in fields.items()]
        else:
            pairs = []
        if pairs and all(pair.isprintable() if as_json else _can_be_given(pair) for pair in pairs):
            for pair in pairs:
                self._words += ["-f", pair]
        elif as_json and _decoded(value, dict[str, msgspec.Raw]) is not None:
            # To the letter: numbers stay as they were written.
            self._input = bytes(value)
            self._words += ["--details-json", "-" if len(self._input) <= _LONG else _FILE]
        else:
            self.left_out.append(name)

    def _take_links(self, value: msgspec.Raw | None) -> None:
        for given in _decoded(value, list[_Link]) or []:
            text = f"{given.href}={given.text}" if given.text else given.href
            if _can_be_given(text) and link(text) == (given.href, given.text or None):
                self._words += ["--link", text]
            else:
                self.left_out.append(f"the link to {given.href}")

    def _take_images(self, value: msgspec.Raw | None) -> None:
        for given in _decoded(value, list[_Image]) or []:
            parts = (given.src, given.href or "", given.alt or "")
            text = ",".join(parts).rstrip(",")
            same = image(text) == (given.src, given.href or None, given.alt or None)
            if same and _can_be_given(text):
                self._words += ["--image", text]
            else:
                self.left_out.append(f"the image {given.src}")


class _Link(msgspec.Struct):
    href: str
    text: str | None = None


class _Image(msgspec.Struct):
    src: str
    href: str | None = None
    alt: str | None = None


def _can_be_given(text: str) -> bool:
    """Whether `text` can be an argument: none has a zero byte."""
    return "\0" not in text


def _word(text: str) -> str:
    """`text` as one word for `sh`, on one line and printable, with octal numbers for what isn't.

    Line ends at its end are lost: a shell cuts them off what a command prints.
    """
    if text.isprintable():
        return shlex.quote(text)
    return f"\"$(printf '{''.join(map(_for_printf, text))}')\""


def _for_printf(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    return char if char.isprintable() else "".join(f"\\{byte:03o}" for byte in char.encode())


def _printable_json(text: str) -> str:
    """JSON that means the same. Between values there can be line ends, in texts all the rest."""
    return "".join(c if c.isprintable() else " " if c in "\r\n\t" else _in_json(c) for c in text)


def _in_json(char: str) -> str:
    units = char.encode("utf-16-be").hex()
    return "".join(f"\\u{units[n : n + 4]}" for n in range(0, len(units), 4))


def _decoded(value: msgspec.Raw | None, kind: type[_Kind]) -> _Kind | None:
    """`value` as a `kind`, None if it isn't one."""
    try:
        return None if value is None else msgspec.json.decode(bytes(value), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
