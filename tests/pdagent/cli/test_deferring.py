"""Modules that commands put off behave as if they had been loaded at once."""

from __future__ import annotations

import inspect
import subprocess
import sys

from tests.agent_process import REPOSITORY

SCRIPT = """
import sys
import pdagent.cli
assert "ast" not in sys.modules, "inspect is not loaded yet"
from inspect import cleandoc
held = sys.modules["inspect"]
for _ in range(2):
    print(repr(cleandoc({text!r})), repr(cleandoc({line!r})))
import inspect, platform
print(inspect.cleandoc({text!r}) == held.cleandoc({text!r}))
print(inspect.signature(cleandoc), held.isfunction(cleandoc), platform.system())
print(platform.python_version())
"""


def test_what_was_held_before_a_module_is_loaded_works_as_well_as_what_is_taken_then() -> None:
    text, line = "one\n    two\n      three\n", "\t one line "
    script = SCRIPT.format(text=text, line=line)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    cleaned = f"{inspect.cleandoc(text)!r} {inspect.cleandoc(line)!r}"
    assert done.stdout.splitlines()[:3] == [cleaned, cleaned, "True"]
