"""`pagerduty-agent enqueue`: an Events API v2 alert event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from pdagent.cli.batch import batch_options, hand_over_batch
from pdagent.cli.parameters import (
    Image,
    Link,
    details_option,
    field_option,
    image,
    key_option,
    link_option,
    receipt_options,
    text,
    timestamp_option,
)
from pdagent.cli.session import Session, pass_session
from pdagent.cli.submission import given, submit

if TYPE_CHECKING:
    import msgspec

_ACTIONS = click.Choice(["trigger", "acknowledge", "resolve"])
_SEVERITIES = click.Choice(["critical", "error", "warning", "info"])


@click.command(
    short_help="Queue an alert event of Events API v2.",
    epilog="\b\nExample:\n  pagerduty-agent enqueue -k @database -t trigger -d 'Disk full' -u db1 "
    "-e critical -y db1/disk --link 'https://wiki.example.com/disk=Runbook'",
)
@key_option("--routing-key")
@click.option("-t", "--event-action", type=_ACTIONS, help="What to do; needed without --batch.")
@click.option(
    "-y",
    "--dedup-key",
    type=text,
    help="Which alert; needed to acknowledge or resolve, made up for a trigger without one.",
)
@click.option("-d", "--summary", type=text, help="What happened; needed to trigger.")
@click.option("-u", "--source", type=text, help="What it happened to; needed to trigger.")
@click.option("-e", "--severity", type=_SEVERITIES, default="error", show_default=True)
@timestamp_option
@click.option("--component", type=text, help="The part that is at fault, such as mysql.")
@click.option("-g", "--group", type=text, help="What the source belongs to, such as www.")
@click.option("--class", "class_", type=text, help="The kind of event, such as disk.")
@field_option
@details_option
@click.option("--client", type=text, help="Name of the tool that saw it.")
@click.option("--client-url", type=text, help="Where to look at it in that tool.")
@link_option
@click.option(
    "--image",
    "images",
    type=image,
    metavar="SRC[,HREF[,ALT]]",
    multiple=True,
    help="An image (https); may be repeated. Write a comma in an address as %2C.",
)
@batch_options
@receipt_options
@pass_session
@click.pass_context
def enqueue(
    context: click.Context,
    session: Session,
    *,
    routing_key: str | None,
    event_action: str | None,
    dedup_key: str | None,
    summary: str | None,
    source: str | None,
    severity: str,
    timestamp: str | None,
    component: str | None,
    group: str | None,
    class_: str | None,
    fields: tuple[tuple[str, str], ...],
    details_json: dict[str, msgspec.Raw] | None,
    client: str | None,
    client_url: str | None,
    links: tuple[Link, ...],
    images: tuple[Image, ...],
    batch: str | None,
    idempotency_key: str | None,
    receipt: str | None,
) -> None:
    """Queue an event (Events API v2): trigger, acknowledge or resolve an alert.

    It is stored on this host when the command returns, and delivered in order however long
    PagerDuty can't be reached.
    """
    hand_over_batch(context, session, "v2", needed=("routing_key", "event_action"))
    payload = given(
        summary=summary,
        source=source,
        timestamp=timestamp,
        component=component,
        group=group,
        custom_details={**(details_json or {}), **dict(fields)},
        **{"class": class_},
    )
    chosen = context.get_parameter_source("severity") is not ParameterSource.DEFAULT
    # An acknowledge or resolve goes without a payload; a default alone must not make one.
    if event_action == "trigger" or payload or chosen:
        payload["severity"] = severity
    event = given(
        routing_key=session.routing_key(str(routing_key)),
        event_action=event_action,
        dedup_key=dedup_key,
        payload=payload,
        images=[given(**image._asdict()) for image in images],
        links=[given(**link._asdict()) for link in links],
        client=client,
        client_url=client_url,
    )
    submit(session, "v2", event, receipt, idempotency_key=idempotency_key)
