"""`init --tls`: a certificate that strict clients trust, a private key, a config that uses both."""

from __future__ import annotations

import socket
import ssl
import stat
import subprocess
import time
from pathlib import Path

import pytest
import requests

from pdagent.config.certificates import names_in, self_signed
from pdagent.config.loading import load
from tests.pdagent.cli.command_line import CommandLine
from tests.pdagent.cli.test_init_and_server import KEY, offline, server

__all__ = ["offline"]


def openssl(*arguments: str | Path) -> str:
    return subprocess.run(
        ["openssl", *arguments], capture_output=True, text=True, check=True
    ).stdout


def test_the_pair_lies_next_to_the_config_which_uses_it(cli: CommandLine) -> None:
    done = cli("init", "--tls")
    assert (done.code, done.err) == (0, "")
    cert, key = cli.home / ".pagerduty-agent.cert.pem", cli.home / ".pagerduty-agent.key.pem"
    assert str(cert) in done.out
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(cert.stat().st_mode) == 0o644, "clients of other users have to read it"
    assert stat.S_IMODE(cli.config.stat().st_mode) == 0o600
    loaded = load({}, {"HOME": str(cli.home)}, config_file=str(cli.config))
    assert (loaded.config.tls_cert, loaded.config.tls_key) == (cert, key)
    assert loaded.origins.keys() == {"secret", "tls_cert", "tls_key"}
    assert {path.name for path in cli.home.iterdir()} == {cli.config.name, cert.name, key.name}


def test_the_certificate_is_for_loopback_this_host_and_the_names_given(cli: CommandLine) -> None:
    names = ("--tls-name", "agent.example.com", "--tls-name", "192.0.2.7")
    assert cli("--config", "my agent.yaml", "init", "--tls", *names).code == 0
    loaded = load({}, {}, config_file=str(cli.home / "my agent.yaml"))
    assert loaded.config.tls_cert == cli.home / "my agent.cert.pem"
    assert names_in(loaded.config.tls_cert) >= {"localhost", "agent.example.com"}
    text = openssl("x509", "-noout", "-text", "-in", loaded.config.tls_cert)
    for address in ("127.0.0.1", "0:0:0:0:0:0:0:1", "192.0.2.7"):
        assert f"IP Address:{address}" in text
    assert "CA:FALSE" in text, "a client that trusts it must not trust what its key would sign"
    valid = ssl.cert_time_to_seconds(text.partition("Not Before: ")[2].partition("\n")[0])
    assert valid < time.time() - 80_000, "clocks of clients may be behind"


def test_without_openssl_a_line_says_what_to_do_and_nothing_is_written(cli: CommandLine) -> None:
    cli.env["PATH"] = "/nonexistent"
    done = cli("init", "--tls")
    assert done.code == 1
    assert "install the package openssl, or set tls_cert and tls_key" in done.error
    assert not list(cli.home.iterdir())


def test_names_of_a_certificate_that_others_have_made(tmp_path: Path) -> None:
    certificate = tmp_path / "cert.pem"
    names = "DNS:A.example.com, DNS:*.example.com, IP:192.0.2.7, email:a@example.com, DNS:b.example"
    made = ("-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-keyout", tmp_path / "key.pem")
    for critical in ("", "critical, "):
        extension = ("-addext", f"subjectAltName = {critical}{names}")
        openssl("req", "-x509", *made, *extension, "-out", certificate)
        assert names_in(certificate) == {"a.example.com", "b.example"}
    for rubbish in (
        b"",
        b"\xff",
        b"-----BEGIN CERTIFICATE-----\nBgNVHREw\n-----END CERTIFICATE-----",
    ):
        certificate.write_bytes(rubbish)
        assert names_in(certificate) == frozenset()


