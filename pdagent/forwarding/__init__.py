"""Delivery to relays instead of PagerDuty, for agents with `relays` in their config.

Nothing here is loaded without that setting.
"""
