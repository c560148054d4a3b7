"""The man pages and completion scripts that packages install."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("share")
    subprocess.run(
        [sys.executable, "packaging/manual.py", directory],
        env={"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin"},
        cwd=REPOSITORY,
        check=True,
    )
    return directory


def test_each_command_has_a_page_with_options_and_an_example(share: Path) -> None:
    pages = {page.name: page.read_text("utf-8") for page in (share / "man" / "man1").iterdir()}
    assert {"pagerduty-agent.1", "pagerduty-agent-server-stop.1"} < pages.keys()
    send = pages["pagerduty-agent-send.1"]
    assert "\\fB\\-k,\\fP \\-\\-service\\-key" in send
    for name, page in pages.items():
        assert ".SH EXAMPLE" in page, name
        assert not [line for line in page.splitlines() if line.startswith("'")], name


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
def test_the_pages_are_good_roff(share: Path) -> None:
    for page in (share / "man" / "man1").iterdir():
        done = subprocess.run(
            ["groff", "-man", "-Tutf8", "-ww", page], capture_output=True, check=True
        )
        assert done.stderr == b"", page.name


def test_each_shell_has_its_script(share: Path) -> None:
    scripts = [
        share / "bash-completion" / "completions" / "pagerduty-agent",
        share / "zsh" / "site-functions" / "_pagerduty-agent",
        share / "fish" / "vendor_completions.d" / "pagerduty-agent.fish",
    ]
    for script in scripts:
        assert "_PAGERDUTY_AGENT_COMPLETE" in script.read_text("utf-8")
