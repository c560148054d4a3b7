"""The hosts that report to a relay: what they send, what a relay knows of them, and how it is kept.

An agent with neither `relays` nor `accept_secrets` imports nothing of this package.
"""
