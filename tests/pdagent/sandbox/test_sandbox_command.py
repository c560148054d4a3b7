"""The sandbox as a command: options, output, signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest
import requests

from tests.pdagent.sandbox.sample_events import V2, post, trigger
from tests.pdagent.sandbox.start import first_line, start
from tests.sandbox_process import REPOSITORY, SandboxProcess


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--fail", "99"], "--fail must be an HTTP status code from 300 to 599"),
        (["--fail", "x"], "--fail"),
        (["--fail-rate", "2"], "--fail-rate must be a number from 0 to 1"),
        (["--latency", "2..1"], "--latency must be"),
        (["--hang-key", "short"], "--hang-key must be"),
        (["--hang", "3"], "--hang needs --hang-key"),
        (["--rate-limit", "0"], "--rate-limit must be"),
        (["--port", "70000"], "--port"),
        (["--host", "0.0.0.0"], "--host must be a loopback address"),
        (["--tls-cert", "cert.pem"], "--tls-cert and --tls-key go together"),
        (["--tls-cert", "/no/cert", "--tls-key", "/no/key"], "No such file"),
        (["--nonsense"], "--nonsense"),
        (["argument"], "argument"),
    ],
)
def test_a_bad_option_gives_one_clear_line_and_exit_code_2(
    options: list[str], problem: str
) -> None:
    process = start(*options)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert output == ""
    assert errors.count("\n") == 1
    assert problem in errors


def test_a_file_that_is_no_certificate_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file.pem"
    file.write_text("nonsense")
    process = start("--tls-cert", str(file), "--tls-key", str(file))
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "not a certificate and its key" in errors


def test_a_port_in_use_gives_one_clear_line_and_exit_code_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start("--port", str(taken.getsockname()[1]))
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert errors.count("\n") == 1
    assert "can't use port" in errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly_even_while_answers_hang(number: signal.Signals) -> None:
    with SandboxProcess("--hang-key", "*", "--hang", "60") as process:
        with socket.create_connection(("127.0.0.1", process.port), timeout=10) as caller:
            body = json.dumps(trigger()).encode()
            head = f"POST {V2} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
            caller.sendall(head.encode() + body)
            process.wait_for(lambda: process.events(), "an event that hangs")
            os.kill(process.pid, number)
            assert caller.recv(1) == b""
        assert process.stop() == 0
        assert process.errors() == ""


def test_it_stops_when_standard_input_ends_if_told_to() -> None:
    process = start("--port", "0", "--stop-on-eof")
    assert first_line(process).startswith("sandbox ready")
    process.communicate(timeout=20)
    assert process.returncode == 0


def test_stop_on_eof_needs_an_input_that_can_end() -> None:
    with (REPOSITORY / "pyproject.toml").open() as file:
        process = start("--port", "0", "--stop-on-eof", stdin=file)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "--stop-on-eof needs" in errors
    assert errors.count("\n") == 1


def test_only_the_latest_events_are_kept_if_told_so() -> None:
    with SandboxProcess("--keep", "2") as process:
        for number in range(5):
            post(process.url + V2, trigger(dedup_key=str(number)))
        assert [event["n"] for event in process.events()] == [4, 5]
        assert [alert["dedup_key"] for alert in process.alerts()] == ["3", "4"]
        stats = process.stats()
        assert (stats["received"]["total"], stats["forgotten"]) == (5, 3)


def test_a_sandbox_can_come_back_on_the_port_of_another() -> None:
    with SandboxProcess() as first:
        post(first.url + V2, trigger())
        port = first.port
        assert first.kill() == -signal.SIGKILL
        with SandboxProcess(port=port) as second:
            assert second.port == port
            assert post(second.url + V2, trigger()) == 202


def test_it_speaks_tls(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    files = ["-keyout", str(key), "-out", str(cert)]
    subprocess.run(
        ["openssl", "req", "-x509", *curve, "-nodes", "-days", "2", *files, *subject],
        check=True,
        capture_output=True,
    )
    with SandboxProcess("--tls-cert", str(cert), "--tls-key", str(key)) as process:
        assert process.url.startswith("https://")
        assert process.control_url.startswith("http://")
        with requests.Session() as http:
            http.trust_env = False
            http.verify = str(cert)
            assert http.post(process.url + V2, json=trigger(), timeout=10).status_code == 202
            process.behave(down=True)
            with pytest.raises(requests.ConnectionError):
                http.post(process.url + V2, json=trigger(), timeout=10)
            process.behave(down=False)
            assert http.post(process.url + V2, json=trigger(), timeout=10).status_code == 202
        assert process.stop() == 0
        assert process.errors() == ""
