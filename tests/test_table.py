# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
from ipaddress import ip_address
from types import SimpleNamespace

import pytest

from tests import golden
from tests.samples import flow, process
from tracer.clock import WallClock
from tracer.live.table import Table
from tracer.model.flow import Endpoint, EventKind, Nat, Via
from tracer.model.process import Parent
from tracer.output.terminal import fit, fit_middle
from tracer.printable import width
from tracer.trace import answer
from tracer.trace.event import Event, TrackedFlow
from tracer.trace.options import Console
from tracer.trace.totals import Total

V6 = Endpoint(ip_address("2001:db8:1111:2222:3333:4444:5555:6666"), 65535)
SECOND = 10**9


def console_of(out):
    """Where nothing else is written; what is to be called is in the two lists."""
    checks, ends = [], []
    messages = SimpleNamespace(taken=0)
    console = Console(
        out, messages, Clock(), None, None, checks.append, lambda *end: ends.append(end)
    )
    return console, checks, ends


class Clock:
    def local(self, time):
        return f"10:00:{time // SECOND:02}.{time // 1_000_000 % 1000:03}"


class Output(list):
    lost = 0

    def write(self, text):
        self.extend(text.splitlines())


def table_of(*events, columns=100, color=False):
    out = Output()
    Table(console_of(out)[0], columns=columns, color=color, header=True).write(events)
    return out


def tracked(a_flow):
    return TrackedFlow(a_flow, Total(a_flow.process, a_flow.sender, "udp", a_flow.dst, 0, 0))


def event(a_flow, size=42, error=0, time=0, count=1):
    return Event(time, time, count, size, 0, 0, 1, error, tracked(a_flow))


WIDEST = process(
    pid=4194304,
    exe="/usr/bin/python3.11",
    args=("python3", "/opt/query.py", "--host", "a" * 40),
    parents=(Parent(7, "sh", "/bin/dash", script="/etc/cron.d/cronjob.sh"),),
    units=("cron.service",),
    user="systemd-timesync",
)
KINDS = (
    event(flow(process=WIDEST, src=V6, dst=V6), 99_999_999),
    event(flow(process=WIDEST, src=V6, dst=V6), error=111, count=37),
    event(flow(process=process(exe="/opt/文書", args=("文書", "文書"), user="文書")), 0),
    event(flow(process=None, via=Via.KERNEL, interface="wg0", proto="ipv6-icmp"), 5),
    event(flow(kind=EventKind.RECEIVE), count=12_345),
)


@pytest.mark.parametrize("columns", [80, 100, 200, None])
def test_the_table_at_each_width(columns):
    lines = table_of(*KINDS, columns=columns)
    assert max(map(width, lines)) <= (columns or 1000)
    assert golden.same("".join(f"{line}\n" for line in lines), f"live-{columns or 'file'}.txt")


@pytest.mark.parametrize("columns", [1, 20, 40, 79])
def test_no_line_wraps_on_a_small_terminal(columns):
    assert max(map(width, table_of(*KINDS, columns=columns))) <= columns


@pytest.mark.parametrize("columns", range(80, 260, 7))
def test_no_line_wraps(columns):
    lines = table_of(*KINDS, columns=columns)
    assert max(map(width, lines)) <= columns
    header, row, *_ = lines
    assert header.index("BYTES") + 1 == row.index("100M")


def test_what_differs_in_local_ports_is_one_line_of_a_summary():
    out = Output()
    table = Table(console_of(out)[0], columns=None, color=False, header=False, merges=True)
    ports = (Endpoint(ip_address("10.0.0.1"), port) for port in range(40_000, 40_500))
    table.write([*(event(flow(src=src), 2) for src in ports), event(flow(proto="tcp"))])
    (udp, tcp) = out
    assert udp.split()[-5:] == ["10.0.0.1:…", "10.0.0.5:53", "1000", "sent", "×500"]
    assert tcp.split()[-2:] == ["42", "sent"]


def test_ipv4_is_whole_in_eighty_columns():
    longest = Endpoint(ip_address("192.168.100.200"), 65535)
    refused = event(flow(dst=longest, kind=EventKind.CONNECT_FAILED), error=111)
    header, row = table_of(refused, columns=80)
    assert header.split() == ["TIME", "PID", "WHO", "PROTO", "REMOTE", "BYTES", "RESULT"]
    assert row.split()[-3:] == [str(longest), "-", "ECONNREFUSED"]


