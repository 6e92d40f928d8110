# SPDX-License-Identifier: Apache-2.0
"""``sockwatch top`` between a run and a terminal that are made up, and how it writes lines."""

import curses
import os
from types import SimpleNamespace

import pytest

from tests.samples import event, flow, process
from tests.test_answer import Clock
from tests.test_top_screen import NUMBERS
from tracer.clock import boot_now
from tracer.top import run, terminal
from tracer.top.messages import Messages
from tracer.top.rows import Rows
from tracer.top.screen import Line, Style

SECOND = 1_000_000_000


class Screen:
    """A terminal on which these keys are pressed."""

    def __init__(self):
        self.pressed = []
        self.lines = []

    def keys(self):
        pressed, self.pressed = self.pressed, []
        return pressed

    def draw(self, lines):
        self.lines = [line.text for line in lines]
        return True

    def redraw(self):
        pass


@pytest.fixture
def screen():
    return Screen()


@pytest.fixture
def rows():
    return Rows(lambda _: True)


@pytest.fixture
def top(monkeypatch, screen, rows):
    monkeypatch.setattr(run.terminal, "size", lambda: (200, 50))
    of = SimpleNamespace(
        started=boot_now() - 10 * SECOND,
        look=lambda: None,
        numbers=lambda: NUMBERS,
        clock=Clock(),
        shown_names=None,
    )
    return run._Top(of, rows, screen, Messages(), lambda _: None, "everything")


def test_the_first_rates_are_of_all_the_time_since_the_start(top, screen, rows):
    rows.write([event(flow(), bytes=1000)])
    top.check()
    (row,) = top._shown
    assert 0 < row.rate.sent <= 100
    assert "for 0:10" in screen.lines[0]


def test_many_keys_at_once_make_rows_once(top, screen, rows):
    """A paste, or a key that is held down: the ring is read between."""
    made = []
    top._grouped = lambda *how: made.append(how) or rows.grouped(*how)
    screen.pressed = ["down", "\x1b[B", "j", "k"] * 200
    top.check()
    assert len(made) == 1
    screen.pressed = ["a"]
    top.check()
    assert len(made) == 2


def test_details_are_made_once_for_many_keys(top, screen, rows, monkeypatch):
    made = []
    details = run.details
    monkeypatch.setattr(run, "details", lambda *of: made.append(of) or details(*of))
    rows.write([event(flow(process=process()))])
    top.check()
    screen.pressed = ["\r", *["\x1b[B"] * 500]
    top.check()
    assert len(made) == 1
    assert any("dig @10.0.0.5 x" in line for line in screen.lines)


class Out:
    """Standard output. While something is written, the process is stopped and continued once."""

    pending = False

    def __init__(self):
        self.text = ""
        self.amid = lambda: None

    def write(self, text):
        self.text += text
        self.amid()


def test_what_was_stopped_while_it_drew_draws_all_again():
    with open(os.devnull, "w") as nowhere:
        curses.setupterm("xterm", nowhere.fileno())
    out = Out()
    screen = terminal.Terminal(out)
    lines = [Line("one"), Line("two")]
    out.amid = screen._take_keys
    assert screen.draw(lines)
    out.amid, out.text = lambda: None, ""
    assert screen.draw(lines)
    assert "one" in out.text
    out.text = ""
    assert screen.draw(lines)
    assert "one" not in out.text


def test_a_line_as_wide_as_the_terminal_keeps_its_last_letter():
    """xterm and the kernel's console erase the letter that the cursor stands on then."""
    with open(os.devnull, "w") as nowhere:
        curses.setupterm("xterm", nowhere.fileno())
    for style in Style:
        written = terminal._line(0, Line("x" * 80, style))
        assert written.index("\x1b[K") < written.index("x")
        assert "\x1b[K" not in written[written.index("x") :]
