"""`secret_file` and `routing_keys_file`: credentials outside of a config that all may read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pdagent.config import ConfigError
from pdagent.config.loading import Loaded, load

KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"
OTHER_KEY = "0123456789abcdef0123456789ABCDEF"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "agent.yaml"
    path.write_text("secret_file: secret\nrouting_keys_file: keys.yaml\n")
    path.chmod(0o644)
    for name, text in (("secret", "correct-horse\n"), ("keys.yaml", f"db: {KEY}\n# no: more\n")):
        file = tmp_path / name
        file.touch(mode=0o600)
        file.write_text(text)
    return path


def read(config: Path, flags: dict[str, str | None] | None = None, **environ: str) -> Loaded:
    return load(flags or {}, environ, config_file=str(config))


def test_both_are_read_and_the_config_may_be_read_by_all(config: Path) -> None:
    loaded = read(config)
    assert loaded.config.secret == "correct-horse"
    assert loaded.config.routing_keys == {"db": KEY}
    assert loaded.warnings == ()
    assert loaded.unread == {}
    assert loaded.origins["secret"] == str(config.with_name("secret"))


def test_a_secret_given_closer_beats_the_file_and_the_other_way_round(config: Path) -> None:
    assert read(config, {"secret": "by-flag"}).config.secret == "by-flag"
    assert read(config, PAGERDUTY_AGENT_SECRET="by-env").config.secret == "by-env"
    other = config.with_name("other")
    other.write_text("in-other")
    config.write_text("secret: in-config\n")
    named = {"PAGERDUTY_AGENT_SECRET_FILE": str(other)}
    assert read(config, **named).config.secret == "in-other"
    assert read(config, {"secret": "by-flag"}, **named).config.secret == "by-flag"


def test_both_in_one_place_are_an_error(config: Path) -> None:
    config.write_text("secret: one\nsecret_file: secret\n")
    with pytest.raises(ConfigError, match="line 2: secret and secret_file are both set: remove"):
        read(config)


def test_names_of_the_config_come_on_top_of_those_of_the_file(config: Path) -> None:
    with config.open("a") as file:
        file.write(f"routing_keys:\n  db: {OTHER_KEY}\n  web: {OTHER_KEY}\n")
    assert read(config).config.routing_keys == {"db": OTHER_KEY, "web": OTHER_KEY}
    config.with_name("keys.yaml").write_text(f"{{1: {KEY}, 2nd: {KEY}}}")
    assert read(config).config.routing_keys.keys() == {"1", "2nd", "db", "web"}


@pytest.mark.parametrize("name", ["secret", "keys.yaml"])
def test_what_all_can_read_is_warned_of(config: Path, name: str) -> None:
    file = config.with_name(name)
    file.chmod(0o644)
    [warning] = read(config).warnings
    assert warning == f"{file} holds credentials and every user can read it: run 'chmod o= {file}'"


def test_what_cannot_be_read_is_told_and_is_no_error(config: Path) -> None:
    for name in ("secret", "keys.yaml"):
        config.with_name(name).unlink()
    loaded = read(config)
    assert (loaded.config.secret, loaded.config.routing_keys) == ("", {})
    no = os.strerror(2)
    assert loaded.unread == {
        "secret": f"can't read secret_file {config.with_name('secret')}: {no}",
        "routing_keys": f"can't read routing_keys_file {config.with_name('keys.yaml')}: {no}",
    }
    assert read(config, {"secret": "by-flag"}).unread.keys() == {"routing_keys"}


@pytest.mark.parametrize("text", ["", "\n", "two words", "two\nlines", "sécret", "x" * (1 << 21)])
def test_a_file_without_one_secret_is_refused_without_showing_it(config: Path, text: str) -> None:
    config.with_name("secret").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read(config)
    assert str(config.with_name("secret")) in str(caught.value)
    assert "secret_file" in str(caught.value)
    assert not text.strip() or text.strip() not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("db: short", "keys.yaml, line 1: 'db': the key must be 32 letters and digits"),
        (f"a: {KEY}\n'b c': {KEY}", "keys.yaml, line 2: "),
        (f"db: [{KEY}]", "keys.yaml, line 1: 'db': the key must be"),
        ("just text", "keys.yaml, line 1: "),
    ],
)
def test_a_line_that_names_no_key_is_refused_without_showing_it(
    config: Path, text: str, what: str
) -> None:
    config.with_name("keys.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read(config)
    assert what in str(caught.value)
    assert KEY not in str(caught.value)


def test_a_file_without_a_name_yet_is_fine(config: Path) -> None:
    for text in ("", "# none yet\n"):
        config.with_name("keys.yaml").write_text(text)
        assert read(config).config.routing_keys == {}
