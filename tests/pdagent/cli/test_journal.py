"""`journal verify`, `dump`, `compact` and `salvage`, on journals that no agent has open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from store.inspection.journal_file import JournalFile
from store.records import EventAccepted
from tests.actors.journals_on_disk import copy_of, files_in
from tests.lived_journal import key_of, live
from tests.pdagent.cli.command_line import CommandLine

KEYS = [key_of(queue) for queue in (1, 2, 3)]
DAY = "1970-01-12T13:46:"  # when the journals lived


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("lived") / "journal"
    live(directory, steps=300)
    return directory


@pytest.fixture
def copied(cli: CommandLine, lived: Path) -> Path:
    """The journal of the config, the same anew for each test; one of its keys has a name."""
    directory = copy_of(lived, cli.home / "journal")
    cli.configure(f"routing_keys:\n  database: '{KEYS[0]}'\n", database=str(directory))
    return directory


def damage(directory: Path) -> None:
    """Change a bit of an event's body, wherever a copy of it is."""
    with JournalFile(directory) as file:
        accepted = (e.record for e in file.entries() if isinstance(e.record, EventAccepted))
        start = next(accepted).body[:40]
    data = directory / "data.mdb"
    content = data.read_bytes()
    assert start in content
    data.write_bytes(content.replace(start, start.replace(b"fill", b"Fill")))


def records_in(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_verify_and_dump_change_nothing_even_where_nothing_may_be_written(
    cli: CommandLine, copied: Path
) -> None:
    for file in copied.iterdir():
        file.chmod(0o400)
    copied.chmod(0o500)
    before = files_in(copied)
    for command in (["verify"], ["verify", "--json"], ["dump"], ["dump", "--json"]):
        done = cli("journal", *command)
        assert (done.code, done.err) == (0, "")
        assert not any(key in done.out for key in KEYS)
        assert files_in(copied) == before
    copied.chmod(0o700)


def test_verify_says_what_a_whole_journal_holds(cli: CommandLine, copied: Path) -> None:
    out = cli("journal", "verify").out
    assert out.startswith(f"The journal {copied} is whole: ")
    assert "3 keys" in out
    found = json.loads(cli("journal", "verify", str(copied), "--json").out)
    assert (found["damage"], found["queues"]) == ([], 3)
    assert f"{found['records']:,} records" in out
    assert f"{found['waiting']:,} waiting" in out


def test_a_damaged_journal_has_a_line_for_each_damage_and_the_command_that_helps(
    cli: CommandLine, copied: Path
) -> None:
    damage(copied)
    before = files_in(copied)
    done = cli("journal", "verify")
    assert done.code == 1
    *lines, last = done.out.splitlines()
    assert lines[0].endswith("its checksum does not match")
    assert last.startswith(f"The journal {copied} holds besides: ")
    assert f"is damaged in {len(lines)} place" in done.error
    assert f"'pagerduty-agent journal salvage NEW_DIR --from {copied}'" in done.error
    assert "pagerduty-agent help damaged-journal" in done.error
    dumped = cli("journal", "dump", "--json")
    assert dumped.code == 1
    assert dumped.err.splitlines()[0] == f"damage: {lines[0]}"
    assert (
        len(records_in(dumped.out)) == json.loads(cli("journal", "verify", "--json").out)["records"]
    )
    assert files_in(copied) == before


def test_dump_shows_every_record_in_order_and_no_key(cli: CommandLine, copied: Path) -> None:
    records = records_in(cli("journal", "dump", "--json").out)
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    assert {record["queue"] for record in records} == {"database", "0000…0002", "0000…0003"}
    accepted = [record for record in records if record["record"] == "EventAccepted"]
    assert list(accepted[0])[:5] == ["seq", "at", "record", "queue", "id"]
    masks = {"database": "0000…0001"}
    for record in accepted:
        assert record["event"]["routing_key"] == masks.get(record["queue"], record["queue"])
    assert all("id" in record for record in records if record["record"].startswith("Event"))
    lines = cli("journal", "dump").out.splitlines()
    assert len(lines) == len(records)
    for line, record in zip(lines, records, strict=True):
        assert line.split()[:2] == [str(record["seq"]), record["at"]]


@pytest.mark.parametrize("given", ["100", "time", "date and zone"])
def test_dump_begins_where_it_is_told(cli: CommandLine, copied: Path, given: str) -> None:
    records = records_in(cli("journal", "dump", "--json").out)
    middle = records[99]
    since = {"100": "100", "time": middle["at"], "date and zone": middle["at"][:-1] + "+00:00"}
    some = records_in(cli("journal", "dump", "--json", "--since", since[given]).out)
    assert some == [record for record in records if record["at"] >= middle["at"]] or (
        given == "100" and some == records[99:]
    )
    assert len(some) < len(records)


def test_dump_understands_ages_and_says_what_it_does_not_understand(
    cli: CommandLine, copied: Path
) -> None:
    assert cli("journal", "dump", "--since", "90m").out == ""
    assert cli("journal", "dump", "--since", "1970-01-01", str(copied)).out != ""
    for wrong in ("yesterday", "-1", "5 minutes", "9" * 30 + "d"):
        done = cli("journal", "dump", "--since", wrong)
        assert done.code == 2
        assert "is no sequence number" in done.error or "No such option" in done.error


def test_compact_gives_room_back_and_keeps_everything(cli: CommandLine, copied: Path) -> None:
    before = cli("journal", "dump", "--json").out
    done = cli("journal", "compact")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"Compacted {copied}: ")
    assert cli("journal", "dump", "--json").out == before


