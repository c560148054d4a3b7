"""Checkmk: the environment of a notification script becomes an alert."""

from __future__ import annotations

from collections.abc import Mapping

from pdagent.integrations.event import Event, Nothing, Unusable, is_web_address
from pdagent.integrations.nagios import alert

_PREFIX = "NOTIFY_"
# The rest of about a hundred variables says the same again, or is a credential.
_DETAILS = (
    *("WHAT", "NOTIFICATIONTYPE", "HOSTNAME", "HOSTALIAS", "HOSTADDRESS", "HOSTSTATE"),
    *("HOSTOUTPUT", "LONGHOSTOUTPUT", "HOSTATTEMPT", "HOSTNOTESURL", "HOSTGROUPNAMES"),
    *("SERVICEDESC", "SERVICESTATE", "SERVICEOUTPUT", "LONGSERVICEOUTPUT", "SERVICEATTEMPT"),
    *("SERVICENOTESURL", "SERVICEPERFDATA", "NOTIFICATIONAUTHOR", "NOTIFICATIONCOMMENT"),
    *("OMD_SITE", "MONITORING_HOST"),
)


def variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Checkmk's variables in an environment, without the prefix of their names."""
    found = {name: value for name, value in environ.items() if name.startswith(_PREFIX)}
    return {name.removeprefix(_PREFIX): value for name, value in found.items() if value.strip()}


def microtime(given: Mapping[str, str]) -> str | None:
    """When Checkmk made the notification, in seconds since 1970; None if it doesn't say."""
    digits = given.get("MICROTIME", "")
    return f"{digits[:-6]}.{digits[-6:]}" if digits.isascii() and digits.isdigit() else None


def v2_event(
    given: Mapping[str, str],
    *,
    occurred_at: float,
    dedup_key: str | None = None,
    url_prefix: str = "",
    links: tuple[Mapping[str, str], ...] = (),
) -> Event | Nothing:
    """An alert under the key of Checkmk's own plugin for PagerDuty.

    `given` are the `variables`; `url_prefix` is the site's address, for a link to the object.

    Raises:
        Unusable: There is no HOSTNAME.
    """
    if "HOSTNAME" not in given:
        raise Unusable("NOTIFY_HOSTNAME is missing: Checkmk runs this command, with its variables")
    about = "service" if "SERVICEDESC" in given and given.get("WHAT") != "HOST" else "host"
    name = given["HOSTNAME"]
    key = f"{name}:{given.get('HOSTADDRESS', '')}"
    if about == "service":
        key = f"{given['SERVICEDESC']}/{key}"
    page = url_prefix.rstrip("/") + given.get(f"{about.upper()}URL", "")
    if url_prefix and is_web_address(page):
        links = ({"href": page, "text": "Checkmk"}, *links)
    notification_type = given.get("NOTIFICATIONTYPE", "")
    return alert(
        notification_type,
        about,
        dedup_key or key.replace(" ", ""),
        {name: given[name] for name in _DETAILS if name in given},
        action="trigger" if notification_type == "FLAPPINGSTART" else None,
        occurred_at=occurred_at,
        links=links,
        client="Checkmk",
    )
