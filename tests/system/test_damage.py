"""Starts that must not happen, and what is said then; and leftovers that must not matter."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import lmdb
import pytest

from store.lmdb_journal import LmdbJournal
from store.records import EventAccepted
from tests.agent_process import AgentProcess
from tests.sandbox_process import SandboxProcess
from tests.store.sample_records import scanned
from tests.system.numbered_events import key_number, numbers_by_key, trigger

KEY = key_number(1)
WAITING = 5
NOBODY = 65_534
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")


@pytest.fixture(scope="module")
def left_journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of an agent that was stopped with five events waiting."""
    directory = tmp_path_factory.mktemp("left")
    with AgentProcess(directory, "http://127.0.0.1:9") as agent:
        for number in range(WAITING):
            agent.send_v2(marked(number)).raise_for_status()
        assert agent.stop() == 0
    return agent.journal


@pytest.fixture
def stopped(tmp_path: Path, sandbox: SandboxProcess, left_journal: Path) -> Iterator[AgentProcess]:
    """An agent that has that journal and does not run; PagerDuty is reachable."""
    agent = AgentProcess(tmp_path / "agent", sandbox.url)
    agent.credentials.note(KEY)
    shutil.copytree(left_journal, agent.journal)
    yield agent
    if agent.is_running:
        agent.stop()
    agent.credentials.check_log(agent.log(), "the agent's log")


def marked(number: int) -> dict[str, object]:
    """An event with a text that no other has."""
    event = trigger(KEY, number)
    event["payload"]["custom_details"]["mark"] = mark(number).decode()
    return event


def mark(number: int) -> bytes:
    return b"the mark of number %d" % number


def refusal_of_start(agent: AgentProcess) -> str:
    """The server exits with 1 and one line, and leaves every file of the journal as it is."""
    before = contents(agent.journal)
    done = agent.cli("server")
    assert done.returncode == 1, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert KEY not in done.stderr
    assert contents(agent.journal) == before
    assert not agent.pidfile.exists()
    return lines[0]


def contents(directory: Path) -> dict[str, bytes]:
    """Every file but those that say who has the journal open."""
    if not directory.is_dir():
        return {}
    files = [path for path in directory.iterdir() if path.name not in ("agent.lock", "lock.mdb")]
    return {path.name: path.read_bytes() for path in files}


def assert_all_is_delivered(agent: AgentProcess, sandbox: SandboxProcess) -> None:
    agent.wait_until_drained()
    assert numbers_by_key(sandbox.events()) == {KEY: list(range(WAITING))}


def data_file(agent: AgentProcess) -> Path:
    return agent.journal / "data.mdb"


def test_a_flipped_byte_in_a_record_stops_the_start_and_names_record_and_command(
    stopped: AgentProcess,
) -> None:
    reader = LmdbJournal(stopped.journal, limit=64 << 20)
    (seq,) = [
        entry.seq
        for entry in scanned(reader)
        if isinstance(entry.record, EventAccepted) and mark(3) in entry.record.body
    ]
    reader.close()
    flip(data_file(stopped), mark(3))
    line = refusal_of_start(stopped)
    assert f"record {seq} of the journal" in line
    assert "checksum" in line
    assert "journal verify" in line
    assert "pagerduty-agent help damaged-journal" in line


def flip(path: Path, text: bytes, bit: int = 1) -> None:
    """Change one bit of a text wherever it stands: old pages keep old copies."""
    content = path.read_bytes()
    assert text in content
    path.write_bytes(content.replace(text, bytes([text[0] ^ bit]) + text[1:]))


@pytest.mark.parametrize(
    ("bit", "why"), [(0x01, "its checksum does not match"), (0x80, "it is no text")]
)
def test_a_flipped_bit_in_a_routing_key_sends_no_event_to_somebody_else(
    stopped: AgentProcess, sandbox: SandboxProcess, bit: int, why: str
) -> None:
    flip(data_file(stopped), KEY.encode(), bit)
    line = refusal_of_start(stopped)
    assert f"the routing key of queue 1: {why}" in line
    assert "journal verify" in line
    verified = stopped.cli("journal", "verify")
    assert verified.returncode == 1
    assert f"the routing key of queue 1: {why}" in verified.stdout
    assert sandbox.events() == []
    saved = stopped.cli("journal", "salvage", str(stopped.directory / "saved"))
    assert saved.stdout.count("lost: event ") == WAITING


