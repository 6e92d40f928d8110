# SPDX-License-Identifier: Apache-2.0
"""What a terminal sends, as keys, and what each of them changes."""

import pytest

from tracer.top.keys import Keys, Page, State, press
from tracer.top.rows import By, Sort

ROWS = ["one", "two", "three", "four"]


def pressed(*keys, state=None, rows=ROWS, page=2):
    state = state or State()
    for key in keys:
        state = press(state, key, rows, page)
    return state


def test_keys_of_what_a_terminal_sends():
    keys = Keys()
    assert keys.of(b"a\x1b[A\x1bOB\x1b[5~") == ["a", "\x1b[A", "\x1bOB", "\x1b[5~"]
    assert keys.of("é".encode()[:1]) == []
    assert keys.of("é".encode()[1:]) == ["é"]
    assert keys.of(b"\x1b[") == []
    assert keys.of(b"5~") == ["\x1b[5~"]
    assert keys.of(b"") == []
    assert keys.of(b"\x1b") == []
    assert keys.of(b"") == ["\x1b"]
    assert keys.of(b"\xff") == ["�"]
    assert keys.of(b"\x1bx") == ["\x1b", "x"]


def test_groups_and_orders_go_round():
    by = [pressed(*"a" * n).by for n in range(5)]
    assert by == [By.PROGRAM, By.PROCESS, By.DESTINATION, By.CONTAINER, By.PROGRAM]
    sort = [pressed(*"s" * n).sort for n in range(4)]
    assert sort == [Sort.SENT, Sort.RECEIVED, Sort.EVENTS, Sort.SENT]


@pytest.mark.parametrize(
    ("keys", "row"),
    [
        (("j",), "one"),
        (("\x1b[B", "\x1b[B"), "two"),
        (("\x1bOB", "\x1bOB", "\x1bOA"), "one"),
        (("j", "\x1b[6~"), "three"),
        (("j", "\x1b[6~", "\x1b[6~"), "four"),
        (("j", "\x1b[F", "\x1b[5~"), "two"),
        (("j", "\x1b[4~", "\x1b[H"), "one"),
        (("j", "k"), "one"),
        (("j", "\x1b"), None),
        (("j", "a"), None),
    ],
)
def test_rows_are_chosen(keys, row):
    assert pressed(*keys).selected == row


def test_a_row_that_is_gone_is_chosen_no_more():
    state = pressed("j", "j")
    assert press(state, "j", ["a", "b"], 2).selected == "a"
    assert press(state, "j", [], 2).selected is None


def test_details_are_of_the_chosen_row_or_the_first():
    for keys, row in ((("\r",), "one"), (("j", "j", "\n"), "two")):
        state = pressed(*keys)
        assert (state.page, state.selected) == (Page.DETAILS, row)
    assert pressed("\r", rows=[]).page is Page.ROWS
    for back in ("\x1b", "q", "\r"):
        assert pressed("\r", back)._replace(selected=None) == State()
    assert pressed("\r", "?").page is Page.HELP
    assert pressed("?", "?").page is Page.ROWS


def test_a_text_is_scrolled_to_its_end_and_no_further():
    assert [pressed("?", *keys).scrolled for keys in ("j", "jjjjj", "jjk", "k")] == [1, 2, 1, 0]
    assert pressed("?", "\x1b[F", "k").scrolled == 1
    assert pressed("?", "j", page=50).scrolled == 0


def test_a_filter_is_typed():
    state = pressed("/", *"-p x\x7f5", "\r")
    assert (state.typed, state.filter, state.done) == (None, "-p 5", False)
    again = pressed("/", state=state)
    assert again.typed == "-p 5"
    assert pressed("\x15", "q", "\x1b[A", "\r", state=again).filter == "q"
    assert pressed("x", "\x1b", state=again) == state
    assert len(pressed("/", *"x" * 2000).typed) == 1000


def test_pause_help_and_quit():
    assert pressed(" ").paused
    assert not pressed(" ", " ").paused
    assert pressed("\r", " ").paused
    assert pressed("?").page is Page.HELP
    assert pressed("q").done
    assert pressed("x", "\x1b[15~", "é") == State()
