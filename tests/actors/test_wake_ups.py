"""No message waits for ever, whichever thread gives the turns. There is no tick here that helps."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from pykka import ActorRegistry

from actors.dispatcher import DispatchedActor, Dispatcher
from actors.messages import tell

Message = Callable[[], object]


class Caller(DispatchedActor):
    """Calls each message."""

    def receive(self, message: Message) -> None:
        message()


@pytest.fixture
def dispatcher() -> Iterator[Dispatcher]:
    dispatcher = Dispatcher("turns")
    yield dispatcher
    for ref in ActorRegistry.get_by_class(Caller):
        ref.stop()
    dispatcher.stop()
    assert not dispatcher.is_alive()


class Address:
    """Where to send messages to one actor, which has begun."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._ref = Caller.start(lambda error: None, dispatcher)
        begun = threading.Event()
        self.tell(begun.set)
        assert begun.wait(15)

    def tell(self, message: Message) -> None:
        assert tell(self._ref, message)


@pytest.mark.parametrize("helps", [True, False])
def test_what_a_turn_leads_to_gets_its_turn(dispatcher: Dispatcher, helps: bool) -> None:
    first, second = Address(dispatcher), Address(dispatcher)
    done = threading.Event()

    def step() -> None:
        first.tell(lambda: second.tell(done.set))

    if helps:
        dispatcher.help(step)
    else:
        step()
    assert done.wait(15)


def test_more_messages_than_one_turn_takes_are_all_taken(dispatcher: Dispatcher) -> None:
    address, done = Address(dispatcher), threading.Event()

    def flood() -> None:
        for _ in range(1_000):
            address.tell(lambda: None)
        address.tell(done.set)

    address.tell(flood)
    assert done.wait(15)


def test_what_is_scheduled_while_another_thread_helps_gets_its_turn(
    dispatcher: Dispatcher,
) -> None:
    first, second = Address(dispatcher), Address(dispatcher)
    helping, scheduled, done = threading.Event(), threading.Event(), threading.Event()

    def stay() -> None:
        helping.set()
        scheduled.wait(15)

    helper = threading.Thread(target=dispatcher.help, args=(lambda: first.tell(stay),))
    helper.start()
    assert helping.wait(15)
    second.tell(done.set)
    dispatcher.help(lambda: None)  # another that helps leaves it to the first
    scheduled.set()
    assert done.wait(15)
    helper.join(15)


def test_threads_that_tell_and_help_at_the_same_time_all_get_their_answers(
    dispatcher: Dispatcher,
) -> None:
    addresses = [Address(dispatcher) for _ in range(5)]
    unanswered: list[int] = []

    def ask(number: int) -> None:
        for turn in range(300):
            answered = threading.Event()
            address = addresses[(number + turn) % len(addresses)]
            if (number + turn) % 3:
                dispatcher.help(partial(address.tell, answered.set))
            else:
                address.tell(answered.set)
            if not answered.wait(15):
                unanswered.append(turn)
                return

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not unanswered
