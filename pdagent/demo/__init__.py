"""`pagerduty-agent demo`: an outage and a crash that a person can watch, with real processes.

`story.py` is the sequence of events, `senders.py` sends, `processes.py` runs sandbox and agent,
`view.py` shows it, and `judgement.py` compares what was accepted with what arrived.
"""
