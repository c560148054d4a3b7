"""The command line: one module a command, loaded when that command is used.

`program.py` holds the group and what becomes of errors, `session.py` what commands share.
"""

from __future__ import annotations

import gc

from pdagent.cli.deferring import defer_what_click_loads

# What is loaded stays: the collector would look through it again and again while it loads.
gc.set_threshold(50_000, 10, 10)
defer_what_click_loads()

try:
    from pdagent.cli.program import main
except KeyboardInterrupt:  # a traceback helps no user, also while the program is loaded
    raise SystemExit(130) from None

__all__ = ["main"]
