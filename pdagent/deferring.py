"""Modules that libraries load and that are seldom needed: loaded at their first use."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any


class _Deferred(ModuleType):
    """Stands for a module until something is used that it does not have."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # somebody looks at all modules, and uses none
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        module = import_module(self.__name__)
        vars(self).update(vars(module))  # for those who hold this one
        return getattr(module, name)


def defer(name: str, **ready: object) -> None:
    """Put off loading the module `name`, whose members `ready` are there at once."""
    if name not in sys.modules:
        module = _Deferred(name)
        vars(module).update(ready)
        sys.modules[name] = module


@contextmanager
def without(*names: str) -> Iterator[None]:
    """In a `with` block, these modules can't be imported; what uses them if they are there doesn't.

    Those that are loaded already stay.
    """
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
