"""No output may hold a credential: what agents and commands print is searched in every test.

Routing keys and secrets that a test uses are noted where they are used (`AgentProcess` and
`CommandLine` do that), and looked for in all that is written from then on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_SHORTEST = 8
_IN_A_BODY = re.compile(rb'"(?:routing_key|service_key)"\s*:\s*"([A-Za-z0-9]{32})"')
_LOOKS_LIKE_A_KEY = re.compile(r"[A-Za-z0-9]{32,}")
_ALONE = re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9]{32}(?![A-Za-z0-9])")

noted: set[str] = set()
"""All credentials of the tests that this process has run."""


class CredentialShown(AssertionError):
    """Something that must stay secret was written where people read it."""


class Credentials:
    """The routing keys and secrets that one agent or command was given."""

    def __init__(self, *credentials: str) -> None:
        self._known: set[str] = set()
        self.note(*credentials)

    def note(self, *credentials: str) -> None:
        """Look for these as well; one of a few letters is found anywhere, so it doesn't count."""
        long = {credential for credential in credentials if len(credential) >= _SHORTEST}
        self._known |= long
        noted.update(long)

    def note_keys_in(self, *texts: str) -> None:
        """Whatever has the form of a routing key in `texts`, such as a config or arguments."""
        for text in texts:
            self.note(*_ALONE.findall(text))

    def note_keys_of(self, body: object) -> None:
        """The routing key of an event that is sent, if `body` is its JSON."""
        if isinstance(body, bytes):
            self.note(*(key.decode() for key in _IN_A_BODY.findall(body)))

    def check(self, text: str, where: str) -> None:
        """Raise `CredentialShown` if `text` has one of them in it; the error shows none."""
        _check(text, self._known, where)

    def check_log(self, text: str, where: str) -> None:
        """As `check`; nothing that only looks like a routing key may be in a log either."""
        self.check(text, where)
        found = _LOOKS_LIKE_A_KEY.search(text)
        if found is not None:
            raise CredentialShown(f"what may be a routing key is in {where}: {found[0][:4]}…")


def check_report(text: str) -> None:
    """As `Credentials.check`, for all credentials of all tests so far."""
    _check(text, noted, "the output of the test")


def _check(text: str, credentials: Iterable[str], where: str) -> None:
    for credential in credentials:
        place = text.find(credential)
        if place >= 0:
            around = text[max(0, place - 60) : place]
            raise CredentialShown(f"a credential is in {where}, behind {around!r}")
