"""A relay's log on real NATS servers that die, hang and come back."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from pdagent.config.certificates import self_signed
from store.log import LogConflictError, LogUnavailableError, Message
from store.nats_connection import EngineConnection
from store.nats_log import NatsLog
from tests.engine import Engine, needs_nats_server

# An election takes 4 to 9 s.
FAILOVER_SECONDS = 25.0

Opener = Callable[..., NatsLog]


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Opens logs, which are closed at the end."""
    logs: list[NatsLog] = []

    def make(engine: Engine, name: str = "relay", first: str = "") -> NatsLog:
        urls = sorted(engine.urls, key=lambda url: url != first)
        logs.append(NatsLog(urls, name))
        return logs[-1]

    yield make
    for log in logs:
        log.close()


def settle(log: NatsLog, expected: int, data: bytes) -> None:
    """Append a message as the journal does: again and again, until it is known to be there."""
    deadline = time.monotonic() + FAILOVER_SECONDS
    while True:
        try:
            assert log.append(expected, data) == expected + 1
            return
        except LogUnavailableError:
            assert time.monotonic() < deadline
        except LogConflictError:
            assert next(log.read(expected)).data == data, "another one's message"
            return


def follow(log: NatsLog, after: int) -> list[Message]:
    """The next messages, as a standby waits for them."""
    deadline = time.monotonic() + FAILOVER_SECONDS
    while time.monotonic() < deadline:
        try:
            if found := list(log.read(after, wait=FAILOVER_SECONDS)):
                return found
        except LogUnavailableError:
            continue
    raise AssertionError("the reader has waited in vain")


def in_order(log: NatsLog, last: int) -> None:
    """Messages 1 to `last` are there, each once, with the numbers that they name."""
    messages = list(log.read(0))
    assert [message.seq for message in messages] == list(range(1, last + 1))
    assert [message.data for message in messages] == [b"%d" % seq for seq in range(1, last + 1)]


def kill_leader(engine: Engine) -> None:
    engine.leader("relay_log").kill()


def pause_leader(engine: Engine) -> None:
    engine.leader("relay_log").pause()


def kill_all(engine: Engine) -> None:
    for node in engine.nodes:
        node.kill()
    for node in engine.nodes:
        node.start()


@pytest.mark.parametrize("fault", [kill_leader, pause_leader, kill_all])
def test_appends_and_a_waiting_reader_survive(
    fault: Callable[[Engine], None], own_engine: Engine, opened: Opener
) -> None:
    """Nothing is lost, nothing comes twice, and nobody hangs."""
    opened(own_engine).close()
    # Both are connected to the node that gets into trouble.
    leader = own_engine.leader("relay_log").url
    writer, reader = opened(own_engine, first=leader), opened(own_engine, first=leader)
    for number in range(50):
        writer.append(number, b"%d" % (number + 1))
    row = writer.put("lease", b"owner")
    with ThreadPoolExecutor() as threads:
        waiting: Future[list[Message]] = threads.submit(follow, reader, 50)
        fault(own_engine)
        for number in range(50, 60):
            settle(writer, number, b"%d" % (number + 1))
        assert waiting.result(FAILOVER_SECONDS)[0] == Message(51, b"51")
    in_order(reader, 60)
    # What a node that hung still had in its buffers is not stored any more.
    own_engine.start()
    in_order(writer, 60)
    assert writer.bounds() == reader.bounds() == (1, 60)
    kept = reader.get("lease")
    assert kept is not None and kept.revision == row
    assert reader.put("lease", b"other", expected=row) > row
    assert opened(own_engine).identity == writer.identity


def test_without_a_majority_each_call_ends_in_time(own_engine: Engine, opened: Opener) -> None:
    log = opened(own_engine)
    log.append(0, b"1")
    # The one that is left leads nothing: a leader may answer until it misses the others.
    leaders = [own_engine.leader(stream) for stream in ("relay_log", "relay_table")]
    left = next(node for node in own_engine.nodes if node not in leaders)
    for node in own_engine.nodes:
        if node is not left:
            node.pause()
    calls: list[tuple[Callable[[], object], float]] = [
        (lambda: log.append(1, b"2"), 2),
        (lambda: log.put("lease", b"x"), 2),
        (lambda: log.get("lease"), 5),
        (log.bounds, 5),
        (lambda: list(log.read(0, wait=60)), 5),
        (lambda: NatsLog(own_engine.urls, "relay"), 5),
    ]

    def timed(call: Callable[[], object], limit: float) -> None:
        begin = time.monotonic()
        with pytest.raises(LogUnavailableError, match="the engine"):
            call()
        assert time.monotonic() - begin < limit + 3

    with ThreadPoolExecutor(len(calls)) as threads:
        for done in [threads.submit(timed, *call) for call in calls]:
            done.result()
    begin = time.monotonic()
    log.close()
    assert time.monotonic() - begin < 4


