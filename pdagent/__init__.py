"""A host agent that takes events for PagerDuty, keeps them safe and delivers them in order."""

__version__ = "1.0.0"
