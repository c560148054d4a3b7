"""Tells people that pages are stuck: alerts about dead letters and full or failing queues through
PagerDuty itself, and a command or an e-mail when PagerDuty can't be reached.
"""
