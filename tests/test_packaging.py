"""What `make build`, `release-test` and `release` rest on, as far as it takes no release tool."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.append(str(REPOSITORY / "packaging"))

import artifacts  # noqa: E402
import packages  # noqa: E402
import signing  # noqa: E402
from source import Problem, Source, changelog_entry, exported  # noqa: E402

SCRIPTS = sorted((REPOSITORY / "packaging/scripts").glob("*/*"))
NOBODY = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@localhost"}
NOBODY |= {"GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@localhost"}


def test_wheel_and_sdist_are_complete_and_two_builds_are_identical(tmp_path: Path) -> None:
    built = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        with exported() as source:
            made = artifacts.python_packages(source, tmp_path / name)
            built.append({file.name: file.read_bytes() for file in made})
    assert built[0] == built[1]
    wheel, sdist = (tmp_path / "first" / name for name in built[0])
    check_wheel(wheel)
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {"CHANGELOG.md", "Makefile", "docs/operating.md", "packaging/requirements.txt"}
    assert needed | {"tests/conftest.py", ".ci/run"} <= names, "to test it and to build again"


def check_wheel(path: Path) -> None:
    """It is typed, has the docs and the data, and says where the project is."""
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        [metadata] = [name for name in names if name.endswith("/METADATA")]
        said: Message = message_from_bytes(wheel.read(metadata))
    assert {"pdagent/py.typed", "actors/py.typed", "store/py.typed"} <= set(names)
    assert {"pdagent/docs/operating.md", "pdagent/httpapi/openapi.json"} <= set(names)
    assert "pdagent/installation/pagerduty-agent.service" in names
    assert not [name for name in names if name.startswith(("tests", "packaging"))]
    links = {link.partition(",")[0] for link in said.get_all("Project-URL", [])}
    assert links == {"Source", "Issues", "Changelog"}
    classifiers = said.get_all("Classifier", [])
    for python in packages.PYTHONS:
        assert f"Programming Language :: Python :: {python}" in classifiers


@pytest.mark.parametrize("python", packages.PYTHONS)
def test_each_package_takes_one_python_of_the_host(python: str, tmp_path: Path) -> None:
    source = Source(REPOSITORY, "1.2.3", 0)
    deb = packages.main_package(source, tmp_path, python, "deb")
    following = f"3.{int(python.removeprefix('3.')) + 1}"
    assert {f"python3 (>= {python})", f"python3 (<< {following})"} <= set(deb["depends"])
    rpm = packages.main_package(source, tmp_path, python, "rpm")
    assert f"python(abi) = {python}" in rpm["depends"]
    for package in (deb, rpm):
        links = {each["dst"]: each["src"] for each in package["contents"]}
        assert links["/usr/bin/pagerduty-agent"] == "/usr/lib/pagerduty-agent/bin/pagerduty-agent"
        assert links["/usr/lib/pagerduty-agent/bin/python3"] == f"/usr/bin/python{python}"
        assert all(Path(script).exists() for script in package["scripts"].values())
        assert package["mtime"] == "1970-01-01T00:00:00Z"


def test_the_old_names_are_in_a_package_that_the_old_agent_conflicts_with() -> None:
    source = Source(REPOSITORY, "1.2.3", 0)
    compat = packages.compat_package(source, "deb")
    assert compat["conflicts"] == ["pdagent"]
    assert "/usr/bin/pd-send" in {each["dst"] for each in compat["contents"]}


def test_the_lock_has_every_library_with_checksums() -> None:
    locked = (REPOSITORY / "packaging/requirements.txt").read_text()
    names = re.findall(r"^([\w.-]+)==\S+ \\\n    --hash=sha256:", locked, re.MULTILINE)
    project = (REPOSITORY / "pyproject.toml").read_text()
    wanted = project.partition("dependencies = [")[2].partition("]")[0]
    assert set(re.findall(r'"([\w-]+)', wanted)) <= set(names)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_shells_understand_the_maintainer_scripts(script: Path) -> None:
    subprocess.run(["sh", "-n", script], check=True)
    if shutil.which("shellcheck") is None:
        pytest.skip("needs shellcheck")
    subprocess.run(["shellcheck", script], check=True)


def test_an_entry_of_the_changelog_ends_where_the_next_begins() -> None:
    entries = ["# Changes", "## [Unreleased]", "## [1.1.0] - 2026-12-01", "- A"]
    text = "\n\n".join([*entries, "## [1.0.0] - 2026-11-26\n"])
    assert changelog_entry(text, "1.1.0") == ("2026-12-01", "- A")
    assert changelog_entry(text, "1.2.0") is None
    assert changelog_entry(text, "Unreleased") is None


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new key, the only one."""
    if shutil.which("gpg") is None or shutil.which("dpkg-deb") is None:
        pytest.skip("needs gpg and dpkg-deb")
    home = tmp_path / "gpg"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("GNUPGHOME", str(home))
    monkeypatch.delenv("UNSIGNED", raising=False)
    monkeypatch.delenv("GPG_KEY", raising=False)
    with pytest.raises(Problem, match="gpg --full-generate-key"):
        signing.key()
    made = ["gpg", "--batch", "--passphrase", "", "--quick-generate-key", "t", "ed25519", "sign"]
    subprocess.run(made, check=True, capture_output=True)
    found = signing.key()
    assert found is not None
    return found


def test_signatures_are_good_until_a_file_changes(key: str, tmp_path: Path) -> None:
    dist, package = tmp_path / "dist", tmp_path / "package/DEBIAN"
    dist.mkdir()
    package.mkdir(parents=True)
    control = (
        "Package: t\nVersion: 1\nArchitecture: all\nMaintainer: t <t@localhost>\nDescription: t\n"
    )
    (package / "control").write_text(control)
    subprocess.run(["dpkg-deb", "--build", package.parent, dist / "t.deb"], check=True)
    (dist / "t.whl").write_bytes(b"t")
    signing.sign(dist, key)
    assert signing.verify(dist, key) == 4, "of each file, of SHA256SUMS, and in the package"
    subprocess.run(["dpkg-deb", "--info", dist / "t.deb"], check=True)
    (dist / "t.whl").write_bytes(b"T")
    with pytest.raises(Problem, match=r"t\.whl"):
        signing.verify(dist, key)
    artifacts.write_sums(dist)
    with pytest.raises(Problem, match="BAD signature"):
        signing.verify(dist, key)


def test_what_is_not_ready_is_not_published(tmp_path: Path) -> None:
    if not (REPOSITORY / ".git").exists():
        pytest.skip("needs a clone")
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", REPOSITORY, clone], check=True, capture_output=True)
    env = {**os.environ, **NOBODY, "GNUPGHOME": str(tmp_path), "UNSIGNED": "1"}

    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", clone, *arguments], check=True, env=env, capture_output=True)

    def refusal() -> str:
        done = subprocess.run(
            [sys.executable, "packaging/publish.py"],
            cwd=clone,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (1, "")
        return done.stderr

    version = clone / "pdagent/__init__.py"
    version.write_text('__version__ = "99.0.0"\n')
    assert "1 files differ from the last commit" in refusal()
    git("commit", "-qam", "99")
    assert "CHANGELOG.md has no entry: add '## [99.0.0] - " in refusal()
    with (clone / "CHANGELOG.md").open("a") as changelog:
        changelog.write("\n## [99.0.0] - 2099-01-01\n\n- A\n")
    git("commit", "-qam", "99")
    assert "has no tag v99.0.0" in refusal()
    git("tag", "v99.0.0")
    assert "a release is signed" in refusal()