def test_an_index_that_lost_a_row_stops_the_start_and_salvage_makes_it_anew(
    stopped: AgentProcess, sandbox: SandboxProcess
) -> None:
    env = lmdb.open(str(stopped.journal), max_dbs=6, map_size=1 << 28)
    table = env.open_db(b"events", create=False)
    with env.begin(write=True) as txn:
        cursor = txn.cursor(table)
        assert cursor.first()
        cursor.delete()
    env.close()
    line = refusal_of_start(stopped)
    assert "index of events does not fit" in line
    assert "journal verify" in line
    saved, kept = stopped.directory / "saved", stopped.directory / "kept"
    stopped.cli("journal", "salvage", str(saved))
    stopped.journal.rename(kept)
    saved.rename(stopped.journal)
    stopped.start()
    assert_all_is_delivered(stopped, sandbox)


def test_the_way_out_of_damage_that_the_documentation_shows_works(
    stopped: AgentProcess, sandbox: SandboxProcess
) -> None:
    flip(data_file(stopped), mark(3))
    refusal_of_start(stopped)
    kept = stopped.journal.with_name("journal.damaged")
    stopped.journal.rename(kept)
    stopped.start()
    stopped.send_v2(trigger(KEY, 99)).raise_for_status()
    stopped.wait_until_drained()
    assert numbers_by_key(sandbox.events()) == {KEY: [99]}
    assert mark(0) in (kept / "data.mdb").read_bytes()


def cut(size: int) -> Callable[[AgentProcess], None]:
    return lambda agent: os.truncate(data_file(agent), size)


def overwrite(agent: AgentProcess) -> None:
    size = data_file(agent).stat().st_size
    data_file(agent).write_bytes(b"not a journal at all\n" * (size // 20))


def remove(agent: AgentProcess) -> None:
    data_file(agent).unlink()


def make_newer(agent: AgentProcess) -> None:
    env = lmdb.open(str(agent.journal), max_dbs=6)
    with env.begin(write=True) as txn:
        txn.put(b"format", b"3", db=env.open_db(b"meta", txn))
    env.close()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut(0), "is damaged: data.mdb is cut to 0 bytes"),
        (cut(20_000), "is damaged: data.mdb is cut to 20000 bytes"),
        (overwrite, "is damaged: its file data.mdb has no valid header"),
        (remove, "is damaged: its file data.mdb is missing"),
        (make_newer, "has format 3, this program knows up to 2: install the newer agent"),
    ],
    ids=["empty", "cut", "overwritten", "removed", "newer"],
)
def test_a_damaged_or_newer_file_stops_the_start_and_stays_as_it_is(
    stopped: AgentProcess, damage: Callable[[AgentProcess], None], words: str
) -> None:
    damage(stopped)
    assert words in refusal_of_start(stopped)


@AS_ROOT
def test_a_journal_of_another_user_is_left_alone(
    stopped: AgentProcess, sandbox: SandboxProcess
) -> None:
    os.chown(stopped.journal, NOBODY, NOBODY)
    line = refusal_of_start(stopped)
    assert f"belongs to user {NOBODY}" in line
    assert "chown" in line
    os.chown(stopped.journal, os.geteuid(), os.getegid())
    stopped.start()
    assert_all_is_delivered(stopped, sandbox)


def test_a_directory_that_is_not_writable_stops_the_start(
    stopped: AgentProcess, sandbox: SandboxProcess
) -> None:
    stopped.journal.chmod(0o500)
    assert "is not writable" in refusal_of_start(stopped)
    stopped.journal.chmod(0o700)
    stopped.start()
    assert_all_is_delivered(stopped, sandbox)


