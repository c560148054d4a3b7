"""The configurations of the documentation, which the tests run with: what the pages say works."""

from __future__ import annotations

import re
from pathlib import Path

PAGES = Path(__file__).parents[2] / "docs" / "clients"
INTEGRATIONS = PAGES.parent / "integrations"
ADDRESS = "127.0.0.1:49463"
KEY = "0123456789abcdef0123456789abcdef"

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str, directory: Path = PAGES) -> list[str]:
    """All blocks of code of one language on `PAGE.md` of `directory`, in their order."""
    text = (directory / f"{page}.md").read_text(encoding="utf-8")
    return [code for found, code in _BLOCK.findall(text) if found == language]


def pointed_at(code: str, address: str) -> str:
    """`code` with the documented address of the agent replaced by `address`; it must have one."""
    assert ADDRESS in code
    return code.replace(ADDRESS, address)


def url_in(code: str, scheme: str = "http") -> str:
    """The one address of the agent that a block of code names, with its path."""
    [found] = set(re.findall(rf"{scheme}://{re.escape(ADDRESS)}[\w./-]*", code))
    return str(found)
