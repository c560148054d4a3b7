"""`pagerduty-agent sandbox`: a local PagerDuty to try things on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pdagent.sandbox.behaviour import Behaviour, BehaviourError, changed
from pdagent.sandbox.control import is_loopback
from pdagent.sandbox.service import SandboxSettings, StartError, run, tls_context

_PORT = click.IntRange(0, 65535)
_FILE = click.Path(path_type=Path)


@click.command(
    short_help="Run a local PagerDuty to try things on.",
    epilog="Example: pagerduty-agent sandbox --fail-rate 0.2 --latency 0.05..0.3",
    context_settings={"show_default": True},
)
@click.option("--host", default="127.0.0.1", help="Loopback address to listen on.")
@click.option("--port", default=8765, type=_PORT, help="Port to listen on; 0 takes a free one.")
@click.option(
    "--control-port",
    type=_PORT,
    help="A second port for /sandbox/, open while the sandbox is down; 0 takes a free one.",
)
@click.option("--tls-cert", type=_FILE, help="Speak TLS with this certificate (PEM).")
@click.option("--tls-key", type=_FILE, help="The certificate's private key (PEM).")
@click.option("--fail", type=int, metavar="CODE", help="Answer everything with CODE (300-599).")
@click.option("--fail-rate", default=0.0, metavar="0..1", help="Share of answers that fail.")
@click.option("--fail-code", default=500, metavar="CODE", help="What --fail-rate answers.")
@click.option("--drop-rate", default=0.0, metavar="0..1", help="Share of events taken unanswered.")
@click.option("--seed", type=int, help="Make the chances repeatable.")
@click.option("--latency", default="0", metavar="SECONDS|MIN..MAX", help="Wait before answers.")
@click.option("--hang-key", multiple=True, metavar="KEY", help="Answers for KEY hang; * for all.")
@click.option("--hang", type=float, metavar="SECONDS", help="How long they hang (30 if not given).")
@click.option("--rate-limit", type=int, metavar="N", help="Calls per key in any 60 seconds.")
@click.option("--rate-window", type=float, metavar="SECONDS", help="Seconds instead of those 60.")
@click.option("--retry-after", metavar="S", help="Send Retry-After (seconds or a date).")
@click.option("--heartbeat-interval", type=int, metavar="SECONDS", help="Sent to agents.")
@click.option("--keep", default=100_000, type=click.IntRange(0), help="Events to remember; 0: all.")
@click.option("--quiet", is_flag=True, help="Print no line per event.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
@click.option("--stop-on-eof", is_flag=True, help="Stop when standard input ends.")
def sandbox(
    *,
    host: str,
    port: int,
    control_port: int | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    seed: int | None,
    keep: int,
    quiet: bool,
    as_json: bool,
    stop_on_eof: bool,
    **behaviour: Any,
) -> None:
    """Run a local PagerDuty stand-in, which checks events, keeps alerts, and can misbehave.

    It takes v1, v2 and change events and the agent heartbeat at PagerDuty's paths. What it
    received is at /sandbox/events, alerts at /sandbox/alerts, counts at /sandbox/stats; POST JSON
    such as {"fail": 503} or {"down_for": 5} to /sandbox/behaviour to change it while it runs.
    """
    if not is_loopback(host):
        raise click.UsageError("--host must be a loopback address, such as 127.0.0.1")
    if behaviour["hang"] is not None and not behaviour["hang_key"]:
        raise click.UsageError("--hang needs --hang-key, to say whose answers hang (* for all)")
    try:
        settings = SandboxSettings(
            host="127.0.0.1" if host == "localhost" else host,
            port=port,
            control_port=control_port,
            tls=_tls(tls_cert, tls_key),
            behaviour=_behaviour(behaviour),
            seed=seed,
            keep=keep,
            quiet=quiet,
            as_json=as_json,
            stop_on_eof=stop_on_eof,
        )
        run(settings)
    except StartError as error:
        raise click.ClickException(str(error)) from None


def _behaviour(options: dict[str, Any]) -> Behaviour:
    given = {name: value for name, value in options.items() if value not in (None, ())}
    try:
        return changed(Behaviour(), given)
    except BehaviourError as error:
        texts = [f"--{name.replace('_', '-')} {text}" for name, text in error.problems]
        raise click.UsageError("; ".join(texts)) from None


def _tls(cert: Path | None, key: Path | None) -> Any:
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise click.UsageError("--tls-cert and --tls-key go together")
    try:
        return tls_context(cert, key)
    except ValueError as error:
        raise click.UsageError(f"--tls-cert {cert}, --tls-key {key}: {error}") from None
