"""Writes man pages of all commands, and the shells' completion scripts.

    python packaging/manual.py DIRECTORY

The files stand in DIRECTORY where a package has them in /usr/share.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from click.shell_completion import get_completion_class
from click_man.core import generate_man_page  # type: ignore[import-untyped]

import pdagent.cli.bash  # noqa: F401 - click takes it instead of its own
from pdagent import __version__
from pdagent.cli.endings import PROGRAM
from pdagent.cli.program import COMPLETING, program

_COMPLETIONS = {
    "bash": f"bash-completion/completions/{PROGRAM}",
    "zsh": f"zsh/site-functions/_{PROGRAM}",
    "fish": f"fish/vendor_completions.d/{PROGRAM}.fish",
}
_EXIT_STATUS = """\
.SH EXIT STATUS
0 done, 1 failed, 2 wrong usage or invalid event, 69 no agent and nothing stored,
75 refused for now, 130 interrupted.
"""


def contexts(group: click.Group, context: click.Context) -> Iterator[click.Context]:
    """The context of each command below a group, groups included."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        below = click.Context(command, info_name=name, parent=context)
        yield below
        if isinstance(command, click.Group):
            yield from contexts(command, below)


def man_page(context: click.Context) -> str:
    """The page of one command, in roff."""
    command = context.command
    if isinstance(command, click.Group):  # click-man looks for this attribute
        names = command.list_commands(context)
        command.commands = {
            name: found for name in names if (found := command.get_command(context, name))
        }
    # Not cut short.
    command.short_help = command.short_help or (command.help or "").partition(".")[0]
    page = generate_man_page(context, version=__version__)
    if command.epilog:
        title, _, lines = command.epilog.replace("\b\n", "").partition(":\n")
        page += f".SH {title.upper()}\n.nf\n{lines.replace(chr(92), chr(92) + 'e')}\n.fi\n"
    page += _EXIT_STATUS
    # A line of text that begins so would be taken for a request.
    return re.sub(r"^'", r"\\&'", page.replace("\b\n", ""), flags=re.MULTILINE)


def main(directory: Path) -> None:
    """Write all files."""
    root = click.Context(program, info_name=PROGRAM)
    pages = directory / "man" / "man1"
    pages.mkdir(parents=True, exist_ok=True)
    for context in [root, *contexts(program, root)]:
        name = context.command_path.replace(" ", "-")
        (pages / f"{name}.1").write_text(man_page(context), "utf-8")
    for shell, place in _COMPLETIONS.items():
        kind = get_completion_class(shell)
        assert kind is not None
        file = directory / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(kind(program, {}, PROGRAM, COMPLETING).source(), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