def test_the_lines_of_a_second_config_beside_it_can_be_copied(cli: CommandLine) -> None:
    cli("init")
    assert cli("--config", "~/tls.yaml", "init", "--tls").code == 0
    lines = (cli.home / "tls.yaml").read_text().splitlines()
    copied = [line for line in lines if line.startswith(("tls_cert:", "tls_key:"))]
    cli.config.write_text("\n".join([cli.config.read_text(), *copied, ""]))
    loaded = load({}, {"HOME": str(cli.home)}, config_file=str(cli.config))
    assert loaded.config.tls_cert == cli.home / "tls.cert.pem"
    assert loaded.config.tls_key == cli.home / "tls.key.pem"
    assert loaded.config.tls_cert.exists()
    assert loaded.config.tls_key.exists()


@pytest.mark.parametrize("name", [".pagerduty-agent.cert.pem", ".pagerduty-agent.key.pem"])
def test_nothing_is_written_where_a_part_of_it_is_there_already(
    cli: CommandLine, name: str
) -> None:
    (cli.home / name).write_text("mine")
    done = cli("init", "--tls")
    assert done.code == 1
    assert f"{cli.home / name} exists already and was left as it is" in done.error
    assert (cli.home / name).read_text() == "mine"
    assert [path.name for path in cli.home.iterdir()] == [name]


def test_a_config_that_is_there_already_gets_no_pair(cli: CommandLine) -> None:
    cli.config.write_text("# mine\n")
    assert f"{cli.config} exists already" in cli("init", "--tls").error
    assert [path.name for path in cli.home.iterdir()] == [cli.config.name]


@pytest.mark.parametrize("arguments", [("--tls", "--tls-name", "no host"), ("--tls-name", "a.b")])
def test_a_name_that_can_not_be_used_is_a_usage_error(
    cli: CommandLine, arguments: tuple[str, ...]
) -> None:
    done = cli("init", *arguments)
    assert done.code == 2
    assert "--tls-name" in done.error
    assert not list(cli.home.iterdir())


def test_strict_clients_trust_it_and_commands_recognise_it(offline: CommandLine) -> None:
    assert offline("init", "--tls", "--tls-name", "agent.example.com").code == 0
    cert = offline.home / ".pagerduty-agent.cert.pem"
    url = f"https://{offline.env['PAGERDUTY_AGENT_ADDRESS']}/health"
    with server(offline), requests.Session() as session:
        session.trust_env = False
        assert session.get(url, verify=str(cert), timeout=20).text == "OK"
        for name, status in (("agent.example.com", 200), ("evil.example.com", 403)):
            answer = session.get(url, verify=str(cert), headers={"Host": name}, timeout=20)
            assert answer.status_code == status, "a name that the certificate proves is ours"
        # What Python 3.13 and later ask of certificates by default.
        strict = ssl.create_default_context(cafile=str(cert))
        strict.verify_flags |= ssl.VERIFY_X509_STRICT
        host, _, port = offline.env["PAGERDUTY_AGENT_ADDRESS"].rpartition(":")
        for name in (host, "localhost"):
            with (
                socket.create_connection((host, int(port)), timeout=20) as plain,
                strict.wrap_socket(plain, server_hostname=name) as encrypted,
            ):
                assert encrypted.version() is not None
        with pytest.raises(requests.exceptions.SSLError):
            session.get(url, timeout=20)
        done = offline("send", "-k", KEY, "-t", "trigger", "-d", "Disk full", "-i", "db1")
        assert (done.code, done.out) == (0, "Event processed. Incident Key: db1\n")


@pytest.mark.parametrize("spoilt", ["another key", "no key", "an encrypted key", "no certificate"])
def test_a_pair_that_can_not_be_used_stops_the_start_with_one_line(
    offline: CommandLine, spoilt: str
) -> None:
    assert offline("init", "--tls").code == 0
    cert = offline.home / ".pagerduty-agent.cert.pem"
    key = offline.home / ".pagerduty-agent.key.pem"
    match spoilt:
        case "another key":
            key.write_bytes(self_signed().key)
        case "no key":
            key.write_text("")
        case "an encrypted key":
            secret = ("-topk8", "-passout", "pass:open sesame")
            key.write_text(openssl("pkcs8", *secret, "-in", key))
        case "no certificate":
            cert.write_text("rubbish")
    done = offline("server")
    assert done.code == 1
    line = done.err.splitlines()[-1]
    assert line.startswith(f"error: tls_cert {cert} and tls_key {key} can't be used (")
