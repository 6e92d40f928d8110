# SPDX-License-Identifier: Apache-2.0
"""The live table on a terminal."""

import os
from ipaddress import ip_address

import pyte
import pytest

from tests.samples import flow, process
from tests.test_table import SECOND, console_of, event
from tracer.live import counting
from tracer.live.counting import CountingTable
from tracer.model.flow import Endpoint

COLUMNS, LINES = 100, 12


class Terminal:
    """What a table writes, as a person sees it. A line may be ended by a newline alone."""

    lost = 0

    def __init__(self):
        self.screen = pyte.HistoryScreen(COLUMNS, LINES, history=10_000, ratio=1)
        self.screen.set_mode(pyte.modes.LNM)
        self.stream = pyte.Stream(self.screen)

    def write(self, text):
        self.stream.feed(text)

    def lines(self):
        history = [
            "".join(line[at].data for at in range(COLUMNS)) for line in self.screen.history.top
        ]
        return [line.rstrip() for line in (*history, *self.screen.display) if line.strip()]


@pytest.fixture
def terminal():
    return Terminal()


@pytest.fixture(autouse=True)
def size(monkeypatch):
    """The terminal's; the test may change it."""
    found = [COLUMNS, LINES]
    monkeypatch.setattr(counting.shutil, "get_terminal_size", lambda: os.terminal_size(found))
    return found


@pytest.fixture
def table(terminal, monkeypatch):
    """Updates the screen for every batch."""
    monkeypatch.setattr(counting, "PERIOD", 0)
    monkeypatch.setattr(counting.echo, "off", lambda _: None)
    console, _, _ = console_of(terminal)
    table = CountingTable(console, color=False, header=False, whole="the log has them")
    table.messages = console.messages
    return table


def to(port, **changes):
    return flow(dst=Endpoint(ip_address("10.0.0.5"), port), **changes)


def ends(terminal):
    """Of each line the port, the bytes, and the result."""
    return [line.split("10.0.0.5:")[1] for line in terminal.lines()]


def test_a_line_counts_up_among_others(table, terminal):
    for at in range(3):
        table.write([event(to(53), 10, time=at), event(to(54), 1, time=at)])
    assert [" ".join(end.split()) for end in ends(terminal)] == ["53 30 sent ×3", "54 3 sent ×3"]


def test_local_ports_are_merged(table, terminal):
    for port in range(500):
        src = Endpoint(ip_address("10.0.0.1"), 40_000 + port)
        table.write([event(to(53, src=src), 1, time=port)])
    (line,) = terminal.lines()
    assert line.endswith("sent ×500")


@pytest.mark.parametrize(
    "other",
    [
        event(to(54)),
        event(to(53, process=process(pid=7))),
        event(to(53), error=111),
        event(to(53), time=2 * SECOND),
    ],
)
def test_what_is_another_line(table, terminal, other):
    table.write([event(to(53)), other])
    assert len(terminal.lines()) == 2
    assert "×" not in "".join(terminal.lines())


def test_a_line_that_has_left_the_screen_begins_anew(table, terminal):
    table.write([event(to(53))])
    for port in range(1000, 1000 + LINES):
        table.write([event(to(port))])
    table.write([event(to(53)), event(to(53))])
    first, *_, last = ends(terminal)
    assert (first.split()[0], first.split()[-1]) == ("53", "sent")
    assert last.split()[-2:] == ["sent", "×2"]


def test_a_message_in_between(table, terminal):
    """What was not shown before it is a line of its own."""
    table.write([event(to(53)), event(to(53))])
    terminal.write("sockwatch: a message\n")
    table.messages.taken += 1
    table.write([event(to(53), 7)])
    first, message, last = terminal.lines()
    assert first.endswith("sent ×2")
    assert message == "sockwatch: a message"
    assert last.split()[-2:] == ["7", "sent"]


def test_what_was_counted_when_lines_moved_is_shown_once(table, terminal, monkeypatch):
    table.write([event(to(53), 5)])
    monkeypatch.setattr(counting, "PERIOD", 1000)
    table.check()
    table.write([event(to(53), 6), event(to(53), 7)])  # the screen does not have these yet
    table.messages.taken += 1
    table.finish()
    assert [end.split()[1:] for end in ends(terminal)] == [
        ["5", "sent"],
        ["13", "sent", "×2"],
    ]


def test_a_flood_stays_readable(table, terminal):
    table.write([event(to(port)) for port in range(1, 1001)])
    *lines, note = terminal.lines()
    assert len(lines) == LINES - 2
    assert (
        note == f"… {1000 - len(lines)} more lines ({1000 - len(lines)} events): the log has them"
    )
    table.write([event(to(999))])  # it was left out, and is shown now
    assert terminal.lines()[-1].split()[-3:] == ["10.0.0.5:999", "42", "sent"]


@pytest.mark.parametrize("lines", [1, 2, 3])
def test_a_terminal_of_few_lines_shows_something(table, terminal, size, lines):
    size[1] = lines
    table.write([event(to(53)), event(to(54))])
    assert terminal.lines()[0].split()[-3:] == ["10.0.0.5:53", "42", "sent"]
    assert "… 1 more line (1 event)" in terminal.lines()[1]


def test_another_size(table, terminal, size):
    table.write([event(to(53))])
    size[0] = 80
    table.write([event(to(53))])
    wide, narrow = terminal.lines()
    assert len(narrow) < 80 < len(wide) + 10
    assert "×" not in narrow


def test_the_screen_is_updated_ten_times_a_second_at_most(terminal, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(counting.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(counting.echo, "off", lambda _: None)
    console, checks, finals = console_of(terminal)
    table = CountingTable(console, color=False, header=False, whole="")
    table.write([event(to(53))])
    now[0] = 0.05
    table.write([event(to(53))])
    assert terminal.lines()[0].endswith("sent")
    now[0] = 0.11
    checks[0]()
    assert terminal.lines()[0].endswith("sent ×2")
    table.write([event(to(53))])
    finals[-1][0]()
    assert terminal.lines()[0].endswith("sent ×3")
