"""The table of options in `docs/configuration.md` is that of `pdagent/config/options.py`.

After a change of an option, write the table again and look at the difference:

    PDAGENT_NEW_DOCS=1 .venv/bin/python -m pytest -q tests/pdagent/config/test_configuration_page.py
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from pdagent.config.loading import ENV_PREFIX, load
from pdagent.config.options import OPTIONS, Option

PAGE = Path(__file__).resolve().parents[3] / "docs" / "configuration.md"
_BEGIN, _END = "which also says how. -->\n", "<!-- end of the table -->\n"


def row(option: Option) -> str:
    variable = f"`{ENV_PREFIX}{option.name.upper()}`"
    default = option.shown if option.shown == "none" else f"`{option.shown}`"
    name = re.sub("^(notify|engine)_", r"\1: ", option.name)
    cells = f"`{name}`", option.explanation, option.kind.allowed, default, variable
    return "| " + " | ".join(cells) + " |\n"


def test_the_table_has_every_option_as_the_program_knows_it() -> None:
    head = "| option | meaning | allowed | default | environment |\n|---|---|---|---|---|\n"
    table = head + "".join(row(option) for option in OPTIONS.values())
    text = PAGE.read_text("utf-8")
    before, rest = text.split(_BEGIN)
    written, after = rest.split(_END)
    if os.environ.get("PDAGENT_NEW_DOCS"):
        PAGE.write_text(f"{before}{_BEGIN}{table}{_END}{after}", "utf-8")
        written = table
    assert written == table


def test_the_routing_keys_that_the_page_shows_for_the_environment_are_read() -> None:
    [line] = re.findall(rf"^    {ENV_PREFIX}ROUTING_KEYS=(.*)$", PAGE.read_text(), re.MULTILINE)
    keys = load({}, {f"{ENV_PREFIX}ROUTING_KEYS": line}, search=[]).config.routing_keys
    assert list(keys) == ["database", "web"]
    assert all(len(key) == 32 for key in keys.values())
