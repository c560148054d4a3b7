"""A local PagerDuty stand-in: for people without an account, and for the tests.

It checks events as PagerDuty documents them, keeps alerts by routing key and dedup key, answers as
PagerDuty does, and can simulate failures. It runs in its own process (`pagerduty-agent sandbox`)
and knows nothing of the agent, so that it can catch its mistakes.
"""
