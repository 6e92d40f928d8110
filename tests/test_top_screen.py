# SPDX-License-Identifier: Apache-2.0
"""The screens of ``sockwatch top``, at the sizes that terminals have."""

from ipaddress import ip_address

import pytest

from tests import golden
from tests.samples import event, flow, process
from tests.test_answer import CRON, JAVA, V6, WIDE, Clock
from tests.test_top_rows import measured
from tracer.model.flow import Endpoint, Route, SocketDetails
from tracer.printable import width
from tracer.top.details import details
from tracer.top.keys import Page, State
from tracer.top.rows import By, Rows, Sort
from tracer.top.screen import HELP, Style, View, frame, room

SIZES = [(80, 24), (200, 50)]
NUMBERS = {
    "seen": 15_825, "matched": 9, "existing": 3, "undecided": 0, "coalesced": 5, "unfinished": 0,
    "skipped": 0, "lost": 0, "processes_lost": 0, "unread": 0, "unfollowed": 0, "received_lost": 0,
    "kernel_replies": 0,
}  # fmt: skip
DNS = flow(
    dst=Endpoint(ip_address("10.0.0.53"), 53),
    route=Route("eth0", ip_address("10.0.0.1"), ip_address("10.0.0.2")),
    details=SocketDetails(77, "ESTAB", 0, "/system.slice/cron.service", None),
)


def rows_of():
    rows = Rows(lambda one: one.pid != WIDE.pid)
    rows.write([
        measured(flow(process=JAVA, proto="tcp", dst=V6), bytes=5_300_000, received=1_200_000),
        event(flow(process=WIDE)),
        event(flow(process=None, interface="wg0", dst=V6), bytes=12),
    ])  # fmt: skip
    rows.end_interval(1.0)
    rows.write([
        measured(DNS._replace(process=CRON._replace(pid=1000 + n, start_time=n)), bytes=40)
        for n in range(120)
    ])  # fmt: skip
    rows.write([measured(flow(process=JAVA, proto="tcp", dst=V6), bytes=70_000, received=900)])
    rows.write([measured(flow(process=JAVA, dst=DNS.dst), bytes=1, received=9)])
    rows.end_interval(1.0)
    return rows


def view(state=None, rows=None, **changes):
    state, rows = state or State(), rows or rows_of()
    found = rows.grouped(state.by, state.sort, None)
    known = {"title": "sockwatch top: everything by fexit, for 0:02", "numbers": NUMBERS}
    return View(**{**known, **changes}, state=state, rows=found)


def text(lines):
    return "".join(f"{line.text.rstrip()}\n" for line in lines)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("by", list(By))
def test_screen(by, size):
    lines = frame(view(State(by=by)), *size)
    assert len(lines) == size[1]
    assert max(width(line.text) for line in lines) <= size[0]
    assert golden.same(text(lines), f"top-{by.value}-{size[0]}.txt")


@pytest.mark.parametrize("size", SIZES)
def test_details(size):
    (row,) = (one for one in view().rows if one.processes and one.processes[0].comm == "java")
    shown = details(row, Clock(), size[0])
    assert max(map(width, shown)) <= size[0]
    assert golden.same("".join(f"{line}\n" for line in shown), f"top-details-{size[0]}.txt")


def test_details_of_many_processes_are_cut_off():
    (row,) = (one for one in view().rows if len(one.processes) == 120)
    shown = details(row, Clock(), 100)
    assert shown[0] == "python3 query.py --host db ← cronjob.sh [cron.service]"
    assert shown[1].startswith("120 events, 4,800 bytes sent, 0 received, ")
    assert shown[-1] == "  … and 70 more processes"
    assert "    route       eth0 via 10.0.0.1 from 10.0.0.2" in shown
    assert any("ESTAB, inode 77" in line for line in shown)


@pytest.mark.parametrize(("columns", "lines"), [(1, 1), (20, 5), (40, 8), (80, 6)])
@pytest.mark.parametrize("page", list(Page))
def test_a_small_terminal_is_not_overrun(columns, lines, page):
    found = frame(view(State(page=page), text=HELP), columns, lines)
    assert len(found) == lines
    assert max(width(line.text) for line in found) <= columns


def test_marks_and_styles():
    lines = frame(view(), 200, 50)
    styles = {line.text.lstrip("+- ").split()[0]: line.style for line in lines if line.text}
    assert styles["×120"] is Style.BOLD
    assert styles["99"] is Style.PLAIN
    (gone,) = (line for line in lines if "文書" in line.text)
    assert (gone.style, gone.text[0]) == (Style.DIM, "-")
    selected = view().rows[1].key
    assert frame(view(State(selected=selected)), 200, 50)[5].style is Style.REVERSE


def test_the_chosen_row_is_always_on_the_screen():
    rows = Rows(lambda _: True)
    rows.write([event(flow(process=process(exe=f"/bin/p{n}"))) for n in range(60)])
    state = State()
    keys = [row.key for row in rows.grouped(By.PROGRAM, Sort.SENT, None)]
    for key in keys:
        lines = frame(view(state._replace(selected=key), rows), 80, 24)
        assert sum(line.style is Style.REVERSE for line in lines) == 1
    assert room(state, 24) == 19


def test_what_was_missed_is_in_the_header():
    for changes, shown in (
        ({}, "missed 0, unread 0, 15,825 events looked at"),
        ({"lost": 7, "skipped": 1}, "missed 8 (events lost 7, hook busy 1), unread 0, "),
        ({"unread": 3, "undecided": 2}, "missed 0, unread 3, "),
        ({"undecided": 2}, "events looked at; could not tell whose 2"),
        ({"skipped": None}, "missed unknown (hook busy unknown), unread 0, "),
    ):
        line = frame(view(numbers={**NUMBERS, **changes}), 200, 50)[1]
        assert shown in line.text
        is_loss = {"lost", "unread", "skipped"} & set(changes)
        assert line.style is (Style.REVERSE if is_loss else Style.PLAIN)


def test_the_last_line():
    assert frame(view(), 80, 24)[-1].text.startswith("a group")
    assert frame(view(message="not so: \x1b[2J"), 80, 24)[-1].text == r"not so: \x1b[2J"
    typed = "x" * 100 + "end"
    assert frame(view(State(typed=typed), message="a"), 80, 24)[-1].text.endswith("xend_")


def test_filter_and_pause_are_said():
    line = frame(view(State(filter="--dst 10.0.0.5", paused=True)), 200, 50)[2].text
    assert line.endswith("; only --dst 10.0.0.5; PAUSED")


def test_the_help_is_not_cut_on_80_columns():
    assert max(map(width, HELP)) <= 80
    assert len(HELP) <= room(State(page=Page.HELP), 24)


def test_a_text_is_scrolled():
    shown = frame(view(State(page=Page.HELP, scrolled=2), text=HELP), 80, 10)
    assert [line.text for line in shown[3:9]] == list(HELP[2:8])


def test_a_text_that_has_become_shorter_stays_on_the_screen():
    """A row's processes end, or the terminal grows."""
    shown = frame(view(State(page=Page.DETAILS, scrolled=90), text=HELP[:10]), 80, 10)
    assert [line.text for line in shown[3:9]] == list(HELP[4:10])
    shown = frame(view(State(page=Page.DETAILS, scrolled=90), text=HELP[:2]), 80, 10)
    assert [line.text for line in shown[3:5]] == list(HELP[:2])
