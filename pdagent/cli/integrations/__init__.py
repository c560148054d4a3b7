"""The commands that monitoring tools run, one module a tool, and the old agents' `pd-` programs.

`pdagent/integrations/` makes the events.
"""
