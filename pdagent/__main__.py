"""`python -m pdagent`: the same program as `pagerduty-agent`."""

from __future__ import annotations

import sys

from pdagent.cli import main

if __name__ == "__main__":
    sys.exit(main())
