"""`pagerduty-agent change`: an Events API v2 change event."""

from __future__ import annotations

import click
import msgspec

from pdagent.cli.parameters import Link, field, json_file, link, text
from pdagent.cli.session import Session, pass_session
from pdagent.cli.submission import details, given, submit_change


@click.command(
    epilog="\b\nExample:\n  pagerduty-agent change -k @database -d 'Deployed 4.2' -f commit=3f2a"
)
@click.option(
    "-k",
    "--routing-key",
    type=text,
    required=True,
    help="Integration key, or @NAME of one in the config (a key here shows in process lists).",
)
@click.option("-d", "--summary", type=text, required=True, help="What was changed.")
@click.option("-u", "--source", type=text, help="What changed it, or where.")
@click.option(
    "--timestamp", type=text, help="When it happened (ISO 8601); the time of acceptance if missing."
)
@click.option(
    "-f",
    "--field",
    "fields",
    type=field,
    metavar="KEY=VALUE",
    multiple=True,
    help="A detail; may be repeated.",
)
@click.option(
    "--details-json",
    type=json_file,
    metavar="FILE|-",
    help="Details as a JSON object; -f goes on top.",
)
@click.option(
    "--link",
    "links",
    type=link,
    metavar="HREF[=TEXT]",
    multiple=True,
    help="A link; may be repeated. In a query each parameter keeps its own '='.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the receipt as JSON.")
@pass_session
def change(
    session: Session,
    *,
    routing_key: str,
    summary: str,
    source: str | None,
    timestamp: str | None,
    fields: tuple[tuple[str, str], ...],
    details_json: dict[str, msgspec.Raw] | None,
    links: tuple[Link, ...],
    as_json: bool,
) -> None:
    """Queue a change event (Events API v2): a deployment, a setting, anything that was changed.

    It takes its place in the order of the key's other events.
    """
    event = given(
        routing_key=session.routing_key(routing_key),
        payload=given(
            summary=summary,
            source=source,
            timestamp=timestamp,
            custom_details=details(details_json, fields),
        ),
        links=[given(**link._asdict()) for link in links],
    )
    submit_change(session, event, as_json)