def test_a_directory_that_can_not_be_made_stops_the_start(
    tmp_path: Path, sandbox: SandboxProcess
) -> None:
    (tmp_path / "file").write_text("something else")
    for database in (tmp_path / "file", tmp_path / "file" / "journal"):
        agent = AgentProcess(tmp_path / "agent", sandbox.url, database=database)
        assert str(database) in refusal_of_start(agent)
    assert (tmp_path / "file").read_text() == "something else"


def test_a_second_agent_with_the_same_journal_is_refused_with_the_firsts_pid(
    agent: AgentProcess, tmp_path: Path, sandbox: SandboxProcess
) -> None:
    second = AgentProcess(tmp_path / "second", sandbox.url, database=agent.journal)
    assert f"is in use by process {agent.pid}" in refusal_of_start(second)
    assert agent.is_healthy()


def another_process() -> subprocess.Popen[bytes]:
    """Some process that is no agent and does nothing."""
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


@pytest.mark.parametrize("pid", ["dead", "alive", "zeros"])
def test_a_stale_pidfile_never_stops_the_start(
    stopped: AgentProcess, sandbox: SandboxProcess, pid: str
) -> None:
    with another_process() as process:
        if pid == "dead":
            process.communicate(b"\n")
        left = b"\0" * 6 if pid == "zeros" else b"%d\n" % process.pid
        stopped.pidfile.write_bytes(left)
        (stopped.journal / "agent.lock").write_bytes(left)
        stopped.start()
        assert stopped.pidfile.read_text() == f"{stopped.pid}"
        assert_all_is_delivered(stopped, sandbox)
        assert stopped.stop() == 0
        if pid == "alive":
            assert process.poll() is None, "another process that has the old number lives on"
            process.communicate(b"\n")


def test_what_a_kill_leaves_behind_never_stops_the_start(
    stopped: AgentProcess, sandbox: SandboxProcess
) -> None:
    sandbox.behave(down=True)
    for _ in range(2):
        stopped.start()
        stopped.kill()
        assert stopped.pidfile.exists()
        assert (stopped.journal / "lock.mdb").exists()
    sandbox.behave(down=False)
    stopped.start()
    assert_all_is_delivered(stopped, sandbox)


@pytest.mark.parametrize("size", [0, 8191])
def test_a_data_file_that_was_being_created_at_the_crash_is_kept_aside_and_begun_anew(
    tmp_path: Path, sandbox: SandboxProcess, size: int
) -> None:
    agent = AgentProcess(tmp_path, sandbox.url)
    agent.journal.mkdir(mode=0o700)
    data_file(agent).write_bytes(b"\xff" * size)
    with agent:
        agent.send_v2(trigger(KEY, 0)).raise_for_status()
        agent.wait_until_drained()
        aside = [path for path in agent.journal.iterdir() if "incomplete" in path.name]
        assert [path.read_bytes() for path in aside] == ([b"\xff" * size] if size else [])


@pytest.mark.skipif(not shutil.which("faketime"), reason="faketime is not installed")
@pytest.mark.parametrize("jump", ["+1d", "-1d"])
def test_a_clock_that_is_a_day_off_after_a_restart_delays_nothing(
    stopped: AgentProcess, sandbox: SandboxProcess, jump: str
) -> None:
    sandbox.behave(fail=429, retry_after=3000)
    stopped.start()
    sandbox.wait_for(lambda: sandbox.stats()["statuses"].get("429"), "a long wait begins")
    assert stopped.stop() == 0
    sandbox.behave(fail=None)
    stopped.env = {**stopped.env, **with_a_clock_that_is_off(jump)}
    stopped.start()
    assert_all_is_delivered(stopped, sandbox)


def with_a_clock_that_is_off(by: str) -> dict[str, str]:
    """The variables by which `faketime` works. It puts a process of its own before the program."""
    shown = subprocess.run(
        ["faketime", "--exclude-monotonic", "-f", by, "env"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    variables = dict(line.partition("=")[::2] for line in shown.splitlines())
    return {
        name: value
        for name, value in variables.items()
        if name == "LD_PRELOAD" or (name.startswith("FAKETIME") and name != "FAKETIME_SHARED")
    }
