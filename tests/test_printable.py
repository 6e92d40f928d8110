# SPDX-License-Identifier: Apache-2.0
"""Whatever another user names a thing: what is shown is one line, in its place, and can be read
back; in each table and each message."""

import json
import re
import sys
import unicodedata
from ipaddress import ip_address

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.samples import SOCKET, event, flow, process
from tracer import printable, warn
from tracer.clock import WallClock
from tracer.live.table import Table
from tracer.model.flow import Endpoint, Via
from tracer.model.process import Holder
from tracer.model.socket import Held, Listed
from tracer.output.jsonl import to_json
from tracer.output.terminal import cell, fit, fit_middle
from tracer.printable import safe, width
from tracer.report import render as report
from tracer.report.group import Group
from tracer.report.groups import Report
from tracer.report.keys import Sender, Shape
from tracer.report.runs import Runs
from tracer.report.times import Period, Timeline
from tracer.report.view import View
from tracer.sockets.table import SocketTable
from tracer.trace import answer
from tracer.trace.options import Console
from tracer.trace.totals import Total

HOSTILE = "\x1b[2J\u202ea\nb\u200b\u3164e\u0301\x9b\udcff"
SHOWN = r"\x1b[2J\u202ea\nb\u200b\u3164e\u0301\x9b\udcff"
_ESCAPE = re.compile(r"\\(\\|n|r|t|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")


def read_back(shown):
    """What a reader makes of it who knows Python's escapes, for what is never shown itself."""

    def character(found):
        if found[1] == "\\":
            return "\\"
        meant = found[0].encode().decode("unicode_escape")
        return meant if safe(meant) != meant else found[0]

    return _ESCAPE.sub(character, shown)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("nginx: worker", "nginx: worker"),
        ("naïve", "naïve"),
        ("日本語 🚀 Ελλάδα", "日本語 🚀 Ελλάδα"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b2J\x7f", r"\x9b2J\x7f"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\u2066a\u2069\u200f\u061c", r"\u2066a\u2069\u200f\u061c"),
        ("שלום 5", r"\u05e9\u05dc\u05d5\u05dd 5"),
        ("ro\u200bot", r"ro\u200bot"),
        ("e\u0301", r"e\u0301"),
        ("a\u0903", r"a\u0903"),
        ("\u115f\u1160\u3164\uffa0\u2800", r"\u115f\u1160\u3164\uffa0\u2800"),
        ("\u3000\xa0\xad", r"\u3000\xa0\xad"),
        ("\U000e0041", r"\U000e0041"),
        ("\udcff", r"\udcff"),
        (r"dev-disk-by\x2duuid.device", r"dev-disk-by\x2duuid.device"),
        (r"\x1b[31m", r"\\x1b[31m"),
        ("\\\x1b", r"\\\x1b"),
        (r"C:\new", r"C:\\new"),
    ],
)
def test_safe(raw, shown):
    assert safe(raw) == shown
    assert read_back(shown) == raw


@settings(deadline=None)
@given(st.text(st.one_of(st.characters(), st.sampled_from("\\xu01bnrt\x1b"))))
@example("\\\\x1b")
@example("\\" * 3 + "\x1b")
def test_it_can_be_read_back(raw):
    assert read_back(safe(raw)) == raw


def test_every_character_shows_in_its_own_columns():
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        shown = safe(character)
        if shown != character:
            assert shown.isascii()
            assert shown.isprintable()
        else:
            assert character.isprintable()
            assert not unicodedata.category(character).startswith("M")
            assert unicodedata.bidirectional(character) not in ("R", "AL", "AN", "RLE", "RLO")
            assert width(character) in (1, 2)


def assert_safe(text, times=1):
    """And has the hostile text so many times."""
    assert all(safe(character) == character for character in text.replace("\n", ""))
    assert text.count(SHOWN) == times


class Output(list):
    def write(self, text):
        self.append(text)


HOSTILE_PROCESS = process(comm=HOSTILE, exe=HOSTILE, user=HOSTILE)


