"""The command line: one module a command, loaded when that command is used.

`program.py` holds the group and what becomes of errors, `session.py` what commands share.
"""

from __future__ import annotations

import gc

# What is loaded stays: the collector would look through it again and again while it loads.
gc.set_threshold(50_000, 10, 10)

from pdagent.cli.program import main  # noqa: E402

__all__ = ["main"]
