"""Delivery to PagerDuty's Events API: a lean HTTP client and the table of its verdicts.

`EventsApi` tries to deliver one event once and says what came of it. It never raises for trouble
on the network, and no text that leaves this package holds a routing key or an event's body.
"""
