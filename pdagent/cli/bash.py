"""Completion in bash, which counts a `@` as a word: here it begins the name of a routing key."""

from __future__ import annotations

import os

from click.shell_completion import BashComplete, add_completion_class, split_arg_string

_SOURCE = """\
%(complete_func)s() {
    local IFS=$'\\n' response item
    response=$(env COMP_WORDS="${COMP_LINE:0:$COMP_POINT}" %(complete_var)s=bash_complete "$1")
    COMPREPLY=()
    for item in $response; do
        case $item in
            file,*|dir,*) compopt -o default ;;
            plain,*) COMPREPLY+=("${item#plain,}") ;;
        esac
    done
}

complete -o nosort -F %(complete_func)s %(prog_name)s pdagent
"""


class Bash(BashComplete):
    """As click's, but it takes the words from the line."""

    source_template = _SOURCE

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one to complete, and what there is of that."""
        line = os.environ["COMP_WORDS"]
        words = split_arg_string(line)[1:]
        incomplete = "" if line[-1:].isspace() or not words else words.pop()
        return words, incomplete


add_completion_class(Bash)
