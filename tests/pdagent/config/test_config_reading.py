"""Plain lines of a config file are read without the YAML library, and mean the same."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pdagent.config import ConfigError
from pdagent.config.reading import Written, read_config_file
from pdagent.config.yaml_file import read_yaml

KEYS = st.sampled_from(["secret", "a", "b-c.d", "null", "yes", "1", "é", '"q"', "<<", "- a", "?"])
VALUES = st.sampled_from(
    (
        *("x", "127.0.0.1:4", "http://a/b", "~/x", "~", "null", "-x", "-", "---", "...", "0x1f"),
        *("a#b", "a #b", '"q"', "[a]", "{a: b}", "=", "é", "a:", "a: b", "::", "|", "%a", "@a"),
        *("", "\x85", "\u2028", "\t", "&a", "*a", "!a", "x\\", "'", "1:30", "a b"),
    )
)
LINES = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["", "", "", " ", "  ", "# "]),
    KEYS,
    st.sampled_from([": ", ": ", ":", ":  ", " : ", ":\t"]),
    VALUES,
    st.sampled_from(["", "", "", " ", "  # c", "#c", "\r", " :", "\t", "\n", "\n\n# c: d"]),
)


def outcome(path: Path, *, plainly: bool) -> dict[str, Written] | str:
    try:
        text = path.read_bytes().decode()
        return read_config_file(path).values if plainly else read_yaml(path, text)
    except ConfigError as error:
        return str(error)


@given(lines=st.lists(LINES, min_size=1, max_size=4))
@settings(
    max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_is_read_without_yaml_means_what_yaml_says(tmp_path: Path, lines: list[str]) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes("\n".join(lines).encode())
    assert outcome(path, plainly=True) == outcome(path, plainly=False)
