"""Reading settings: precedence, every kind of bad file, and errors that name what is allowed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pdagent.config import Config, ConfigError
from pdagent.config.listener import Listener
from pdagent.config.loading import Loaded, load

KEY = "v4g5q7yie1qee1yio2uimz8yfbjenvj9"
OTHER_KEY = "0123456789abcdef0123456789ABCDEF"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "agent.yaml"
    path.touch(mode=0o600)
    return path


def read(file: Path, text: str | bytes) -> Loaded:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load({}, {}, config_file=str(file))


def problem(file: Path, text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        read(file, text)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(file))
    return message.removeprefix(str(file))


def test_every_setting_can_be_written_in_the_file(file: Path) -> None:
    loaded = read(
        file,
        f"""
        address: "[::1]:8080"
        secret: 0123
        database: /var/lib/pd
        pidfile: ~/pid
        spool: spool
        tls_cert: tls/cert.pem
        tls_key: tls/key.pem
        region: eu
        events_url: http://127.0.0.1:8765/
        api_url: https://proxy.example.com/pd
        routing_keys:
          database: {KEY}
          großes-netz.2: {OTHER_KEY}
        max_in_flight: 4
        max_queue_length: 1000
        max_journal_mb: 64
        retention: 12h
        heartbeat: no
        log_level: debug
        log_format: json
        """.replace("\n        ", "\n"),
    )
    assert loaded.config == Config(
        address="[::1]:8080",
        secret="0123",
        database=Path("/var/lib/pd"),
        pidfile=Path.home() / "pid",
        spool=file.parent / "spool",
        tls_cert=file.parent / "tls/cert.pem",
        tls_key=file.parent / "tls/key.pem",
        region="eu",
        events_url="http://127.0.0.1:8765",
        api_url="https://proxy.example.com/pd",
        routing_keys={"database": KEY, "großes-netz.2": OTHER_KEY},
        max_in_flight=4,
        max_queue_length=1000,
        max_journal_mb=64,
        retention=12 * 3600.0,
        heartbeat=False,
        log_level="debug",
        log_format="json",
    )
    assert loaded.file == file
    assert loaded.origins["secret"] == f"{file}, line 3"
    assert loaded.warnings == ()


def test_flags_beat_the_environment_that_beats_the_file_that_beats_the_defaults(
    file: Path,
) -> None:
    file.write_text("region: eu\nlog_level: debug\nmax_in_flight: 3\n")
    environ = {"PAGERDUTY_AGENT_LOG_LEVEL": "error", "PAGERDUTY_AGENT_MAX_IN_FLIGHT": "5"}
    loaded = load({"max_in_flight": "7"}, environ, config_file=str(file))
    config = loaded.config
    assert (config.region, config.log_level, config.max_in_flight) == ("eu", "error", 7)
    assert config.log_format == "console"
    assert loaded.origins == {
        "region": f"{file}, line 1",
        "log_level": "environment PAGERDUTY_AGENT_LOG_LEVEL",
        "max_in_flight": "--max-in-flight",
    }


def test_empty_flags_variables_and_keys_count_as_not_given(file: Path) -> None:
    file.write_text("secret:\nregion: ~\nlog_level: null\n")
    environ = {"PAGERDUTY_AGENT_SECRET": "", "PAGERDUTY_AGENT_CONFIG": ""}
    assert load({"address": ""}, environ, config_file=str(file)).config == Config()


def test_routing_keys_can_come_from_the_environment() -> None:
    environ = {"PAGERDUTY_AGENT_ROUTING_KEYS": f"db={KEY}, web = {OTHER_KEY},"}
    assert load({}, environ, search=[]).config.routing_keys == {"db": KEY, "web": OTHER_KEY}
    with pytest.raises(ConfigError, match="routing_keys 'db': the key must be 32 letters"):
        load({}, {"PAGERDUTY_AGENT_ROUTING_KEYS": "db=short"}, search=[])


@pytest.mark.parametrize(
    "text", ["[Agent, web-17.example]", "\n  - agent\n  - web-17.example", "agent, web-17.example"]
)
def test_allowed_hosts_are_a_list_or_one_line(file: Path, text: str) -> None:
    assert read(file, f"allowed_hosts: {text}\n").config.allowed_hosts == (
        "agent",
        "web-17.example",
    )


@pytest.mark.parametrize(
    "text",
    ["[192.0.2.1, '[2001:db8::1]:443']", "\n  - 192.0.2.1\n  - '[2001:DB8::1]:443'"],
)
def test_deliver_via_is_a_list_of_addresses(file: Path, text: str) -> None:
    found = read(file, f"deliver_via: {text}\n").config.deliver_via
    assert found == (("192.0.2.1", None), ("2001:db8::1", 443))


def test_listen_is_a_list_of_addresses_with_or_without_tls(file: Path) -> None:
    text = """\
