"""The command line: one module a command, loaded when that command is used.

`program.py` holds the group and what becomes of errors, `session.py` what commands share.
"""

from __future__ import annotations

from pdagent.cli.program import main

__all__ = ["main"]