def test_what_has_no_ports_is_shown_without():
    no_port = Endpoint(ip_address("fd00::5"), None)
    ping = event(flow(proto="ipv6-icmp", src=no_port, dst=no_port))
    assert table_of(ping, columns=None)[1].split()[-5:-2] == ["ipv6-icmp", "fd00::5", "fd00::5"]
    assert " fd00::5 " in answer.render([Total(None, "a", "253", no_port, 0, 0)], WallClock())
    unbound = table_of(event(flow(proto="tcp", src=no_port)), columns=None)[1]
    assert " [fd00::5]:* " in unbound


def test_failures_are_red_on_a_terminal_only():
    assert table_of(event(flow(), error=111), color=True)[1].startswith("\x1b[31m")
    assert "\x1b" not in table_of(event(flow(), error=111))[1]


def test_what_nobody_sent():
    (_, row) = table_of(event(flow(process=None, via=Via.KERNEL, interface="wg0")))
    assert "[wg0]" in row


def test_fit():
    assert fit("abc", 3) == "abc"
    assert fit("abcd", 3) == "ab…"
    assert fit_middle("[2001:db8::1]:65535", 19) == "[2001:db8::1]:65535"
    shortened = fit_middle("[2001:db8:1111:2222::1]:65535", 15)
    assert len(shortened) == 15
    assert shortened.endswith(":65535")


def test_answer_has_a_row_for_each_total():
    totals = [
        Total(process(), "dig", "udp", V6, 3, 6, 9, 90),
        Total(None, "[wg0]", "udp", V6, 1, 2, 5, 50),
    ]
    _, first, second = answer.render(totals, WallClock()).splitlines()
    assert first.split()[:8] == ["4321", "dig", "@10.0.0.5", "x", "ann", "udp", str(V6), "9"]
    assert second.split()[:8] == ["-", "[wg0]", "-", "udp", str(V6), "5", "50", "?"]


def test_what_nat_made_of_a_destination_stands_behind_it():
    dst, wire = Endpoint(ip_address("10.0.0.5"), 53), Endpoint(ip_address("10.0.0.9"), 5353)
    (_, row) = table_of(event(flow(dst=dst, nat=Nat(None, wire))), columns=200)
    assert "10.0.0.5:53 → 10.0.0.9:5353" in row
    total = Total(None, "a", "udp", dst, 0, 0)
    for seen, shown in (
        (None, "10.0.0.5:53 "),
        (wire, "10.0.0.5:53 → 10.0.0.9:5353 "),
        (None, "10.0.0.5:53 → 10.0.0.9:5353 "),
        (wire._replace(port=1), "10.0.0.5:53 → 10.0.0.9:1, … "),
    ):
        total.note_nat(seen)
        assert f" {shown}" in answer.render([total], WallClock())


def test_no_answer_for_nothing():
    assert answer.render([], WallClock()) == ""


def test_a_zone_is_shown_behind_its_address_and_cannot_write_on_the_terminal():
    dst = Endpoint(ip_address("fe80::99"), 53, "d\x1b[2J")
    shown = table_of(event(flow(dst=dst._replace(zone="d0"))), columns=None)[1]
    assert " [fe80::99%d0]:53 " in shown
    total = Total(None, "a", "udp", dst, 0, 0)
    for text in (table_of(event(flow(dst=dst)))[1], answer.render([total], WallClock())):
        assert "fe80::99%" in text
        assert "\x1b" not in text


def test_what_an_open_connection_moved():
    moved = Event(0, 0, 0, 5_500_000, 24_000, 0, 0, -1, tracked(flow(kind=EventKind.VOLUME)))
    assert table_of(moved)[1].split()[-3:] == ["5.5M", "recv", "24.0k"]


@pytest.mark.parametrize(("columns", "result"), [(80, "closed"), (200, "closed, recv 24.0k")])
def test_what_a_connection_has_received_at_its_end(columns, result):
    closed = replace(event(flow(kind=EventKind.CLOSE, proto="tcp")), received=24_000)
    assert table_of(closed, columns=columns)[1].endswith(f" {result}")
