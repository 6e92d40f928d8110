# SPDX-License-Identifier: Apache-2.0
"""What a report shows, at the widths that terminals have, and its rows as JSON."""

import json
import time
from ipaddress import ip_address

import pytest

from tests import golden
from tests.logs import format_1
from tests.samples import event, flow
from tests.test_answer import CRON, DNS, JAVA, V6, WIDE
from tracer.cli.report import command
from tracer.errors import UsageError
from tracer.filter.filters import NO_FILTERS
from tracer.host import resolver
from tracer.model.fields import Rendering
from tracer.model.flow import Endpoint, EventKind
from tracer.printable import width
from tracer.report import activity, groups
from tracer.report.group import ORDERS
from tracer.report.groups import summarize
from tracer.report.keys import DEFAULT_KEYS, KEYS
from tracer.report.names import names_of
from tracer.report.render import lines, render
from tracer.report.times import Period, Timeline
from tracer.report.view import View

pytestmark = pytest.mark.usefixtures("utc")

MINUTE = 60
EVER = Period("", "")
HOSTS = ("10.0.0.53", "fe80::5%eth0", str(V6.addr))


def at(second):
    return f"2026-11-24T{10 + second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.000000000Z"


def line(second, a_flow, size=10, count=1, names=None, **more):
    rendering = Rendering("", lambda start: at(0)[:20] + f"{start:09}Z", names)
    return format_1(
        a_flow, rendering, event(count=count, bytes=size, **more), at(second), at(second)
    )


def every_minute(number):
    """That many short processes, each with one query."""
    cron = CRON._replace(cgroup="/system.slice/cron.service")
    for which in range(number):
        args = (*CRON.args[:3], f"db{which}")
        one = cron._replace(pid=1000 + which, start_time=which + 1, args=args)
        yield line(which * MINUTE, flow(process=one, dst=DNS), 40)


def moved(second, sent, received):
    volume = flow(process=JAVA, dst=V6, proto="tcp", kind=EventKind.VOLUME)
    return line(second, volume, sent, 0, received=received)


def all_kinds():
    """Lines of long names, wide letters, IPv6, a device, and of what a connection has moved."""
    yield from every_minute(120)
    yield from (moved(which * 600, 5_500_000, 123_456) for which in range(9))
    yield line(7, flow(process=WIDE, dst=DNS), 80, 2)
    for port in range(500):
        end = Endpoint(ip_address("10.0.0.1"), 40_000 + port)
        yield line(3000 + port, flow(process=None, interface="wg0", src=end, dst=V6), 99_999, 25)


@pytest.fixture
def summed(tmp_path):
    def of(content, keys=DEFAULT_KEYS, order=ORDERS[0], period=EVER):
        log = tmp_path / "log"
        log.write_text("".join(content))
        found = summarize([log], keys, NO_FILTERS, period, lambda _: None, order=order)
        assert found.damaged == 0
        return found

    return of


def rows(found, keys=DEFAULT_KEYS, **more):
    return list(map(json.loads, lines(found, View(keys, **more)).splitlines()))


TABLES = {"role": DEFAULT_KEYS, "process": ("process", "dst"), "parent": ("parent", "args", "port")}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("room", [80, 100, 200, None])
def test_a_report_at_each_width(summed, room, name):
    keys = TABLES[name]
    text = render(summed(all_kinds(), keys, "bytes"), View(keys, top=4), room)
    assert max(map(width, text.splitlines())) <= (room or 10_000)
    assert golden.same(text, f"report-{name}-{room or 'file'}.txt")


def test_a_hundred_and_twenty_short_processes_are_one_row(summed):
    (row,) = rows(summed(every_minute(120)))
    assert row == {
        "who": "python3 query.py --host … ← cronjob.sh [cron.service]",
        "role": {
            "program": "/usr/bin/python3.11",
            "script": "/opt/query.py",
            "parent": "cronjob.sh",
            "place": "cron.service",
            "user": "root",
        },
        "dst": "10.0.0.53",
        "processes": 120,
        "count": 120,
        "bytes": 4800,
        "bytes_received": None,
        "first": at(0),
        "last": at(119 * MINUTE),
    }


def test_only_processes_of_the_period_are_counted(summed):
    (row,) = rows(summed(every_minute(120), period=Period(at(60 * MINUTE), "")))
    assert (row["processes"], row["count"]) == (60, 60)


def test_a_process_counts_once_however_often_it_is_merged(summed, monkeypatch):
    monkeypatch.setattr(groups, "_MAX_PARTS", 3)
    (row,) = rows(summed([*every_minute(20), *every_minute(20), *every_minute(5)]))
    assert (row["processes"], row["count"], row["bytes"]) == (20, 45, 1800)
    assert (row["first"], row["last"]) == (at(0), at(19 * MINUTE))


def test_too_many_processes_are_not_counted(summed, monkeypatch):
    monkeypatch.setattr(groups, "_MAX_PROCESSES", 9)
    found = summed(every_minute(20))
    assert [(row["processes"], row["count"]) for row in rows(found)] == [(None, 20)]
    assert render(found, View(DEFAULT_KEYS), 100).splitlines()[1].split()[0] == "×?"


