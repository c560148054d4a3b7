"""The story: calm, an outage, a crash in the middle of it, and the return."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from pdagent.demo.judgement import Judgement, judge
from pdagent.demo.processes import DemoAgent, DemoFailed, DemoSandbox
from pdagent.demo.senders import DemoSender, number_of, over_http
from pdagent.demo.view import (
    AgentState,
    Chapter,
    Frame,
    LiveView,
    PlainView,
    QueueCounts,
    Reachability,
)

_CALM, _OUTAGE, _DEAD, _STILL_DOWN, _BACK = 5.0, 6.0, 3.0, 4.5, 3.0
_LONGEST_DRAIN = 30.0  # seconds
_START_SECONDS = 20.0
_FRAME_SECONDS = 0.12
_FASTEST, _SLOWEST_ANSWER = 0.05, 0.1

# Events a second, and what they say.
_TOOLS = {
    "web": (8.0, "HTTP 5xx rate is above 5 %"),
    "api": (6.0, "p99 latency is above 2 s"),
    "database": (5.0, "replication is 40 s behind"),
    "network": (4.0, "packet loss to the gateway"),
    "storage": (3.0, "/var is 97 % full"),
    "backup": (1.25, "the nightly backup is late"),
}


class Demo:
    """One telling of the story in `directory`, `speed` times as fast as people like to watch.

    Raises DemoFailed when a process doesn't do its part.
    """

    def __init__(self, directory: Path, view: LiveView | PlainView, *, speed: float = 1.0) -> None:
        self._directory = directory
        self._view = view
        self._speed = speed
        self._began = time.monotonic()
        self._chapters: list[Chapter] = []
        self._agent_state: AgentState = "starting"
        self._pagerduty: Reachability = "up"
        self._senders: list[DemoSender] = []
        self._queues = tuple(QueueCounts(name) for name in _TOOLS)
        self._finished = False

    def tell(self) -> Judgement:
        """Play everything, then compare what was accepted with what arrived."""
        latency = f"{_FASTEST / self._speed}..{_SLOWEST_ANSWER / self._speed}"
        with ExitStack() as stack:
            self._sandbox = stack.enter_context(DemoSandbox(latency))
            agent = DemoAgent(self._directory, self._sandbox.url, list(_TOOLS))
            self._agent = stack.enter_context(agent)
            stack.callback(self._abandon_senders)
            self._say("A sandbox plays PagerDuty; a pagerduty-agent starts in front of it.")
            self._launch()
            self._calm()
            self._outage()
            self._crash()
            self._return()
            return self._judge()

    def _calm(self) -> None:
        self._say("Six tools send events over HTTP.")
        for queue, (rate, summary) in _TOOLS.items():
            key, source = self._agent.keys[queue], f"{queue}-1.example.com"
            offer = over_http(self._agent.url, key, source, summary)
            self._senders.append(DemoSender(queue, 1 / rate / self._speed, offer))
        for sender in self._senders:
            sender.start()
        self._watch(_CALM)

    def _outage(self) -> None:
        self._sandbox.go_down()
        self._pagerduty = "down"
        self._say("PagerDuty goes down. Events are accepted all the same: queues fill.")
        self._watch(_OUTAGE)

    def _crash(self) -> None:
        self._agent.kill()
        self._agent_state = "killed"
        self._say("The agent is killed with SIGKILL. Senders get no answer and try again.")
        self._watch(_DEAD)
        self._agent_state = "starting"
        waiting = self._launch()
        self._say(f"The agent starts again: its journal holds {waiting} events that wait.")
        self._watch(_STILL_DOWN)

    def _return(self) -> None:
        self._sandbox.come_back()
        self._pagerduty = "up"
        self._say("PagerDuty is back. Each queue drains in the order of acceptance.")
        self._watch(_BACK)
        for sender in self._senders:
            sender.finish()
        self._say("The senders have finished; what still waits drains.")
        drained = self._watch_until(self._is_drained, _LONGEST_DRAIN)
        self._finished = True
        self._say("All queues are empty." if drained else f"Time is up: {self._hold_up()}")

    def _judge(self) -> Judgement:
        status = self._agent.stop()
        if status:
            raise DemoFailed(f"the agent ended with exit status {status} after SIGTERM")
        names = {key: name for name, key in self._agent.keys.items()}
        events = self._sandbox.events()
        arrived: dict[str, list[int]] = defaultdict(list)
        for event in events:
            arrived[names[event["routing_key"]]].append(number_of(event))
        return judge(
            {sender.queue: sender.accepted for sender in self._senders},
            arrived,
            incidents=sum(event["effect"] == "opened" for event in events),
        )

    def _launch(self) -> int:
        """Start the agent and wait until it answers; returns how many events wait."""
        self._agent.launch()
        if not self._watch_until(self._agent.is_answering, _START_SECONDS):
            raise DemoFailed(f"the agent did not answer within {_START_SECONDS:.0f} s")
        self._agent_state = "running"
        status = self._agent.status()
        waiting: int = status["totals"]["waiting"] if status else 0
        return waiting

    def _hold_up(self) -> str:
        """What the first queue that isn't empty waits for."""
        for item in (self._agent.status() or {"queues": ()})["queues"]:
            if item["pending"]:
                error = item["last_error"] or "no error"
                return f"{item['pending']} events of {item['queue']} wait ({error})."
        return "the senders have not finished."

    def _is_drained(self) -> bool:
        if any(sender.is_alive() for sender in self._senders):
            return False
        accepted = sum(len(sender.accepted) for sender in self._senders)
        total = self._picture().total
        return total.accepted == accepted and total.waiting == 0

    def _watch(self, seconds: float) -> None:
        self._watch_until(lambda: False, seconds / self._speed)

    def _watch_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Show what happens until the condition holds (True) or the time is up (False)."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if condition():
                return True
            for sender in self._senders:
                sender.check()
            self._show()
            time.sleep(_FRAME_SECONDS)
        return False

    def _say(self, text: str) -> None:
        self._chapters.append(Chapter(time.monotonic() - self._began, text))
        self._show()

    def _show(self) -> None:
        self._view.show(self._picture())

    def _picture(self) -> Frame:
        if self._agent_state == "running":
            self._look_at_queues()
        return Frame(
            at=time.monotonic() - self._began,
            agent=self._agent_state,
            pid=self._agent.pid,
            pagerduty=self._pagerduty,
            chapters=tuple(self._chapters),
            queues=self._queues,
            refused=sum(sender.refused for sender in self._senders),
            finished=self._finished,
        )

    def _look_at_queues(self) -> None:
        status = self._agent.status()
        if status is None:
            return  # what was seen last stays on show
        seen: dict[str, dict[str, Any]] = {item["queue"]: item for item in status["queues"]}
        self._queues = tuple(
            msgspec.structs.replace(
                queue,
                accepted=seen[queue.name]["accepted"],
                delivered=seen[queue.name]["success"],
                waiting=seen[queue.name]["pending"],
            )
            if queue.name in seen
            else queue
            for queue in self._queues
        )

    def _abandon_senders(self) -> None:
        for sender in self._senders:
            sender.abandon()
