"""Modules that click loads and a command seldom needs: loaded at their first use.

Loading modules is most of what a command costs: without this, `send` takes a tenth longer.
"""

from __future__ import annotations

import os
import sys

from pdagent.deferring import defer


def _cleandoc(text: str) -> str:
    """As `inspect.cleandoc`; the help of an option is one line."""
    if "\n" not in text:
        return text.expandtabs().lstrip()
    module = sys.modules["inspect"]
    _ = module.getdoc  # of what stands for it, this loads it and puts it in its place
    return str(sys.modules["inspect"].cleandoc(text))


def defer_what_click_loads() -> None:
    """Call this before anything imports click."""
    # click uses it for docstrings, dataclasses for classes without one.
    defer("inspect", cleandoc=_cleandoc)
    # uuid asks it for the system's name.
    defer("platform", system=lambda: os.uname().sysname)
