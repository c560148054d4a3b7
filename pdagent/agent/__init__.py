"""The running agent: composition root, pidfile, stop signals, service manager, logs."""

import xml.etree  # noqa: F401 - it is where falcon looks for a part of it
from importlib import import_module

from pdagent.deferring import defer, without


def _version(package: str) -> str:
    found: str = import_module("importlib.metadata").version(package)
    return found


# Libraries load these with the rest, and use none of them in an agent: 4 MB, 70 ms.
defer("importlib.metadata", version=_version)
defer("pickle")
defer("uvicorn.main", Server=None, main=None, run=None)
defer("xml.etree.ElementTree")
defer("zipfile")
with without("typing_extensions"):  # Python's own typing has what msgspec looks for there
    import msgspec  # noqa: F401
