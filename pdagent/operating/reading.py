"""Reading the live states of queues while their Sequencers go on changing them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, TypeVar

_T = TypeVar("_T")


def steady(read: Callable[[], _T]) -> _T:
    """Repeat a read that a Sequencer's change has just upset.

    Only for reads of a few steps: one that takes long would be upset again and again.
    """
    while True:
        try:
            return read()
        except (RuntimeError, LookupError, StopIteration):
            continue


def first(values: Mapping[Any, _T], count: int) -> list[_T]:
    """The first `count` values of an ordered mapping that another thread changes.

    The interpreter copies them in one step, whatever their number.
    """
    return steady(lambda: list(islice(values.values(), count)))


def last(values: OrderedDict[Any, _T]) -> _T | None:
    """The last value of a mapping that another thread changes; None if it has none."""
    return steady(lambda: next(iter(reversed(values.values())), None))
