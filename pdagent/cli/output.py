"""What commands print for programs, and what a terminal may get of it."""

from __future__ import annotations

import json
import sys

import click


def echo_json(data: str | bytes) -> None:
    """Print lines of JSON; on a terminal with escapes for all that isn't printable.

    Control characters (C1, bidirectional) in an event's text could steer the terminal or show a
    line other than it is. The JSON means the same.
    """
    text = data if isinstance(data, str) else data.decode()
    if not text.isprintable() and sys.stdout.isatty():
        text = "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    click.echo(text)