listen:
  - 127.0.0.1:1
  - address: "[::1]:2"
    tls_cert: a.pem
    tls_key: /b.pem
  - {address: localhost:3}
"""
    assert read(file, text).config.listen == (
        Listener("127.0.0.1:1"),
        Listener("[::1]:2", file.parent / "a.pem", Path("/b.pem")),
        Listener("localhost:3"),
    )
    one_line = {"PAGERDUTY_AGENT_LISTEN": "127.0.0.1:1, [::1]:2"}
    assert load({}, one_line, search=[]).config.listen == (
        Listener("127.0.0.1:1"),
        Listener("[::1]:2"),
    )


def test_the_first_file_that_exists_is_read(tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    assert load({}, {}, search=[first, second]).file is None
    second.write_text("region: eu\n")
    assert load({}, {}, search=[first, second]).file == second
    first.write_text("region: us\n")
    assert load({}, {}, search=[first, second]).file == first


@pytest.mark.parametrize(
    ("text", "seconds"), [("7d", 604800), ("12h", 43200), ("30m", 1800), ("45s", 45), ("90", 90)]
)
def test_retention_is_a_time(file: Path, text: str, seconds: float) -> None:
    assert read(file, f"retention: {text}").config.retention == seconds


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("retention: 7 days", "retention must be a time such as 7d, 12h, 30m or 45s, or a number"),
        ("retention: 0", "retention must be a time"),
        ("retention: 99999999999d", "retention must be a time"),
        ("address: '49463'", "address must be HOST:PORT"),
        ("address: 127.0.0.1:0", "address must be HOST:PORT"),
        ("address: 127.0.0.1:65536", "address must be HOST:PORT"),
        ("address: ::1:80", "address must be HOST:PORT"),
        ("address: '[fe80::zz]:80'", "address must be HOST:PORT"),
        ("address: http://127.0.0.1:80", "address must be HOST:PORT"),
        ("region: moon", "region must be us or eu"),
        ("max_in_flight: 0", "max_in_flight must be a whole number from 1 to 1000"),
        ("max_in_flight: many", "max_in_flight must be a whole number from 1 to 1000"),
        ("max_queue_length: 1.5", "max_queue_length must be a whole number"),
        ("heartbeat: maybe", "heartbeat must be true or false"),
        ("log_level: loud", "log_level must be debug, info, warning or error"),
        ("events_url: events.pagerduty.com", "events_url must be an http:// or https:// URL"),
        ("events_url: 'https://[bad'", "events_url must be an http:// or https:// URL"),
        ("events_url: https://a.example:99999", "events_url must be an http:// or https:// URL"),
        ("secret: two words", "secret must be ASCII letters, digits and signs without spaces"),
        ("database: ''", "database must be a path"),
        ("database: [a]", "database must be a path"),
        ("database: {a: b}", "database must be a path"),
        (f"routing_keys: {KEY}", "routing_keys must be indented lines 'name: key'"),
        ("routing_keys: {a*b: x}", "routing_keys '…': a name is 1 to 64 letters"),
        ("routing_keys: [a]", "routing_keys must be indented lines 'name: key'"),
        ("allowed_hosts: [a, 'b:80']", "allowed_hosts must be a list of host names without ports"),
        ("allowed_hosts: [[a]]", "'allowed_hosts' must be a list of single values"),
        ("allowed_hosts: {a: b}", "allowed_hosts must be a list of host names"),
        ("deliver_via: [events.pagerduty.com]", "deliver_via must be a list of IP addresses"),
        ("deliver_via: ['192.0.2.1:0']", "deliver_via must be a list of IP addresses"),
        ("deliver_via: ['2001:db8::1:']", "deliver_via must be a list of IP addresses"),
        ("listen: [127.0.0.1]", "listen must be a list of HOST:PORT, or of addresses with"),
        ("listen: [{address: x}]", "address must be HOST:PORT with a port"),
        ("listen: [{tls_cert: x}]", "this entry of listen has no address: add 'address"),
        (
            "listen: [{adress: a:1}]",
            "listen has address, tls_cert, tls_key, each with one value: change 'adress'",
        ),
        ("listen: [[a:1]]", "'listen' must be a list of single values"),
        ("routing_keys: {db: short}", "routing_keys 'db': the key must be 32 letters and digits"),
        ("routing_keys: {db: {a: b}}", "'db' must have a single value"),
        (
            "adress: x",
            "unknown key 'adress': did you mean 'address'? Known are address, socket,",
        ),
        ("max-in-flight: 1", "unknown key 'max-in-flight': did you mean 'max_in_flight'?"),
        ("xyzzy: 1", "unknown key 'xyzzy': Known are address,"),
    ],
)
def test_a_bad_setting_is_named_with_its_line_and_what_is_allowed(
    file: Path, line: str, says: str
) -> None:
    message = problem(file, f"# a comment\n{line}\n")
    assert message.startswith(", line 2: ")
    assert says in message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", " is empty: remove it and run 'pagerduty-agent init'"),
        (" \n\n", " is empty"),
        ("- a\n- b\n", ", line 1: the file must be lines of the form 'key: value'"),
        ("hello\n", ", line 1: the file must be lines of the form 'key: value'"),
        ("region: us\nregion: eu\n", ", line 2: 'region' is set twice (first in line 1)"),
        (
            f"routing_keys:\n  a: {KEY}\n  a: {KEY}\n",
            ", line 3: 'a' is set twice (first in line 2)",
        ),
        ("region: us\naddress: [1\n", ", line 3: not valid YAML: "),
        ("region: us\n  address: x\n", ", line 2: not valid YAML: "),
        ("secret: *hidden\n", ", line 1: not valid YAML: put quotes around a value"),
        ("secret: @hidden\n", ", line 1: not valid YAML: put quotes around a value"),
        ("region: us\n---\nregion: eu\n", ", line 2: not valid YAML: a second document"),
        ("? [a]\n: b\n", ", line 1: a key must be a plain word"),
        ("a: \0\n", ", line 1: not valid YAML: "),
        (b"region: us\nsecret: \xe4\n", ", line 2: not UTF-8 text"),
        ("region: us\n".encode("utf-16"), ", line 1: not UTF-8 text"),
        ("#" * (1 << 20) + "#", " is larger than 1 MiB"),
    ],
)
def test_a_bad_file_is_one_line_that_says_where(file: Path, text: str | bytes, says: str) -> None:
    message = problem(file, text)
    assert message.startswith(says)
    assert "hidden" not in message


def test_a_file_of_comments_is_a_config(file: Path) -> None:
    assert read(file, "# nothing\n").config == Config()
    assert read(file, b"\xef\xbb\xbfregion: eu\n").config.region == "eu"


def test_the_null_device_means_no_file() -> None:
    assert load({}, {}, config_file="/dev/null").config == Config()


def test_a_directory_or_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a directory"):
        load({}, {}, config_file=str(tmp_path))
    with pytest.raises(ConfigError, match=r"there is no config file .*'pagerduty-agent --config"):
        load({}, {"PAGERDUTY_AGENT_CONFIG": str(tmp_path / "no.yaml")})
    with pytest.raises(ConfigError, match="there is no such user"):
        load({}, {}, config_file="~nobody-of-that-name/x.yaml")


@contextmanager
def an_ordinary_user() -> Iterator[None]:
    """Root may read anything: be somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_of_the_files_that_may_not_be_read_only_other_users_are_passed_over() -> None:
    with TemporaryDirectory() as name:
        directory, file = Path(name), Path(name, "agent.yaml")
        directory.chmod(0o755)
        file.write_text("region: eu\n")
        file.chmod(0)
        with an_ordinary_user():
            if file.stat().st_uid != os.geteuid():
                assert load({}, {}, search=[file, Path("/dev/null")]).file == Path("/dev/null")
        if os.geteuid() == 0:
            os.chown(file, 65534, 65534)
        with an_ordinary_user(), pytest.raises(ConfigError, match=r"can't read .*ermission denied"):
            load({}, {}, search=[file, Path("/dev/null")])


