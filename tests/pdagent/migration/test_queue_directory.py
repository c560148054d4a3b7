"""What the queue directory of PagerDuty's Python agent says: which events, in which order."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from pdagent.migration.queue_directory import (
    DeliveredKeys,
    DirectoryInUse,
    EventFileRefused,
    NotAQueue,
    listing,
    locate,
    locked,
    read,
    set_aside,
)
from tests.python_agent_queue import PythonAgentQueue, event

KEY, OTHER = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"


@pytest.fixture
def queue(tmp_path: Path) -> PythonAgentQueue:
    return PythonAgentQueue(tmp_path / "outqueue")


def test_waiting_and_failed_events_come_in_one_order(queue: PythonAgentQueue) -> None:
    for number, folder in ((3, "pdq"), (1, "err"), (2, "pdq"), (0, "pdq"), (4, "suc")):
        queue.put(folder, number, event(KEY, details={"number": number}))
    queue.put_bytes("pdq", f"999_{KEY}.txt", b"{}")
    events, misnamed = listing(queue.directory)
    assert [file.folder for file in events] == ["pdq", "pdq", "err", "pdq", "pdq"]
    assert [file.queued_at for file in events] == sorted(file.queued_at for file in events)
    assert b'"number":1' in read(queue.directory, events[2])
    assert not misnamed


@pytest.mark.parametrize("name", ["note", f"{KEY}.txt", f"1_{KEY}", f"1_{KEY}.txt~", "_.txt"])
def test_a_name_that_is_no_events_is_listed_apart(queue: PythonAgentQueue, name: str) -> None:
    queue.put_bytes("err", name, b"{}")
    assert listing(queue.directory) == ([], [f"err/{name}"])


def test_a_file_is_shown_without_its_key(queue: PythonAgentQueue) -> None:
    queue.put("pdq", 0, event(KEY))
    (file,), _ = listing(queue.directory)
    assert file.shown == "pdq/1700000000000000_0123…cdef.txt"
    assert KEY not in repr(file)


def test_an_event_has_one_idempotency_key_wherever_its_file_lies(queue: PythonAgentQueue) -> None:
    body = event(KEY)
    queue.put("pdq", 0, body)
    (waiting,), _ = listing(queue.directory)
    data = read(queue.directory, waiting)
    path = queue.directory / "pdq" / waiting.name
    path.rename(queue.directory / "err" / waiting.name)
    (failed,), _ = listing(queue.directory)
    assert failed.folder == "err"
    assert failed.idempotency_key(data) == waiting.idempotency_key(data)
    # Two triggers of one second differ in nothing but their files' names.
    queue.put("pdq", 1, body)
    _, again = listing(queue.directory).events
    assert read(queue.directory, again) == data
    assert again.idempotency_key(data) != waiting.idempotency_key(data)
    assert KEY not in waiting.idempotency_key(data)


def test_links_and_what_is_no_file_are_not_read(queue: PythonAgentQueue, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("{}")
    names = [queue.directory / "pdq" / f"{number}_{KEY}.txt" for number in range(4)]
    names[0].symlink_to(tmp_path / "secret")
    os.mkfifo(names[1])
    names[2].mkdir()
    with names[3].open("wb") as file:
        file.truncate((4 << 20) + 1)
    for file, why in zip(
        listing(queue.directory).events,
        ("symbolic link", "regular file", "regular file", "larger than 4 MiB"),
        strict=True,
    ):
        with pytest.raises(EventFileRefused, match=why):
            read(queue.directory, file)


def superseded(queue: PythonAgentQueue) -> bool:
    """Whether the one failed event is."""
    failed = [file for file in listing(queue.directory).events if file.folder == "err"]
    return DeliveredKeys(queue.directory, failed).supersedes(
        failed[0], read(queue.directory, failed[0])
    )


@pytest.mark.parametrize(
    ("failed", "later", "harmful"),
    [
        ("trigger", "resolve", True),
        ("trigger", "acknowledge", False),
        ("trigger", "trigger", False),
        ("acknowledge", "trigger", True),
        ("resolve", "trigger", True),
        ("resolve", "resolve", False),
    ],
)
@pytest.mark.parametrize("folder", ["suc", "imported"])
def test_a_failed_event_is_superseded_by_what_was_delivered_later(
    queue: PythonAgentQueue, failed: str, later: str, harmful: bool, folder: str
) -> None:
    (queue.directory / "imported").mkdir()
    queue.put("err", 5, event(KEY, failed, "db1"))
    queue.put(folder, 6, event(KEY, later, "db1"))
    assert superseded(queue) is harmful


def test_what_came_before_or_concerns_another_alert_supersedes_nothing(
    queue: PythonAgentQueue,
) -> None:
    queue.put("err", 5, event(KEY, "trigger", "db1"))
    queue.put("suc", 4, event(KEY, "resolve", "db1"))
    queue.put("suc", 6, event(KEY, "resolve", "db2"))
    queue.put("suc", 7, event(OTHER, "resolve", "db1"))
    queue.put("pdq", 8, event(KEY, "resolve", "db1"))
    queue.put_bytes("suc", f"1800000000000000_{KEY}.txt", b"half a f")
    assert not superseded(queue)


def test_each_failed_event_is_superseded_by_what_came_after_it(queue: PythonAgentQueue) -> None:
    for number in (1, 5):
        queue.put("err", number, event(KEY, "trigger", "db1"))
    queue.put("suc", 3, event(KEY, "resolve", "db1"))
    failed, _ = listing(queue.directory)
    delivered = DeliveredKeys(queue.directory, failed)
    found = [delivered.supersedes(file, read(queue.directory, file)) for file in failed]
    assert found == [True, False]


def test_a_trigger_without_incident_key_is_superseded_by_nothing(queue: PythonAgentQueue) -> None:
    queue.put("err", 5, event(KEY))
    queue.put("suc", 6, event(KEY, "resolve", "None"))
    assert not superseded(queue)


def test_it_is_found_by_its_own_path_and_by_the_data_directory(queue: PythonAgentQueue) -> None:
    assert locate(queue.directory) == queue.directory
    assert locate(queue.directory.parent) == queue.directory


def test_anything_else_is_refused_with_what_to_name(queue: PythonAgentQueue) -> None:
    for path, hint in (
        (queue.directory / "pdq", f"name {queue.directory}"),
        (queue.directory / "tmp", "that is /var/lib/pdagent/outqueue"),
        (queue.put("pdq", 0, event(KEY)), "which is /var/lib/pdagent/outqueue"),
    ):
        with pytest.raises(NotAQueue, match=hint):
            locate(path)
    with pytest.raises(FileNotFoundError):
        locate(queue.directory / "none")


def test_go_pdagents_database_is_recognised(tmp_path: Path) -> None:
    database = tmp_path / "pdagent.db"
    # The head of a page of type 4, and the beginning of Bolt's meta data.
    database.write_bytes(bytes(8) + b"\4\0\0\0\0\0\0\0" + b"\xed\xda\x0c\xed\2\0\0\0" + bytes(8192))
    with pytest.raises(NotAQueue, match=r"only go-pdagent can read.*pagerduty-agent help moving"):
        locate(database)


def test_an_imported_file_is_in_no_folder_of_the_python_agent(queue: PythonAgentQueue) -> None:
    queue.put("err", 0, event(KEY))
    (file,), _ = listing(queue.directory)
    with locked(queue.directory):
        set_aside(queue.directory, file)
    assert queue.names("imported") == [file.name]
    assert listing(queue.directory) == ([], [])


def test_the_python_agents_lock_is_heeded_and_held(queue: PythonAgentQueue) -> None:
    path = queue.directory / "dequeue.lock"
    child = os.fork()  # POSIX locks are a process's own
    if not child:
        with path.open("w") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            os.kill(os.getpid(), 19)
        os._exit(0)
    os.waitpid(child, os.WUNTRACED)
    with pytest.raises(DirectoryInUse), locked(queue.directory):
        pass
    os.kill(child, 9)
    os.waitpid(child, 0)
    path.unlink()
    if os.geteuid() == 0:
        os.chown(queue.directory, 4321, 4321)
    with locked(queue.directory):
        # A killed import leaves it, and one that belonged to root would stop the Python agent.
        assert path.stat().st_uid == queue.directory.stat().st_uid
    assert not path.exists()


@pytest.mark.parametrize("name", ["dequeue.lock", "imported"])
def test_no_link_that_the_old_agents_user_may_have_made_is_followed(
    queue: PythonAgentQueue, tmp_path: Path, name: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (queue.directory / name).symlink_to(tmp_path / "elsewhere" / ("lock" if "." in name else ""))
    with pytest.raises(OSError), locked(queue.directory):
        pass
    assert not list((tmp_path / "elsewhere").iterdir())