def test_the_live_table():
    out = Output()
    console = Console(out, None, WallClock(), None, None, None, None)
    table = Table(console, columns=1000, color=False, header=False)
    sent = flow(process=HOSTILE_PROCESS)
    device = flow(process=None, via=Via.KERNEL, interface=HOSTILE)
    table.write([event(sent)])
    table.write([event(device)])
    (first, second) = out
    assert r"\x1b[2J\u202e" in first
    assert r"[\x1b[2J\u202e" in second
    assert_safe(first + second, times=2)


def test_the_answer():
    total = Total(HOSTILE_PROCESS, HOSTILE, "udp", flow().dst, 1, 1, 1, 1)
    text = answer.render([total], WallClock())
    assert_safe(text, times=2)
    assert text.count("\n") == 2


def test_sockets():
    out = Output()
    table = SocketTable(
        out.append, header=True, numbers=True, user_of=lambda _: HOSTILE, name_of=lambda _: HOSTILE
    )
    extra = {"interface": HOSTILE, "reachable": [{"addr": "10.0.0.1", "interface": HOSTILE}]}
    rows = [(table.row(Listed(SOCKET, extra)), (Held(Holder(7, HOSTILE, None), 3),))]
    table.write(rows)
    text = "".join(out)
    assert_safe(text, times=6)
    assert text.count("\n") == 2


@pytest.mark.parametrize("columns", [None, 400])
@pytest.mark.parametrize("key", ["process", "unit"])
def test_a_report(key, columns):
    hostile = process(comm=HOSTILE, exe=None, args=None, user=HOSTILE)
    group = Group({key: HOSTILE})
    group.name(Shape(flow(process=hostile), Sender(hostile, None)))
    group.first = group.last = b"2026-11-24T01:31:46.855381454Z"
    timeline = Timeline(Period("", ""))
    timeline.place_of(b'{"time":"' + group.first, group.first)
    text = report.render(Report([group], timeline, 1, 0, Runs(), 0, []), View([key]), columns)
    assert_safe(text, times=3 if key == "process" else 1)
    assert text.count("\n") == 2


def test_a_message(capsys):
    warn.warn(f"no such unit '{HOSTILE}'")
    assert capsys.readouterr().err == f"sockwatch: no such unit '{SHOWN}'\n"


def test_wide_letters_take_two_columns():
    names = ["curl", "日本語", "naïve"]
    totals = [
        Total(process(comm=name), name, "udp", Endpoint(ip_address("10.0.0.5"), 53), 1, 1)
        for name in names
    ]
    header, *lines = answer.render(totals, WallClock(), by_pid=True).splitlines()
    place = header.index("WHO")
    assert [width(line.partition("dig")[0]) for line in lines] == [place] * 3


@pytest.mark.parametrize("cut", [fit, fit_middle])
def test_a_wide_letter_is_not_halved(cut):
    for columns in range(2, 20):
        text = cell("日本語のプロセス", columns, cut)
        assert width(text) == columns
        assert safe(text) == text
    assert cell("日本語", 8, cut, right=True) == "  日本語"


def test_nothing_is_looked_up_for_plain_text(monkeypatch):
    monkeypatch.setitem(sys.modules, "wcwidth", None)
    printable._columns.cache_clear()
    assert (safe("naïve"), width("naïve")) == ("naïve", 5)


@pytest.mark.parametrize("value", ["/\udcff", ["\ud800", {"\udfff": "\udcff"}], ("😀", "\udcff")])
def test_json_has_no_halves(value):
    text = to_json(value)
    assert text.isascii()
    json.dumps(json.loads(text), ensure_ascii=False).encode()  # half a pair cannot be encoded
    assert r"\\ud" in text


def test_json_is_as_it_was_otherwise():
    assert to_json({"a": ["\x1b\u202e", "😀", r"\udcff"]}) == json.dumps(
        {"a": ["\x1b\u202e", "😀", r"\udcff"]}, separators=(",", ":")
    )