def test_credentials_are_never_repeated(file: Path) -> None:
    for text in (
        f"{KEY}: x\n",
        f"routing_keys:\n  {KEY}: db\n",
        f"routing_keys:\n  db: {KEY}1\n",
        f"region: us\n{KEY}: 1\n{KEY}: 2\n",
        f"secret: {KEY} {KEY}\n",
        f"events_url: https://user:{KEY}@example.com\n",
        f"secret: !{KEY} [\n",
        f"secret: *{KEY}\n",
        f"secret: [{KEY}\n",
        f'secret: "it\'s {KEY}\\q"\n',
        f"secret: *it's{KEY}\n",
        f"secret {KEY}: 1\n",
        f"secret={KEY}: 1\n",
        f"log_level: {KEY}\n",
        f"address: {KEY}\n",
        f"max_in_flight: {KEY}\n",
        f"allowed_hosts: [{KEY}:80]\n",
    ):
        assert KEY not in problem(file, text)
    for flags, environ in (
        ({"secret": f"{KEY} x"}, {}),
        ({"address": KEY}, {}),
        ({}, {"PAGERDUTY_AGENT_ADDRESS": KEY}),
    ):
        with pytest.raises(ConfigError) as caught:
            load(flags, environ, search=[])
        assert KEY not in str(caught.value)