def test_a_log_of_before_scripts_and_parents(summed):
    (text,) = every_minute(1)
    old = json.loads(text)
    del old["process"]["parents"], old["process"]["args"], old["process"]["container"]
    (row,) = rows(summed([json.dumps(old, separators=(",", ":")) + "\n"]))
    assert row["who"] == "python3.11 [cron.service]"
    assert (row["role"]["script"], row["role"]["parent"]) == (None, None)


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("args", [None, ["curl", "a b"]]),
        ("parent", [None, "cronjob.sh"]),
        ("proto", ["tcp", "udp"]),
        ("port", [53, 443]),
        ("name", [None, "db.example"]),
    ],
)
def test_by_other_keys(summed, key, values):
    curl = CRON._replace(args=("curl", "a b"))
    named = line(0, flow(process=curl, dst=DNS), names=lambda _: "db.example")
    tcp = line(1, flow(process=None, dst=V6, proto="tcp"), names=lambda _: None)
    found = rows(summed([named, tcp, named], (key,)), (key,))
    assert sorted((row[key] for row in found), key=str) == sorted(values, key=str)
    assert [row["count"] for row in found] == [2, 1]


def test_protocols_differ_though_all_else_is_the_same(summed):
    """The reader remembers how lines end, and the protocol stands at their beginning."""
    content = [line(0, flow(proto=proto)) for proto in ("udp", "udplite", "udp")]
    found = rows(summed(content, ("proto",)), ("proto",))
    assert [(row["proto"], row["count"]) for row in found] == [("udp", 2), ("udplite", 1)]


@pytest.mark.parametrize(
    ("order", "first"),
    [("events", "[wg0]"), ("bytes", "[wg0]"), ("received", "java"), ("last", "python3")],
)
def test_the_order(summed, order, first):
    content = [*all_kinds(), line(9, flow(process=None, interface="wg0", dst=V6), 10**9)]
    found = rows(summed(content, order=order), top=1)
    assert found[0]["who"].startswith(first)
    assert found[1]["others"] == 3


def test_the_others_are_one_row(summed):
    found = summed(all_kinds(), order="bytes")
    _, others = rows(found, top=1)
    assert others == {
        "others": 3,
        "count": 122,
        "bytes": 9 * 5_500_000 + 120 * 40 + 80,
        "bytes_received": 9 * 123_456,
        "first": at(0),
        "last": at(119 * MINUTE),
    }
    assert len(rows(found, top=4)) == 4
    last = render(found, View(DEFAULT_KEYS, top=1), 80).splitlines()[-1]
    assert last == "… and 3 more: 122 events, 49.5M bytes sent, 1.1M received"


def test_the_other_one_did_one_thing(summed):
    found = summed([line(0, flow(process=CRON), count=3), line(1, flow(process=WIDE), 40)])
    last = render(found, View(DEFAULT_KEYS, top=1), 80).splitlines()[-1]
    assert last == "… and 1 more: 1 event, 40 bytes sent"


def test_activity_is_of_what_is_ordered_by(summed):
    """A connection's volume is no event."""
    by_bytes = render(summed([moved(0, 10, 20)], order="bytes"), View(DEFAULT_KEYS), 200)
    by_events = render(summed([moved(0, 10, 20)]), View(DEFAULT_KEYS), 200)
    assert "█" * 24 in by_bytes.splitlines()[1]
    assert not set("▁▂▃▄▅▆▇█") & set(by_events.splitlines()[1])


def test_names_of_destinations(summed, monkeypatch):
    known = {"10.0.0.53": "dns.example", "fe80::5": "router.example"}
    monkeypatch.setattr(resolver, "_look_up", known.get)
    link = Endpoint(ip_address("fe80::5"), 53, "eth0")
    content = [line(0, flow(dst=end)) for end in (DNS, link, V6)]
    found = summed(content)
    assert {row["dst"]: row["dst_name"] for row in rows(found, names=names_of(HOSTS))} == {
        "10.0.0.53": "dns.example", "fe80::5%eth0": "router.example", str(V6.addr): None,
    }  # fmt: skip
    text = render(found, View(DEFAULT_KEYS, names=names_of(HOSTS)), 200)
    assert [row.split()[5] for row in text.splitlines()[1:]] == [
        "dns.example", "router.example", "2001:db8:1111:2222:3333:4444:5555:6666"
    ]  # fmt: skip
    assert "dst_name" not in rows(found)[0]


def test_names_need_destinations(tmp_path):
    with pytest.raises(UsageError, match="add --by dst"):
        command.main(["-r", "--by", "user", str(tmp_path / "log")], standalone_mode=False)


def timeline_of(*seconds):
    found = Timeline(EVER)
    for second in seconds:
        start = b'{"time":"%b' % as_logged(second)[:20].encode()
        found.place_of(start, as_logged(second).encode())
    return found


def as_logged(second):
    return time.strftime("%Y-%m-%dT%H:%M:%S.000000000Z", time.gmtime(1_795_514_400 + second))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ((0,), "10:00:00────────10:00:01"),
        ((0, 9), "10:00:00────10:00:10"),
        ((0, 7200), "09:59─────12:07"),
        ((0, 1430), "09:59── ACTIVITY ─10:24"),
        ((0, 10 * 3600), "09:59────────20:13"),
        ((0, 20 * 86_400), "11-23 08:57─12-14 14:41"),
        ((0, 400 * 86_400), "2026-11-20─2028-01-06"),
        ((), "ACTIVITY"),
    ],
)
def test_the_axis(seconds, expected):
    assert activity.axis(timeline_of(*seconds)) == expected


def test_each_key_may_be_asked_for_with_each_other(summed):
    content = list(all_kinds())[::7]
    for one in KEYS:
        for other in KEYS:
            found = summed(content[:20], (one, other, one))
            text = render(found, View((one, other, one)), 80)
            assert text.count("\n") == len(found.groups) + 1
            assert max(map(width, text.splitlines())) <= 80
