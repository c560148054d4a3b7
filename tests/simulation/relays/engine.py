"""The engine of relays, and the network before it, with all that they do to a call."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec

from store.log import LogConflictError, LogTrimmedError, LogUnavailableError, Message, Row
from store.memory_log import MemoryEngine, MemoryLog
from tests.simulation.relays.machines import Machines

Down = Literal["refuses", "silent"]
Result = tuple[bool, Any]

_PATIENCE = 2.0  # seconds: of a client, for one call


class EngineTrouble(msgspec.Struct, kw_only=True):
    """How likely each trouble is, per call; after most of them, the caller gets no answer.

    `slow`: the call takes up to two seconds. `never`: it does not arrive. `lost`: it is carried
    out. `late`: it arrives only when the caller has given up, perhaps when another process has
    taken its place.
    """

    slow: float = 0.0
    never: float = 0.0
    lost: float = 0.0
    late: float = 0.0


class SimulatedEngine:
    """The nodes as one; while it is `down`, it carries out nothing. `stored` sees each message."""

    def __init__(
        self,
        machines: Machines,
        chance: random.Random,
        trouble: EngineTrouble,
        stored: Callable[[int, bytes], None],
    ) -> None:
        self.machines = machines
        self.trouble = trouble
        self.memory = MemoryEngine("log")
        self.down: Down | None = None
        self.kinds: Counter[str] = Counter()
        self.chance = chance
        self._stored = stored

    def append(self, log: MemoryLog, expected: int, data: bytes) -> int:
        """What a node does with an append."""
        seq = log.append(expected, data)
        self._stored(seq, data)
        return seq


class SimulatedLog:
    """One process's handle, a `store.log.Log`; `cut` is whether it reaches no node."""

    def __init__(self, engine: SimulatedEngine, max_message: int) -> None:
        self.identity = engine.memory.identity
        self.max_message = max_message
        self.cut = False
        self._engine = engine
        self._memory = MemoryLog(engine.memory, max_message=max_message)

    def append(self, expected: int, data: bytes) -> int:
        return self._call(lambda: self._engine.append(self._memory, expected, data), "append")

    def read(self, after: int, wait: float = 0.0) -> Iterator[Message]:
        memory = self._engine.memory
        if wait and memory.last <= after:
            self._engine.machines.wait(lambda: memory.last > after, wait)
        messages, error = self._call(lambda: _read(self._memory, after), "read")
        yield from messages
        if error is not None:
            raise error

    def bounds(self) -> tuple[int, int]:
        return self._call(self._memory.bounds, "read")

    def size(self) -> int:
        return self._call(self._memory.size, "read")

    def trim(self, upto: int) -> None:
        self._call(lambda: self._memory.trim(upto), "trim")

    def get(self, key: str) -> Row | None:
        return self._call(lambda: self._memory.get(key), "read")

    def put(self, key: str, value: bytes, expected: int | None = None) -> int:
        return self._call(lambda: self._memory.put(key, value, expected), "put")

    def rows(self, prefix: str) -> dict[str, Row]:
        return self._call(lambda: self._memory.rows(prefix), "read")

    def close(self) -> None:
        """There is no connection to end."""

    def _call(self, carry_out: Callable[[], Any], what: str) -> Any:
        """Have the engine do something; wait for its answer, as far as there is one."""
        engine, machines = self._engine, self._engine.machines
        chance, trouble = engine.chance, engine.trouble
        result: list[Result] = []

        def arrive() -> None:
            if engine.down is None:
                try:
                    result.append((True, carry_out()))
                except (LogConflictError, LogTrimmedError, LogUnavailableError) as error:
                    result.append((False, error))

        kind = self._draw_kind(trouble)
        engine.kinds[f"{what} {kind}"] += 1
        silence = chance.choice([0.05, _PATIENCE])  # a connection that breaks, or an answer missed
        match kind:
            case "fine":
                if chance.random() < 0.3:
                    machines.sleep(chance.random() * 0.01)
                arrive()
            case "slow":
                machines.after(chance.random(), arrive)
                machines.wait(lambda: bool(result), _PATIENCE)
                machines.sleep(chance.random())
            case "refuses":
                machines.sleep(0.05)
            case "lost":
                machines.after(chance.random() * 0.05, arrive)
                machines.sleep(silence)
                result.clear()
            case "late":
                machines.after(silence + chance.choice([0.2, 1.0, 8.0]) * chance.random(), arrive)
                machines.sleep(silence)
                result.clear()
            case _:
                machines.sleep(silence)
        if self.cut or not result:
            raise LogUnavailableError(f"the engine did not answer ({kind})")
        done, found = result.pop()
        if not done:
            raise found
        return found

    def _draw_kind(self, trouble: EngineTrouble) -> str:
        if self._engine.down is not None or self.cut:
            return "never" if self.cut else str(self._engine.down)
        draw = self._engine.chance.random()
        for kind in trouble.__struct_fields__:
            draw -= getattr(trouble, kind)
            if draw < 0:
                return kind
        return "fine"


def _read(log: MemoryLog, after: int) -> tuple[list[Message], LogTrimmedError | None]:
    """All at once: meanwhile nothing is trimmed."""
    messages: list[Message] = []
    try:
        messages.extend(log.read(after))
    except LogTrimmedError as error:
        return messages, error
    return messages, None
