"""Modules that libraries load and a command seldom needs: loaded at their first use.

Loading modules is most of what a command costs: without this, `send` takes a tenth longer.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Deferred(ModuleType):
    """Stands for a module until something is used that it does not have."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        module = import_module(self.__name__)
        vars(self).update(vars(module))  # for those who hold this one
        return getattr(module, name)


def _defer(name: str, **ready: object) -> None:
    """Put off loading the module `name`, whose functions `ready` are there at once."""
    if name not in sys.modules:
        module = _Deferred(name)
        vars(module).update(ready)
        sys.modules[name] = module


def _cleandoc(text: str) -> str:
    """As `inspect.cleandoc`; the help of an option is one line."""
    if "\n" not in text:
        return text.expandtabs().lstrip()
    del sys.modules["inspect"].cleandoc
    import inspect

    return inspect.cleandoc(text)


def defer_what_click_loads() -> None:
    """Call this before anything imports click."""
    # click uses it for docstrings, dataclasses for classes without one.
    _defer("inspect", cleandoc=_cleandoc)
    # uuid asks it for the system's name.
    _defer("platform", system=lambda: os.uname().sysname)
