"""The layers hold: pdagent -> actors -> store, and each library is used in its own place only."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("store", "actors", "pdagent")

# What each layer may use of the layers, and of what others have written.
LAYERS = {
    "store": {"store"},
    "actors": {"actors", "store"},
    "pdagent": {"pdagent", "actors", "store"},
}
LIBRARIES = {"store": {"lmdb", "msgspec", "nats"}, "actors": {"pykka", "msgspec"}}

# The core is pure: no clock, no thread, no disk, no network, no chance.
CORE_STANDARD_LIBRARY = {"__future__", "collections", "enum", "functools", "itertools", "math"}
CORE_STANDARD_LIBRARY |= {"typing"}


def module_of(file: Path) -> str:
    """The dotted name of a file's module."""
    parts = file.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules(package: str) -> list[Path]:
    """All files of a package, which must not be empty: a wrong path would prove anything."""
    files = sorted((REPOSITORY / Path(*package.split("."))).rglob("*.py"))
    assert files, package
    return files


def imports_of(file: Path) -> Iterator[str]:
    """Every module that a file imports, also inside of functions, as a dotted name."""
    package = module_of(file) if file.name == "__init__.py" else module_of(file).rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_bytes())):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = package.split(".")[: -(level - 1) or None] if level else []
                source = ".".join([*base, *([module] if module else [])])
                # `from a import b` may name a module b of package a, or something inside of a.
                yield from (f"{source}.{alias.name}" for alias in names)


def top(module: str) -> str:
    """The first part of a dotted name."""
    return module.partition(".")[0]


def offences(package: str, allowed: set[str]) -> list[str]:
    """Imports in `package` whose top-level name is not allowed, as `module: import`."""
    return [
        f"{module_of(file)}: {imported}"
        for file in modules(package)
        for imported in imports_of(file)
        if top(imported) not in allowed
    ]


def users_of(library: str) -> set[str]:
    """The top-level packages that import a library."""
    return {
        package
        for package in PACKAGES
        for file in modules(package)
        if any(top(imported) == library for imported in imports_of(file))
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_dependencies_go_one_way_from_pdagent_to_actors_to_store(package: str) -> None:
    upwards = [
        f"{module_of(file)}: {imported}"
        for file in modules(package)
        for imported in imports_of(file)
        if top(imported) in set(PACKAGES) - LAYERS[package]
    ]
    assert upwards == []


@pytest.mark.parametrize("package", LIBRARIES)
def test_store_and_actors_use_no_other_libraries_than_their_own(package: str) -> None:
    allowed = LAYERS[package] | LIBRARIES[package] | set(sys.stdlib_module_names)
    assert offences(package, allowed) == []


def test_only_the_store_imports_lmdb() -> None:
    assert users_of("lmdb") == {"store"}


def test_one_module_of_the_store_imports_nats() -> None:
    """All others get the engine through `store.log.Log`; so only a relay needs the library."""
    users = {
        module_of(file)
        for package in PACKAGES
        for file in modules(package)
        if any(top(imported) == "nats" for imported in imports_of(file))
    }
    assert users == {"store.nats_link"}


def test_only_actors_import_pykka() -> None:
    assert users_of("pykka") == {"actors"}


def test_the_core_imports_nothing_that_could_have_a_side_effect() -> None:
    impure = [
        f"{module_of(file)}: {imported}"
        for file in modules("actors.core")
        for imported in imports_of(file)
        if top(imported) not in CORE_STANDARD_LIBRARY | {"msgspec"}
        and not imported.startswith(("actors.core.", "store.records."))
    ]
    assert impure == []


def test_the_core_reads_no_file_and_prints_nothing() -> None:
    calls = [
        f"{module_of(file)}: {node.func.id}"
        for file in modules("actors.core")
        for node in ast.walk(ast.parse(file.read_bytes()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id in {"open", "print", "input", "exec", "eval", "__import__"}
    ]
    assert calls == []


def test_the_sandbox_shares_only_the_rules_of_events_with_the_agent() -> None:
    """Its alerts, answers and limits are its own; what is a valid event is written once."""
    shared = [
        f"{module_of(file)}: {imported}"
        for file in modules("pdagent.sandbox")
        for imported in imports_of(file)
        if top(imported) in PACKAGES and not imported.startswith("pdagent.sandbox.")
    ]
    # Masking is how any program of ours shows a key.
    foreign = {
        line
        for line in shared
        if not line.endswith(": pdagent.masking.mask") and ": pdagent.events." not in line
    }
    assert foreign == set()


def test_only_the_composition_root_puts_the_parts_together() -> None:
    """`ActorSystem` and the LMDB journal are made in `pdagent/agent/app.py`, and nowhere else."""
    made = {
        (node.func.id, module_of(file))
        for file in modules("pdagent")
        for node in ast.walk(ast.parse(file.read_bytes()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id in {"ActorSystem", "LmdbJournal"}
    }
    assert made == {("ActorSystem", "pdagent.agent.app"), ("LmdbJournal", "pdagent.agent.app")}


def test_each_class_has_a_name_of_its_own() -> None:
    places: dict[str, list[str]] = {}
    for package in PACKAGES:
        for file in modules(package):
            for node in ast.parse(file.read_bytes()).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places.setdefault(node.name, []).append(module_of(file))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
