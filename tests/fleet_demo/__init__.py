"""`make fleet`: a relay and a node of the engine are killed under load, for a person to watch.

Three nodes, three relays, eight hosts and a sandbox in PagerDuty's place, all real processes.
`story.py` is the sequence of events, `fleet.py` runs the processes, `view.py` shows them, and
`record.py` compares what was acknowledged with what arrived.
"""
