"""What the documentation says of this repository is there, and what messages say of it."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from functools import reduce
from pathlib import Path

import click
import pytest

from pdagent.cli import topics
from pdagent.cli.program import program

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path.relative_to(REPOSITORY)
    for path in [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")]
)
OURS = re.compile(r"(?<![\w./-])(?:tests|actors|store|pdagent|docs)/[\w./-]*\w/?")
MENTION = re.compile(r"\bdocs/[a-z/-]+\.md\b")
HINT = re.compile(r"pagerduty-agent help ([\w/#.-]*\w)")
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)")
TEST = re.compile(r"`(tests/[\w./-]+)::(\w+)")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    named = set(OURS.findall((REPOSITORY / page).read_text("utf-8")))
    assert not [path for path in sorted(named) if not (REPOSITORY / path).exists()]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_test_that_a_page_names_is_there(page: Path) -> None:
    for file, test in TEST.findall((REPOSITORY / page).read_text("utf-8")):
        assert f"def {test}(" in (REPOSITORY / file).read_text("utf-8"), f"{file}::{test}"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_leads_to_a_file_and_a_section(page: Path) -> None:
    for target, anchor in LINK.findall((REPOSITORY / page).read_text("utf-8")):
        path = (REPOSITORY / page).parent / target if target else REPOSITORY / page
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
            assert anchor in map(topics.anchor_of, headings), f"{target}#{anchor}"


def test_each_guarantee_names_a_test() -> None:
    text = (REPOSITORY / "docs" / "guarantees.md").read_text("utf-8")
    promises = re.split(r"^## (?=\d)", text, flags=re.MULTILINE)[1:]
    assert len(promises) == 10
    for promise in promises:
        assert re.search(r"\*Tested by\*\s+`tests/\S+\.py(?:::\w+)?`", promise), (
            promise.splitlines()[0]
        )


def words_of(*path: str) -> str:
    return " ".join(REPOSITORY.joinpath(*path).read_text("utf-8").replace("`", "").split())


def test_the_third_guarantee_names_what_makes_the_agent_deliver_an_event_again() -> None:
    promise = words_of("docs", "guarantees.md").partition("## 3.")[2].partition("## 4.")[0]
    for cause in ("no answer", "crash", "failed commit"):
        assert cause in promise


@pytest.mark.parametrize(
    "path",
    [
        ("docs", "guarantees.md"),
        ("docs", "http-api.md"),
        ("pdagent", "httpapi", "openapi.json"),
        ("pdagent", "httpapi", "answers.py"),
    ],
    ids="/".join,
)
def test_all_say_the_same_of_an_event_that_may_have_been_stored(path: tuple[str, ...]) -> None:
    assert "may_have_been_stored" in words_of(*path)
    assert "with the same Idempotency-Key or dedup key" in words_of(*path)


def sources() -> dict[str, str]:
    """The text of all modules and units of the program; literals that go on are joined."""
    files = [
        file
        for package in ("store", "actors", "pdagent")
        for ending in ("py", "service")
        for file in (REPOSITORY / package).rglob(f"*.{ending}")
    ]
    return {str(file): re.sub(r'"\n *f?"', "", file.read_text()) for file in files}


def test_every_page_that_sources_name_is_there() -> None:
    places = {topic.place.partition("#")[0] for topic in topics.topics()}
    named = {page for text in sources().values() for page in MENTION.findall(text)}
    assert named and named <= places


def test_every_hint_names_a_command_or_exactly_one_topic() -> None:
    hints = {(file, words) for file, text in sources().items() for words in HINT.findall(text)}
    assert len(hints) > 10
    commands = [*program.list_commands(click.Context(program)), "topics"]
    wrong = [
        (file, words)
        for file, words in hints
        if words.split()[0] not in commands and len(topics.find(words)) != 1
    ]
    assert wrong == []


def test_the_way_of_an_event_names_at_most_25_files_with_functions_that_exist() -> None:
    page = (REPOSITORY / "docs" / "architecture.md").read_text("utf-8")
    section = page.partition("## How one event travels")[2].partition("\n## ")[0]
    steps = re.findall(r"^\| `([\w/]+)\.py` \| `([\w.]+)` \|", section, re.MULTILINE)
    assert 20 < len({file for file, _ in steps}) <= 25
    for file, function in steps:
        module = importlib.import_module(file.replace("/", "."))
        assert reduce(getattr, function.split("."), module), f"{file}.py: {function}"


SAID = {
    *(
        "CommandFailed",
        "CommitFailedError",
        "ConfigError",
        "StartRefused",
        "UsageError",
        "BadParameter",
        "SettingError",
    ),
    *(
        "Refusal",
        "HTTPConflict",
        "error_body",
        "HTTPBadRequest",
        "HTTPUnauthorized",
        "MalformedJsonError",
        "Unusable",
        "Nothing",
    ),
    *("warning", "error", "critical", "exception", "__init__"),
}
"""Functions and classes whose texts people read, besides journal errors and `say`."""
NOT_SHOWN = ("sandbox.py", "lock.py")


def text_of(node: ast.expr) -> str:
    """A literal text, with `…` for what is put in."""
    match node:
        case ast.Constant(value=str(text)):
            return re.sub(r"%[\d.]*[sdfo]", "…", text)
        case ast.JoinedStr(values=values):
            return "".join(map(text_of, values))
        case ast.BinOp(left=left, right=right):
            return text_of(left) + text_of(right)
    return "…"


def messages() -> Iterator[tuple[str, str]]:
    """Where each message of the program stands, and what it says."""
    for package in ("store", "actors", "pdagent"):
        for file in (REPOSITORY / package).rglob("*.py"):
            if {"sandbox", "demo", "docs"} & set(
                file.relative_to(REPOSITORY).parts
            ) or file.name in NOT_SHOWN:
                continue
            for node in ast.walk(ast.parse(file.read_text())):
                if not isinstance(node, ast.Call):
                    continue
                name = ast.unparse(node.func).rpartition(".")[2]
                is_said = name == "say" and text_of(node.args[0]).isalpha()
                if name in SAID or is_said or (name.startswith("Journal") and name[-5:] == "Error"):
                    for argument in [*node.args, *(each.value for each in node.keywords)]:
                        yield f"{file.relative_to(REPOSITORY)}:{node.lineno}", text_of(argument)


def test_troubleshooting_has_every_message() -> None:
    page = (REPOSITORY / "docs" / "troubleshooting.md").read_text("utf-8")
    first_columns = re.findall(r"^\| (`.*?) \|(?: |$)", page, re.MULTILINE)
    known = [
        re.compile(".*".join(map(re.escape, entry.split("…"))))
        for column in first_columns
        for entry in re.findall(r"`([^`]+)`", column)
    ]
    assert len(known) > 150
    found = list(messages())
    # What has fewer words passes on what is said elsewhere.
    whole = [each for each in found if len(re.findall(r"\w{2,}", each[1])) > 2]
    missing = [each for each in whole if not any(entry.search(each[1]) for entry in known)]
    assert missing == []
    unknown = [each.pattern for each in known if not any(each.search(text) for _, text in found)]
    assert unknown == []
