"""Delivery to PagerDuty's Events API: a lean HTTP client and the table of its verdicts.

`EventsApi` tries to deliver one event once and says what came of it. It never raises for trouble
on the network, and no text that leaves this package holds a routing key or an event's body.
"""

from __future__ import annotations

import warnings

from pdagent.deferring import defer, without

# An answer's encoding is never guessed: what does that takes 4 MB. requests warns that it is not
# there. The others are for hosts with names beyond ASCII, and for the pages of proxies.
defer("html")
defer("idna")
with without("chardet", "charset_normalizer"), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import requests  # noqa: F401
