"""An agent as a relay: its journal is a copy of a replicated log, which one of several relays owns.

Imported only with `engine` in the config. The owner is an ordinary agent (`pdagent/agent/app.py`)
with another journal and with a lease that is checked before each delivery; the others stand by.
"""
