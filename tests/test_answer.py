# SPDX-License-Identifier: Apache-2.0
"""The answer, at the widths that terminals have."""

import json
from ipaddress import ip_address

import pytest

from tests import golden
from tests.samples import process
from tracer.model.flow import Endpoint
from tracer.model.process import Container, Parent
from tracer.printable import width
from tracer.trace import answer
from tracer.trace.totals import Total, by_role

SECOND = 10**9
DNS = Endpoint(ip_address("10.0.0.53"), 53)
V6 = Endpoint(ip_address("2001:db8:1111:2222:3333:4444:5555:6666"), 443)
CRON = process(
    comm="query.py",
    exe="/usr/bin/python3.11",
    args=("python3", "/opt/query.py", "--host", "db"),
    user="root",
    parents=(Parent(4200, "sh", "/usr/bin/dash", script="/etc/cron.d/cronjob.sh"),),
    units=("cron.service",),
)
CONTAINER = Container("0123456789abcdef" * 4, "docker", None)
JAVA = process(
    pid=99,
    comm="java",
    exe="/usr/lib/jvm/bin/java",
    args=("java", "-Xmx8g", "-cp", "a" * 300, "com.example.Main", "--verbose"),
    user="systemd-timesync",
    container=CONTAINER,
)
WIDE = process(pid=7, comm="文書", exe="/opt/文書/文書", args=("文書", "文書 文書"), user="文書")


class Clock:
    """Shows seconds."""

    def local(self, time):
        return f"10:{time // SECOND // 60:02}:{time // SECOND % 60:02}.000"

    def iso(self, time):
        return f"2026-01-01T{self.local(time)}000000Z"


def every_minute(number):
    """That many short processes, each with one query."""
    for at in range(number):
        one = CRON._replace(pid=1000 + at, start_time=at, args=(*CRON.args[:3], f"db{at}"))
        total = Total(one, "query.py", "udp", DNS, 0, 0)
        total.first = total.last = at * 60 * SECOND
        total.count, total.bytes, total.received = 1, 40, 120
        total.beats = [total.first]
        yield total


def all_kinds():
    """Totals with long names, wide letters, IPv6, a device, and what is not known."""
    yield from every_minute(50)
    yield Total(JAVA, "java", "tcp", V6, 0, 9 * SECOND, 3, 5_500_000, 123_456_789)
    yield Total(WIDE, "文書", "udp", DNS, 0, 0, 2, 80, None)
    yield Total(None, "[wg0]", "udp", V6, 0, 0, 12_345, 9_999_999_999, 0)


@pytest.mark.parametrize("by_pid", [False, True])
@pytest.mark.parametrize("room", [80, 100, 200, None])
def test_the_answer_at_each_width(room, by_pid):
    totals = [*all_kinds()][47:] if by_pid else all_kinds()
    text = answer.render(totals, Clock(), by_pid=by_pid, room=room)
    assert max(map(width, text.splitlines())) <= (room or 10_000)
    assert golden.same(text, f"answer-{room or 'file'}{'-by-pid' * by_pid}.txt")


def test_a_hundred_and_twenty_short_processes_are_one_row():
    (row,) = by_role(every_minute(120))
    assert (row.count, row.bytes, row.received, row.processes) == (120, 4800, 14400, 120)
    _, line = answer.render([row], Clock(), room=200).splitlines()
    assert line.split()[0] == "×120"
    assert line.endswith("every 60 s")
    assert "python3 query.py --host … ← cronjob.sh [cron.service]" in line


def test_as_json():
    wire, *_ = map(json.loads, answer.as_json(all_kinds(), Clock()).splitlines())
    assert (wire["process"], wire["processes"], wire["who"]) == (None, None, "[wg0]")
    by_pid = [*map(json.loads, answer.as_json(all_kinds(), Clock(), by_pid=True).splitlines())]
    assert len(by_pid) == 53
    (one,) = [row for row in by_pid if row["process"] and row["process"]["pid"] == 99]
    assert one["dst"] == {"addr": str(V6.addr), "port": 443, "zone": None}
    assert (one["bytes"], one["bytes_received"], one["rhythm"]) == (5_500_000, 123_456_789, None)
    (row,) = map(json.loads, answer.as_json(every_minute(9), Clock()).splitlines())
    assert (row["process"], row["processes"], row["rhythm"]) == (None, 9, "every 60 s")
    assert row["who"] == "python3 query.py --host … ← cronjob.sh [cron.service]"


def test_those_merged_for_lack_of_room_are_about_so_many():
    one, two = every_minute(2)
    one.forgotten = 1
    _, line = answer.render([one, two], Clock()).splitlines()
    assert line.split()[0] == "×~3"


def test_a_process_that_has_renamed_itself_is_one():
    """Its totals are apart, by its names."""
    one, other = (Total(process(comm=name), name, "udp", DNS, 0, 0, 1) for name in ("a", "b"))
    third = Total(process(comm="c", pid=9), "c", "udp", DNS, 0, 0, 1)
    (row,) = by_role([one, third, other])
    assert (row.processes, row.is_about, row.count) == (2, False, 3)
    (row,) = by_role([one, other])
    assert row.processes == 1


def test_many_rows_are_cut_off():
    totals = [Total(process(exe=f"/bin/{n}"), "a", "udp", DNS, 0, 0, 1) for n in range(60)]
    lines = answer.render(totals, Clock()).splitlines()
    assert len(lines) == 52
    assert lines[-1] == "… and 10 more, all of them in the log"
    assert answer.render([], Clock()) == ""
