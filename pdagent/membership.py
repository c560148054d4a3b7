"""How a user joins the group that may use a file of the agent."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path


def how_to_join(path: Path, *, access: int = stat.S_IWGRP) -> str | None:
    """What a user does who is not in the group of `path`; None if joining it would not help.

    `access` is the bit of the mode that the group must have.
    """
    try:
        status = path.stat()
        group = grp.getgrgid(status.st_gid)
    except (OSError, KeyError):
        return None
    if not status.st_mode & access or group.gr_gid in (0, os.getegid(), *os.getgroups()):
        return None
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = str(os.geteuid())
    if user in group.gr_mem:
        return f"you have joined the group {group.gr_name} since this login: log in again"
    return (
        f"you are not in the group {group.gr_name}: ask root for "
        f"'usermod -aG {group.gr_name} {user}', then log in again (a service: restart it)"
    )