def test_a_secret_in_a_file_that_everybody_can_read_is_warned_about(file: Path) -> None:
    file.chmod(0o644)
    (warning,) = read(file, "secret: x\n").warnings
    assert warning == (
        f"{file} holds credentials and every user can read it: run 'chmod 600 {file}'"
    )
    assert read(file, "region: us\n").warnings == ()
    file.chmod(0o640)
    assert read(file, "secret: x\n").warnings == ()


def test_a_variable_that_is_nearly_a_setting_is_warned_about() -> None:
    environ = {
        "PAGERDUTY_AGENT_ADRESS": "x",
        "PAGERDUTY_AGENT_SERVICE_HOST": "10.0.0.1",
        "PAGERDUTY_AGENT_PORT": "tcp://10.0.0.1:80",
    }
    assert load({}, environ, search=[]).warnings == (
        "environment variable PAGERDUTY_AGENT_ADRESS is unknown: is it PAGERDUTY_AGENT_ADDRESS?",
    )


@pytest.mark.parametrize(
    "text",
    [
        "relays: [https://Relay1:1/, https://relay2:2]",
        "relays:\n  - https://relay1:1\n  - https://relay2:2/",
        'relays: "https://relay1:1,https://RELAY2:2,https://relay1:1"',
    ],
)
def test_relays_are_a_list_of_urls_in_one_form(file: Path, text: str) -> None:
    assert read(file, f"{text}\n").config.relays == ("https://relay1:1", "https://relay2:2")


def test_the_engine_stands_in_a_map(file: Path) -> None:
    text = "engine:\n  urls: [nats://n1:4222, nats://n2:4222/]\n  ca: ca.pem\n  replicas: 1\n"
    config = read(file, f"accept_secrets: [new, old]\n{text}").config
    assert config.engine_urls == ("nats://n1:4222", "nats://n2:4222")
    assert (config.engine_ca, config.engine_replicas) == (file.with_name("ca.pem"), 1)
    assert (config.engine_name, config.accept_secrets) == ("pagerduty", ("new", "old"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("relays: [relay1]", "relays must be a list of http:// or https:// URLs"),
        ("relays: [https://u:p@relay1]", "relays must be a list of http:// or https:// URLs"),
        ("relay_secret: a,b", "relay_secret must be ASCII letters, digits and signs without"),
        ("accept_secrets: ['a,b c']", "accept_secrets must be a list of secrets"),
        ("engine:\n  urls: [http://n1]", "engine_urls must be a list of nats://"),
        ("engine:\n  url: nats://n1", "unknown key 'engine_url': did you mean 'engine_urls'"),
        ("engine:\n  replicas: 2", "engine_replicas must be 1 or 3"),
        ("acknowledge: both", "acknowledge must be local or relay"),
    ],
)
def test_what_is_wrong_with_settings_of_relays(file: Path, text: str, expected: str) -> None:
    assert expected in problem(file, f"{text}\n")
