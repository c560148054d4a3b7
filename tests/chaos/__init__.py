"""Faults on real relays, hosts and nodes of the engine, under load.

    make chaos            (or: python -m tests.chaos --faults 200 --seed 1)

Three nodes, three relays, 24 hosts and a stand-in for PagerDuty; the hosts share 12 keys. Prints a
line per fault and a summary; the exit status is 1 if a promise was broken.
"""
