"""What keys do, and how a terminal says them."""

from __future__ import annotations

import os
import pty
import termios
from collections.abc import Iterator

import pytest

from pdagent.dashboard.live.keyboard import Keyboard, names
from pdagent.dashboard.live.view import SORTS, View
from pdagent.operating import overview

PAGE, ROWS = 10, 35


def after(*keys: str, view: View | None = None) -> View:
    view = view or View()
    for key in keys:
        new = view.pressed(key, PAGE, ROWS)
        assert new is not None, f"{key} ended it"
        view = new
    return view


def place(*keys: str) -> tuple[int, int]:
    view = after(*keys)
    return view.selected, view.top


def test_the_orders_are_those_that_the_agent_knows() -> None:
    assert SORTS == overview.SORTS


@pytest.mark.parametrize("key", ["q", "interrupt"])
def test_it_can_be_quit_at_any_time_but_q_is_a_letter_of_a_filter(key: str) -> None:
    assert View().pressed(key, PAGE, ROWS) is None
    assert View(typing=True).pressed("interrupt", PAGE, ROWS) is None
    assert after("/", "q").match == "q"


@pytest.mark.parametrize(
    ("keys", "selected", "top"),
    [
        (["j", "down"], 2, 0),
        (["k"], 0, 0),
        (["j", "j", "up", "k"], 0, 0),
        (["j"] * 12, 12, 3),
        ([" "], 10, 10),
        (["page down"] * 9, 34, 25),
        (["G"], 34, 25),
        (["end", "k"], 33, 25),
        (["G", "b"], 24, 15),
        (["G", "g"], 0, 0),
        (["end", "home", "page up"], 0, 0),
    ],
)
def test_moving_keeps_the_selected_row_on_the_screen(
    keys: list[str], selected: int, top: int
) -> None:
    assert place(*keys) == (selected, top)


def test_fewer_rows_bring_the_selection_back() -> None:
    assert after("G").within(PAGE, 3) == View(selected=2, top=0)
    assert after("G").within(PAGE, 0) == View()


def test_s_goes_through_the_orders_in_a_circle_and_shift_s_back() -> None:
    assert after("s").sort == SORTS[1]
    assert after("S").sort == SORTS[-1]
    assert after(*["s"] * len(SORTS)).sort == SORTS[0]
    assert after("j", "j", "s").selected == 0


def test_a_filter_is_typed_corrected_kept_and_dropped() -> None:
    typed = after("/", "d", "a", "x", "backspace", " ", "é", "up")
    assert (typed.match, typed.typing) == ("da é", True)
    kept = after("enter", view=typed)
    assert (kept.match, kept.typing) == ("da é", False)
    assert after("escape", view=kept).match == after("escape", view=typed).match == ""
    assert after("clear", view=typed).match == ""
    assert len(after("/", *["x"] * 200).match) < 80


def test_help_shows_until_any_key() -> None:
    assert after("?").help
    assert not after("?", "q").help


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        ("jk", ["j", "k"]),
        ("\x1b[A\x1bOB", ["up", "down"]),
        ("\x1b[5~\x1b[6~\x1b[H\x1b[4~", ["page up", "page down", "home", "end"]),
        ("\x1b", ["escape"]),
        ("\x1bq", ["escape", "q"]),
        ("\x1b[15~j", ["j"]),  # F5 means nothing
        ("\x1b[1;5Ck", ["k"]),
        ("\r\n\x7f\x15\x03", ["enter", "enter", "backspace", "clear", "interrupt"]),
        ("é", ["é"]),
    ],
)
def test_keys_have_names(sent: str, keys: list[str]) -> None:
    assert list(names(sent)) == keys


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    leader, follower = pty.openpty()
    yield leader, follower
    os.close(follower)


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_the_terminal_is_as_before_whatever_happens(
    terminal: tuple[int, int], error: type[BaseException] | None
) -> None:
    leader, follower = terminal
    before = termios.tcgetattr(follower)
    try:
        with Keyboard(follower) as keyboard:
            assert not termios.tcgetattr(follower)[3] & termios.ECHO
            os.write(leader, "é\x1b[B".encode())
            assert keyboard.read() == ["é", "down"]
            if error is not None:
                raise error
    except (ValueError, KeyboardInterrupt):
        pass
    assert termios.tcgetattr(follower) == before
    os.close(leader)


def test_a_terminal_that_is_gone_means_the_end(terminal: tuple[int, int]) -> None:
    leader, follower = terminal
    keyboard = Keyboard(follower)
    os.close(leader)
    assert keyboard.read() == ["interrupt"]
