"""`pagerduty-agent change`: an Events API v2 change event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pdagent.cli.batch import batch_options, hand_over_batch
from pdagent.cli.parameters import (
    Link,
    details_option,
    field_option,
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


@click.command(
    short_help="Queue a change event of Events API v2.",
    epilog="\b\nExample:\n  pagerduty-agent change -k @database -d 'Deployed 4.2' -f commit=3f2a",
)
@key_option("--routing-key")
@click.option("-d", "--summary", type=text, help="What was changed; needed without --batch.")
@click.option("-u", "--source", type=text, help="What changed it, or where.")
@timestamp_option
@field_option
@details_option
@link_option
@batch_options
@receipt_options
@pass_session
@click.pass_context
def change(
    context: click.Context,
    session: Session,
    *,
    routing_key: str | None,
    summary: str | None,
    source: str | None,
    timestamp: str | None,
    fields: tuple[tuple[str, str], ...],
    details_json: dict[str, msgspec.Raw] | None,
    links: tuple[Link, ...],
    batch: str | None,
    idempotency_key: str | None,
    receipt: str | None,
) -> None:
    """Queue a change event (Events API v2): a deployment, a setting, anything that was changed.

    It takes its place in the order of the key's other events.
    """
    hand_over_batch(context, session, "change", needed=("routing_key", "summary"))
    payload = given(
        summary=summary,
        source=source,
        timestamp=timestamp,
        custom_details={**(details_json or {}), **dict(fields)},
    )
    event = {
        "routing_key": session.routing_key(str(routing_key)),
        "payload": payload,  # even an empty one, so that its summary is what is missing
        **given(links=[given(**link._asdict()) for link in links]),
    }
    submit(session, "change", event, receipt, idempotency_key=idempotency_key)
