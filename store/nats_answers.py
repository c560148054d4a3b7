"""What the engine's API answers, as far as a relay needs it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Set
from typing import TypeVar

import msgspec

from store.log import LogUnavailableError, Row

# Numbers of errors, as nats-server's errors.json has them.
NO_STREAM = 10059
NO_MESSAGE = 10037
OTHER_CONFIG = 10058
WRONG_SEQUENCE = frozenset({10071, 10164})
_TEMPORARY = 503


class TemporaryError(LogUnavailableError):
    """The engine answers that it can't do this now."""


class EngineRefusal(msgspec.Struct, frozen=True):
    """Why the engine did not do what it was asked for; `code` is like a status of HTTP."""

    code: int
    err_code: int = 0
    description: str = ""


class EngineAnswer(msgspec.Struct, frozen=True):
    """What all answers have in common."""

    error: EngineRefusal | None = None


A = TypeVar("A", bound=EngineAnswer)


class PublishedAnswer(EngineAnswer, frozen=True):
    """A message was stored under this number."""

    seq: int = 0


class _Stored(msgspec.Struct, frozen=True):
    seq: int = 0
    data: str = ""


class StoredAnswer(EngineAnswer, frozen=True):
    """A message of a stream; its data is in base64."""

    message: _Stored = _Stored()

    def row(self) -> Row | None:
        """Its number and data; None if there is no such message."""
        if self.error is not None:
            return None
        return Row(self.message.seq, base64.b64decode(self.message.data))


class _Config(msgspec.Struct, frozen=True):
    num_replicas: int = 0
    max_msg_size: int = -1
    metadata: Mapping[str, str] = {}


class _State(msgspec.Struct, frozen=True):
    first_seq: int = 0
    last_seq: int = 0
    bytes: int = 0
    subjects: Mapping[str, int] | None = None


class _Copy(msgspec.Struct, frozen=True):
    name: str
    current: bool = False
    offline: bool = False
    active: int = 0
    lag: int = 0


class _Cluster(msgspec.Struct, frozen=True):
    leader: str = ""
    replicas: tuple[_Copy, ...] = ()


class CopyFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One node's copy of a stream, as the stream's leader sees it.

    `lag` counts the operations that it is behind, `silent` the seconds since it was heard of. It
    takes the leader long to call a node offline: one that was killed is first just not current.
    """

    node: str
    current: bool
    offline: bool
    lag: int
    silent: float


class StreamFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How many copies a stream is to have, its leader's node, and the copies beside the leader's.

    `leader` is empty if there is none.
    """

    name: str
    replicas: int
    leader: str
    copies: tuple[CopyFacts, ...]


class StreamAnswer(EngineAnswer, frozen=True):
    """A stream's config and state."""

    config: _Config = _Config()
    created: str = ""
    state: _State = _State()
    cluster: _Cluster = _Cluster()

    def facts(self, name: str) -> StreamFacts:
        """What operators have to know about it."""
        copies = (
            CopyFacts(
                node=copy.name,
                current=copy.current,
                offline=copy.offline,
                lag=copy.lag,
                silent=copy.active / 1e9,
            )
            for copy in self.cluster.replicas
        )
        return StreamFacts(
            name=name,
            replicas=self.config.num_replicas,
            leader=self.cluster.leader,
            copies=tuple(sorted(copies, key=lambda copy: copy.node)),
        )


def checked(kind: type[A], answer: bytes, allow: Set[int] = frozenset()) -> A:
    """An answer of the API; errors whose numbers are in `allow` are left to the caller.

    Raises `LogUnavailableError` for all others, `TemporaryError` if it is worth repeating.
    """
    try:
        decoded = msgspec.json.decode(answer, type=kind)
    except msgspec.DecodeError as error:
        raise LogUnavailableError(f"the engine answers what is not understood: {error}") from error
    if decoded.error is None or decoded.error.err_code in allow:
        return decoded
    kind_of_error = TemporaryError if decoded.error.code == _TEMPORARY else LogUnavailableError
    raise kind_of_error(f"the engine refuses: {decoded.error.description}")
