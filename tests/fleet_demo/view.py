"""How the demonstration looks: the story, the three machines, the hosts' events."""

from __future__ import annotations

from typing import Literal

import msgspec
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from pdagent.demo.view import Chapter, bar, clock, story_lines

RelayState = Literal["starting", "standby", "owner", "killed"]
NodeState = Literal["starting", "running", "leader", "killed"]

_LINES_AROUND_CHAPTERS = 6
_WIDTH_OF_NUMBERS = 50
_SHORTEST_BAR = 10
_FULL_BAR_AT_LEAST = 130
_USUAL = ("standby", "running")
_STYLES = {
    "starting": "yellow",
    "standby": "",
    "owner": "bold green",
    "running": "",
    "leader": "bold green",
    "killed": "bold red",
}
_RELAYS: dict[RelayState, str] = {
    "starting": "starting",
    "standby": "stands by",
    "owner": "owns the log, delivers",
    "killed": "killed",
}
_NODES: dict[NodeState, str] = {
    "starting": "starting",
    "running": "follows",
    "leader": "leads the log",
    "killed": "killed",
}


class Machine(msgspec.Struct, frozen=True):
    """A relay and a node of the engine."""

    relay: RelayState
    node: NodeState


class HostCounts(msgspec.Struct, frozen=True):
    """A host's events: those that are not delivered wait `at_host`, or were sent on."""

    name: str
    accepted: int
    delivered: int
    at_host: int

    @property
    def sent_on(self) -> int:
        """How many have left the host and have not arrived."""
        return max(0, self.accepted - self.delivered - self.at_host)


class FleetFrame(msgspec.Struct, frozen=True, kw_only=True):
    """What can be seen `at` seconds after the beginning; `silence` is the longest so far (s)."""

    at: float
    chapters: tuple[Chapter, ...]
    machines: tuple[Machine, ...]
    hosts: tuple[HostCounts, ...]
    silence: float
    finished: bool = False

    @property
    def total(self) -> HostCounts:
        """All hosts together."""
        return HostCounts(
            "all",
            sum(host.accepted for host in self.hosts),
            sum(host.delivered for host in self.hosts),
            sum(host.at_host for host in self.hosts),
        )

    def drawn(self, console: Console) -> RenderableType:
        """The picture; the story's beginning goes first where there is no room for all."""
        around = len(self.machines) + len(self.hosts) + _LINES_AROUND_CHAPTERS
        room = max(1, console.height - around)
        return Group(
            *story_lines(self.chapters, room, plain=console.options.ascii_only),
            Text(),
            _machines(self),
            Text(),
            _hosts(self, console),
        )

    def counted(self) -> str:
        """The figures in one line."""
        total = self.total
        states = [
            f"{what} {number} {state}"
            for number, machine in enumerate(self.machines, 1)
            for what, state in (("relay", machine.relay), ("node", machine.node))
            if state not in _USUAL
        ]
        counts = (
            f"accepted {total.accepted}, delivered {total.delivered}, "
            f"sent on {total.sent_on}, at hosts {total.at_host}"
        )
        return "; ".join([counts, *states])


def _machines(frame: FleetFrame) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0))
    table.add_column("MACHINE", no_wrap=True)
    table.add_column("RELAY", no_wrap=True, min_width=len(_RELAYS["owner"]))
    table.add_column("ENGINE", no_wrap=True)
    for number, machine in enumerate(frame.machines, 1):
        table.add_row(
            str(number),
            Text(_RELAYS[machine.relay], style=_STYLES[machine.relay]),
            Text(_NODES[machine.node], style=_STYLES[machine.node]),
        )
    return table


def _hosts(frame: FleetFrame, console: Console) -> Table:
    plain = console.options.ascii_only
    done, away, host = ("#", "+", ".") if plain else ("█", "▓", "░")
    total = frame.total
    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=True)
    table.add_column("HOST", footer="all", no_wrap=True)
    for name, count, style in (
        ("ACCEPTED", total.accepted, ""),
        ("DELIVERED", total.delivered, "green"),
        ("SENT ON", total.sent_on, "yellow"),
        ("AT HOST", total.at_host, "magenta"),
    ):
        table.add_column(
            Text(name, style=f"bold {style}"), footer=str(count), justify="right", no_wrap=True
        )
    silence = f"longest silence {frame.silence:.1f} s"
    table.add_column(clock(frame.at), footer=silence, no_wrap=True)
    width = max(_SHORTEST_BAR, console.width - _WIDTH_OF_NUMBERS)
    full = max(_FULL_BAR_AT_LEAST, *(each.accepted for each in frame.hosts))
    for each in frame.hosts:
        parts = (
            (each.delivered, done, "green"),
            (each.sent_on, away, "yellow"),
            (each.at_host, host, "magenta"),
        )
        table.add_row(
            each.name,
            str(each.accepted),
            str(each.delivered),
            Text(str(each.sent_on), style="yellow" if each.sent_on else ""),
            Text(str(each.at_host), style="magenta" if each.at_host else ""),
            bar(parts, width / full),
        )
    return table
