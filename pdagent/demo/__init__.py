"""`pagerduty-agent demo`: an outage and a crash that a person can watch, with real processes.

`story.py` tells it, `senders.py` sends the events, `processes.py` runs sandbox and agent, `view.py`
shows it, and `judgement.py` compares what was accepted with what arrived.
"""
