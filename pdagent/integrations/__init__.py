"""From a monitoring tool's notification to an event: one pure function per tool and API version.

`v1_event` makes what PagerDuty's old agents made, so that scripts and open incidents keep working;
`v2_event` adds severity, the plugin's output, links and the time. Both find the same incident key.
"""
