# SPDX-License-Identifier: Apache-2.0
from ipaddress import ip_address

import pytest

from tests.samples import flow, process
from tracer.clock import WallClock
from tracer.live.table import WHOLE, Table, _short, widths
from tracer.model.flow import Endpoint, EventKind, Nat, Via
from tracer.output.terminal import fit, fit_middle
from tracer.trace import answer
from tracer.trace.event import Event, TrackedFlow
from tracer.trace.totals import Total

V6 = Endpoint(ip_address("2001:db8:1111:2222:3333:4444:5555:6666"), 65535)


class Output(list):
    def write(self, text):
        self.extend(text.splitlines())


def table_of(*events, columns=100, color=False):
    out = Output()
    Table(out, WallClock(), columns=columns, color=color, header=True).write(events)
    return out


def tracked(a_flow):
    return TrackedFlow(a_flow, Total(a_flow.process, a_flow.sender, "udp", a_flow.dst, 0, 0))


def event(a_flow, size=42, error=0):
    return Event(0, 0, 1, size, 0, 0, 1, error, tracked(a_flow))


@pytest.mark.parametrize("columns", [20, 100, 120, 140, 200])
def test_rows_fit_whatever_is_in_them(columns):
    widest = flow(
        process=process(pid=4194304, comm="a" * 15, user="systemd-timesync"), src=V6, dst=V6
    )
    header, row = table_of(event(widest, 99999, 0), columns=columns)
    assert len(row) <= max(columns, 100)
    assert header.index("BYTES") == row.index("99999")
    header, row = table_of(event(widest, error=99), columns=columns)
    assert len(row) <= max(columns, 100)


def test_a_wide_terminal_shows_addresses_whole():
    comm, _, proto, local, remote = widths(WHOLE)
    assert comm >= 15
    assert proto >= len("ipv6-icmp")
    assert _short(10**5) == "97K"
    assert _short(10**15) == "909T"
    assert local >= len(str(V6))
    assert remote >= len(str(V6))


def test_ipv4_is_whole_in_a_hundred_columns():
    longest = Endpoint(ip_address("192.168.100.200"), 8080)
    assert str(longest) in table_of(event(flow(dst=longest)))[1]


def test_what_has_no_ports_is_shown_without():
    no_port = Endpoint(ip_address("fd00::5"), None)
    ping = event(flow(proto="ipv6-icmp", src=no_port, dst=no_port))
    assert table_of(ping, columns=WHOLE)[1].split()[4:7] == ["ipv6-icmp", "fd00::5", "fd00::5"]
    assert " fd00::5 " in answer.render([Total(None, "a", "253", no_port, 0, 0)], WallClock())
    unbound = table_of(event(flow(proto="tcp", src=no_port)))[1]
    assert " [fd00::5]:* " in unbound


def test_a_narrow_terminal_is_not_overrun():
    longest = Endpoint(ip_address("192.168.100.200"), 8080)
    refused = event(flow(dst=longest, kind=EventKind.CONNECT_FAILED), error=111)
    header, row = table_of(refused, columns=80)
    assert header.split() == ["TIME", "PID", "COMM", "PROTO", "REMOTE", "BYTES", "RESULT"]
    assert len(row) <= 80
    assert row.split()[-3:] == [str(longest), "-", "ECONNREFUSED"]


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
    shown = table_of(event(flow(dst=dst._replace(zone="d0"))))[1]
    assert " [fe80::99%d0]:53 " in shown
    total = Total(None, "a", "udp", dst, 0, 0)
    for text in (table_of(event(flow(dst=dst)))[1], answer.render([total], WallClock())):
        assert "fe80::99%" in text
        assert "\x1b" not in text


def test_what_an_open_connection_moved():
    moved = Event(0, 0, 0, 5_500_000, 24_000, 0, 0, -1, tracked(flow(kind=EventKind.VOLUME)))
    assert table_of(moved)[1].split()[-3:] == ["5371K", "recv", "24000"]
