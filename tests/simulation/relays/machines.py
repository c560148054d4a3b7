"""Several processes in one simulated time: each is killed, or stopped and woken, for itself.

What blocks a thread of the program (a lock, a pause, an answer that is awaited) blocks a fibre
here, and all the others go on.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pykka
from greenlet import GreenletExit, getcurrent, greenlet

from actors.dispatcher import DispatchedActor
from actors.supervised import SupervisedActor
from tests.simulation.runtime import Crash, Runtime

Job = Callable[[], object]


class Process:
    """One process. `alive` until it is killed; nothing of it runs while it is `stopped`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.stopped = False
        self.actors: list[SupervisedActor] = []
        self.frozen: list[SupervisedActor] = []
        self.delayed: list[Job] = []


class _Wait:
    """A fibre that waits: in a process, or on behalf of nobody."""

    def __init__(self, process: Process | None, condition: Callable[[], bool] | None) -> None:
        self.fibre = getcurrent()
        self.process = process
        self.condition = condition
        self.over = False

    @property
    def is_stopped(self) -> bool:
        return self.process is not None and self.process.stopped


class Machines(Runtime):
    """Runs the actors and threads of all processes. `current` is the process that runs just now."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(chance)
        self.clock.sleep = self.sleep
        self.current: Process | None = None
        self._of: dict[SupervisedActor, Process] = {}
        self._main = getcurrent()
        self._free: list[greenlet] = []
        self._waits: list[_Wait] = []

    # Processes

    def run_in(self, process: Process, job: Job) -> None:
        """Let a thread of this process do something, when it runs again if it is stopped."""
        if not process.alive:
            return
        if process.stopped:
            process.delayed.append(partial(self.run_in, process, job))
            return
        fibre = self._free.pop() if self._free else greenlet(self._work, self._main)
        self._enter(fibre, process, process, job)

    def start_thread(self, process: Process, job: Job) -> None:
        """Begin a thread of a process soon."""
        self.after(0.0, lambda: self.run_in(process, job))

    def stop(self, process: Process) -> None:
        """As SIGSTOP."""
        process.stopped = True
        process.frozen = [actor for actor in process.actors if actor not in self._blocked]
        self._blocked.update(process.frozen)

    def wake(self, process: Process) -> None:
        """As SIGCONT: all that has come due meanwhile happens now."""
        process.stopped = False
        self._blocked.difference_update(process.frozen)
        for actor in process.frozen:
            if actor in self._alive:
                self._list(actor)
        delayed, process.delayed = process.delayed, []
        for job in delayed:
            self.after(0.0, job)

    def kill(self, process: Process) -> None:
        """As SIGKILL. Not from within the process."""
        process.alive = False
        for actor in process.actors:
            pykka.ActorRegistry.unregister(actor.actor_ref)
            self._end(actor)
            if actor in self._listed:
                self._listed.discard(actor)
                self._ready.remove(actor)
            del self._of[actor]
        process.actors.clear()
        for wait in [wait for wait in self._waits if wait.process is process]:
            self._over(wait)

    # What blocks

    def sleep(self, seconds: float) -> None:
        """Let time pass, for this thread alone."""
        self.wait(None, seconds)

    def run_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """In a thread of a process: as `wait`."""
        if getcurrent() is self._main:
            return super().run_until(condition, seconds)
        return self.wait(condition, seconds)

    def wait(self, condition: Callable[[], bool] | None, seconds: float) -> bool:
        """Let this thread wait until `condition()` holds; return whether it does in time."""
        process, running = self.current, self._running
        assert process is not None
        if not process.alive:
            raise Crash("killed")
        if condition is not None and condition():
            return True
        wait = _Wait(process, condition)
        hanging = [actor for actor in running if actor not in self._blocked]
        self._blocked.update(hanging)
        self._waits.append(wait)
        if seconds < float("inf"):
            self.after(seconds, lambda: self._over(wait))
        self._main.switch()
        self._running, self.current = running, process
        if not process.alive:
            raise Crash("killed")
        self._blocked.difference_update(hanging)
        for actor in hanging:
            self._list(actor)
        return condition is None or condition()

    def make_lock(self) -> Lock:
        """In place of `threading.RLock`."""
        return Lock(self)

    # Of the runtime

    def adopt(self, actor: SupervisedActor) -> None:
        self._belongs_here(actor)
        super().adopt(actor)

    def schedule(self, actor: DispatchedActor) -> None:
        self._belongs_here(actor)
        super().schedule(actor)

    def tell_later(self, to: pykka.ActorRef[Any], message: Any, seconds: float) -> None:
        process = self.current
        assert process is not None

        def tell() -> None:
            if process.stopped:
                process.delayed.append(tell)
            elif process.alive:
                with contextlib.suppress(pykka.ActorDeadError):
                    to.tell(message)

        self.after(seconds, tell)

    def go_on(self, actor: SupervisedActor, message: Any) -> None:
        process = self._of.get(actor)
        if process is not None and process.stopped:
            process.delayed.append(lambda: self.go_on(actor, message))
        else:
            super().go_on(actor, message)

    def lose_everything(self) -> None:
        """The end of the simulation."""
        for process in list(dict.fromkeys(self._of.values())):
            self.kill(process)
        for wait in list(self._waits):
            if wait.process is not None:
                wait.process.alive = False
            self._over(wait)
        super().lose_everything()
        # Not left to the garbage collector, which may run in any thread.
        for fibre in self._free:
            fibre.throw(GreenletExit)
        self._free.clear()

    def _belongs_here(self, actor: SupervisedActor) -> None:
        if actor not in self._of:
            process = self.current
            if process is None or not process.alive:
                raise Crash("an actor of no process")
            self._of[actor] = process
            process.actors.append(actor)

    def _list(self, actor: SupervisedActor) -> None:
        if actor in self._of:
            super()._list(actor)

    def _give_step(self, actor: SupervisedActor) -> None:
        process = self._of.get(actor)
        if process is not None:
            self._listed.discard(actor)
            if actor not in self._blocked:
                self.run_in(process, lambda: self._run(actor))

    def _step(self, deadline: float) -> bool:
        for wait in self._waits:
            if wait.condition is not None and not wait.is_stopped and wait.condition():
                self._over(wait)
                break
        return super()._step(deadline)

    def _over(self, wait: _Wait) -> None:
        process = wait.process
        if wait.over:
            return
        if process is not None and wait.is_stopped and process.alive:
            process.delayed.append(lambda: self._over(wait))
            return
        wait.over = True
        self._waits.remove(wait)
        self._enter(wait.fibre, process)

    def _enter(self, fibre: greenlet, process: Process | None, *task: object) -> None:
        before = self.current, self._running
        self.current, self._running = process, []
        fibre.switch(*task)
        self.current, self._running = before
        if self.violation is not None:
            raise self.violation

    def _work(self, process: Process, job: Job) -> None:
        """What a fibre does: one job after the other."""
        me = getcurrent()
        while True:
            try:
                job()
            except BaseException as error:  # noqa: BLE001 - of a process that is gone, whatever
                if process.alive and self.violation is None:
                    self.violation = error
            self._free.append(me)
            process, job = self._main.switch()


class Lock:
    """A lock that a thread may take again and again, and for which simulated threads wait."""

    def __init__(self, machines: Machines) -> None:
        self._machines = machines
        self._holder: object = None
        self._depth = 0

    def __enter__(self) -> None:
        me = getcurrent()
        if self._holder is not me:
            self._machines.wait(lambda: self._holder is None, float("inf"))
            self._holder = me
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            self._holder = None