@pytest.mark.parametrize("cut", [False, True], ids=["checksum", "cut"])
def test_compact_refuses_a_damaged_journal_and_names_what_helps(
    cli: CommandLine, copied: Path, cut: bool
) -> None:
    damage(copied)
    if cut:
        (copied / "data.mdb").write_bytes((copied / "data.mdb").read_bytes()[:8192])
    before = files_in(copied)["data.mdb"]
    done = cli("journal", "compact", str(copied))
    assert (done.code, done.out) == (1, "")
    assert ("is cut to 8192 bytes" if cut else "its checksum does not match") in done.error
    assert f"'pagerduty-agent journal verify {copied}'" in done.error
    assert f"'pagerduty-agent journal salvage NEW_DIR --from {copied}'" in done.error
    assert files_in(copied)["data.mdb"] == before


@pytest.mark.parametrize("command", ["verify", "dump", "salvage"])
def test_each_damage_is_told_once(cli: CommandLine, copied: Path, command: str) -> None:
    data = copied / "data.mdb"
    data.write_bytes(data.read_bytes()[:-4096])
    done = cli("journal", command, *([str(cli.home / "new")] if command == "salvage" else []))
    assert (done.out + done.err).count("is cut to ") == 1


def test_salvage_says_that_nothing_could_be_read(cli: CommandLine, copied: Path) -> None:
    data = copied / "data.mdb"
    data.write_bytes(data.read_bytes()[: 4 * 4096])
    done = cli("journal", "salvage", str(cli.home / "new"))
    assert done.code == 1
    assert done.error.startswith(f"NOTHING could be read of {copied}, no event is saved")
    assert "it isn't known which are lost" in done.error
    assert "0 events lost" not in done.out
    assert "mv " not in done.out


def test_salvage_says_when_it_is_not_known_what_is_lost(cli: CommandLine, copied: Path) -> None:
    with JournalFile(copied) as file:
        event, *_ = max(file.events())
    data = copied / "data.mdb"
    # The index of events is out of order then: what it lacks nobody knows.
    data.write_bytes(data.read_bytes().replace(event.encode() + b"\0", b"0" * len(event) + b"\0"))
    new = cli.home / "new"
    done = cli("journal", "salvage", str(new))
    assert done.code == 1
    assert "it isn't known how many besides" in done.out
    assert f"    mv {copied} {copied}.damaged && mv {new} {copied}\n" in done.out
    assert done.error.startswith(f"{new} holds what could be read; it isn't known which events are")


def test_salvage_names_what_is_lost_and_leaves_the_damaged_one_as_it_is(
    cli: CommandLine, copied: Path
) -> None:
    damage(copied)
    before = files_in(copied)
    new = cli.home / "new"
    done = cli("journal", "salvage", str(new))
    assert (done.code, done.err) == (0, "")
    assert "its checksum does not match" in done.out
    assert f"    mv {copied} {copied}.damaged && mv {new} {copied}\n" in done.out
    assert files_in(copied) == before
    assert cli("journal", "verify", str(new)).code == 0
    again = cli("journal", "salvage", str(new), "--from", str(copied))
    assert again.code == 1
    assert "exists already" in again.error


def test_where_there_is_no_journal_one_line_says_so(cli: CommandLine) -> None:
    cli.configure(database=str(cli.home / "nowhere"))
    new = str(cli.home / "new")
    for command in (["verify"], ["dump"], ["compact"], ["salvage", new]):
        done = cli("journal", *command)
        assert done.code == 1
        assert f"there is no journal in {cli.home / 'nowhere'}: name its directory" in done.error
    elsewhere = str(cli.home / "elsewhere")
    for command in (["verify"], ["dump"], ["compact"], ["salvage", new, "--from"]):
        done = cli("journal", *command, elsewhere)
        assert done.code == 1
        assert done.error == (
            f"there is no journal in {elsewhere}: give the directory that holds its data.mdb"
        )
    assert [path.name for path in cli.home.iterdir()] == [".pagerduty-agent.yaml"]


def test_a_journal_that_has_lost_its_file_is_not_taken_for_a_wrong_directory(
    cli: CommandLine, copied: Path
) -> None:
    (copied / "data.mdb").unlink()
    before = files_in(copied)
    new = str(cli.home / "new")
    place = str(copied)
    for command in (["verify"], ["dump", place], ["compact"], ["salvage", new, "--from", place]):
        done = cli("journal", *command)
        assert done.code == 1
        assert f"the journal {copied} has lost its file data.mdb" in done.error
        assert "restore it from a backup" in done.error
    assert files_in(copied) == before