def test_an_engine_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        LogUnavailableError, match=r"does not answer \(127\.0\.0\.1:1: Connection refused"
    ):
        NatsLog(["nats://user:password@127.0.0.1:1"], "relay")
    with pytest.raises(ValueError, match=r"a\.b: a name has letters"):
        NatsLog(["nats://127.0.0.1:1"], "a.b")


def test_relays_that_start_together_make_one_log(engine: Engine, opened: Opener) -> None:
    name = f"test-{secrets.token_hex(8)}"
    with ThreadPoolExecutor() as threads:
        logs = list(threads.map(lambda _: opened(engine, name), range(4)))
    assert len({log.identity for log in logs}) == 1
    assert opened(engine, f"{name}-2").identity != logs[0].identity
    for facts in logs[0].streams():
        assert facts.replicas == 3
        assert {facts.leader, *(copy.node for copy in facts.copies)} == {"n1", "n2", "n3"}


def test_the_leader_gives_what_no_other_copy_does(engine: Engine, opened: Opener) -> None:
    name = f"test-{secrets.token_hex(8)}"
    log = opened(engine, name)
    for number in range(250):
        log.append(number, b"%d" % (number + 1))
    # Without direct access no copy answers, as one that is behind and never catches up.
    api = EngineConnection(engine.urls)
    info = json.loads(api.call(f"$JS.API.STREAM.INFO.{name}_log", seconds=5))
    changed = json.dumps(info["config"] | {"allow_direct": False}).encode()
    answer = json.loads(api.call(f"$JS.API.STREAM.UPDATE.{name}_log", changed, seconds=5))
    api.close()
    assert "error" not in answer
    in_order(log, 250)


def test_a_relay_needs_the_right_key_and_certificate(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither credentials nor events go to a server that is not the one that is meant."""
    nkeys = pytest.importorskip("nkeys")
    needs_nats_server()
    pair, stranger = self_signed(), self_signed()
    for name, data in (("cert", pair.certificate), ("key", pair.key), ("ca", stranger.certificate)):
        (tmp_path / name).write_bytes(data)
    seeds = [nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER) for _ in range(2)]
    for name, seed in zip(("right", "wrong"), seeds, strict=True):
        (tmp_path / name).write_bytes(seed + b"\n")
    (tmp_path / "none").write_text("no seed")
    public = nkeys.from_seed(seeds[0]).public_key.decode()
    users = f"authorization {{ users: [{{ nkey: {public} }}] }}\n"
    tls = f'tls {{ cert_file: "{tmp_path}/cert", key_file: "{tmp_path}/key" }}\n'

    def opened(engine: Engine, credentials: str | None, ca: str | None) -> NatsLog:
        return NatsLog(
            engine.urls,
            "relay",
            replicas=1,
            credentials=tmp_path / credentials if credentials else None,
            ca=tmp_path / ca if ca else None,
        )

    refusals = [
        ("wrong", "cert", "Authorization Violation"),
        (None, "cert", "Authorization Violation"),
        ("none", "cert", "the engine can't be used"),
        ("missing", "cert", "can't read .*missing: No such file"),
        ("right", "ca", "certificate verify failed"),
    ]
    settings = f"{users}{tls}max_payload: 64KB"
    with (
        Engine(tmp_path / "secure", nodes=1, settings=settings) as secure,
        Engine(tmp_path / "plain", nodes=1, settings=users) as plain,
        ThreadPoolExecutor() as threads,
    ):

        def refused(engine: Engine, credentials: str | None, ca: str, why: str) -> None:
            with pytest.raises(LogUnavailableError, match=why):
                opened(engine, credentials, ca)

        opened(plain, "right", None).close()
        waiting = [threads.submit(refused, secure, *refusal) for refusal in refusals]
        waiting.append(threads.submit(refused, plain, "right", "cert", "the server offers no TLS"))
        log = opened(secure, "right", "cert")
        largest = os.urandom(log.max_message)
        assert len(largest) < 64 * 1024
        log.append(0, largest)
        assert next(log.read(0)).data == largest
        log.close()
        for done in waiting:
            done.result()
    assert caplog.messages == []
