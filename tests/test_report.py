# SPDX-License-Identifier: Apache-2.0
"""Reports on logs that the log's own writer made."""

import gzip
import json
import os
import socket
import subprocess
import sys
from ipaddress import ip_address

import pytest

from tests.logs import format_1
from tests.samples import event, flow, process
from tracer.cli import main, report
from tracer.cli.report import _told
from tracer.filter import parse
from tracer.filter.filters import NO_FILTERS, Filters
from tracer.model.fields import Rendering
from tracer.model.flow import Endpoint, EventKind, Moved, Nat, Neighbour, Origin, Via
from tracer.model.process import Container
from tracer.report import groups
from tracer.report import render as shown
from tracer.report.coverage import coverage, missed_in
from tracer.report.groups import summarize
from tracer.report.times import Period
from tracer.report.view import View

RENDERING = Rendering("", lambda _: "2026-11-24T00:00:00.000000000Z")
EVER = Period("", "")


def at(second):
    return f"2026-11-24T00:{second // 60:02}:{second % 60:02}.000000000Z"


def line(second, a_flow, size=10, count=1, error=0):
    return format_1(
        a_flow, RENDERING, event(count=count, bytes=size, error=error), at(second), at(second)
    )


def to(addr, **changes):
    return flow(dst=Endpoint(ip_address(addr), 53), **changes)


NGINX = process(
    pid=7, comm="nginx", exe="/usr/sbin/nginx", user="www", uid=33,
    cgroup="/system.slice/nginx.service", units=("nginx.service",),
    container=Container("ab" * 32, "docker", None),
)  # fmt: skip
LINES = [
    line(0, to("10.0.0.5")),
    line(10, to("10.0.0.5"), size=5, count=3),
    line(20, to("10.0.0.6", process=NGINX)),
    line(30, to("fd00::5", process=None)),
    line(40, to("10.0.0.5", process=NGINX, kind=EventKind.CONNECT, proto="tcp"), size=0),
    line(50, to("10.0.0.5", process=NGINX, kind=EventKind.CONNECT_FAILED, proto="tcp"), error=111),
]
MARKS = [f'{{"time":"{at(0)}","event":"{name}","version":"1"}}\n' for name in ("start", "stop")]


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log"
    path.write_text(MARKS[0] + "".join(LINES) + MARKS[1])
    return path


def rows(log, keys=("process", "dst"), filters=NO_FILTERS, period=EVER):
    found = summarize([log], keys, filters, period, lambda _: None)
    return [json.loads(text) for text in shown.lines(found, View(keys)).splitlines()]


def counts(*arguments, **more):
    return {
        tuple(
            value["pid"] if isinstance(value, dict) else value
            for name, value in row.items()
            if name not in ("who", "count", "bytes", "bytes_received", "first", "last")
        ): (row["count"], row["bytes"])
        for row in rows(*arguments, **more)
    }


def test_a_process_and_a_destination(log):
    assert counts(log) == {
        (4321, "10.0.0.5"): (4, 15),
        (7, "10.0.0.6"): (1, 10),
        (None, "fd00::5"): (1, 10),
        (7, "10.0.0.5"): (2, 10),
    }
    first = rows(log)[0]
    assert first["process"] == {
        "pid": 4321,
        "initial_pid": None,
        "start_time": "2026-11-24T00:00:00.000000000Z",
        "comm": "dig",
        "exe": "/usr/bin/dig",
        "user": "ann",
    }
    assert (first["first"], first["last"]) == (at(0), at(10))


def started(boot_id):
    return json.dumps({"time": at(0), "event": "start", "boot_id": boot_id}) + "\n"


def test_a_process_is_one_whatever_the_clock_does(tmp_path):
    """In another run, by another clock; in another boot, it is another."""
    path = tmp_path / "log"
    first = line(0, to("10.0.0.5", process=process(start_time=5 * 10**9)))
    stepped = first.replace('"start_time":"2026-11-24T00', '"start_time":"2026-11-24T01')
    assert stepped != first
    other_boot = first.replace('"start_time":"2026-11-24T00', '"start_time":"2026-11-25T00')
    parts = [started("a"), first, started("a"), stepped, started("b"), other_boot, first]
    path.write_text("".join(parts))
    found = [(row["process"]["start_time"][:13], row["count"]) for row in rows(path)]
    assert found == [("2026-11-24T00", 2), ("2026-11-25T00", 2)]


def test_processes_outside_of_the_tracers_pid_namespace(tmp_path):
    path = tmp_path / "log"
    elsewhere = [process(pid=None, initial_pid=number) for number in (70, 71)]
    path.write_text("".join(line(0, to("10.0.0.5", process=one)) for one in elsewhere))
    found = rows(path)
    assert [(row["process"]["pid"], row["process"]["initial_pid"]) for row in found] == [
        (None, 70),
        (None, 71),
    ]
    found = summarize([path], ("process",), NO_FILTERS, EVER, lambda _: None)
    text = shown.render(found, View(("process",)), 80)
    assert [row.split()[0] for row in text.splitlines()[1:]] == ["?", "?"]


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("exe", {"/usr/bin/dig": 4, "/usr/sbin/nginx": 3, None: 1}),
        ("dst", {"10.0.0.5": 6, "10.0.0.6": 1, "fd00::5": 1}),
        ("user", {"ann": 4, "www": 3, None: 1}),
        ("container", {"ab" * 32: 3, None: 5}),
        ("unit", {"nginx.service": 3, None: 5}),
    ],
)
def test_by_one_key(log, key, values):
    assert {row[0]: found[0] for row, found in counts(log, keys=(key,)).items()} == values


@pytest.mark.parametrize(
    ("filters", "number"),
    [
        ({"dst": tuple(parse.networks("10.0.0.0/24"))}, 7),
        ({"not_dst": tuple(parse.networks("10.0.0.5"))}, 2),
        ({"pid": frozenset({7})}, 3),
        ({"uid": frozenset({33})}, 3),
        ({"comm": frozenset({b"nginx"})}, 3),
        ({"dport": frozenset({54})}, 0),
        ({"proto": frozenset({"tcp"})}, 2),
        ({"proto": frozenset({"udp"})}, 6),
        ({"version": frozenset({6})}, 1),
        ({"exe": frozenset({"/usr/bin/dig"})}, 4),
        ({"unit": frozenset({"nginx.service"})}, 3),
        ({"container": frozenset({"abab"})}, 3),
        ({"cgroup": frozenset({"/system.slice"})}, 3),
        ({"failed": True}, 1),
    ],
)
def test_filters(log, filters, number):
    assert sum(found[0] for found in counts(log, filters=Filters(**filters)).values()) == number


@pytest.mark.parametrize(
    ("since", "until", "number"), [("", at(9), 1), (at(10), "", 7), (at(10), at(20), 4)]
)
def test_since_and_until(log, since, until, number):
    found = counts(log, period=Period(since, until))
    assert sum(one[0] for one in found.values()) == number


def test_damaged_lines_are_counted_and_left_out(tmp_path):
    log = tmp_path / "log"
    whole = LINES[0]
    damaged = [
        whole[:300] + "\n",
        whole[40:],
        whole.replace('"bytes":10', '"bytes":"ten"'),
        whole.replace(at(0), "yesterday-a-nonsense-time-12:0"),
        "\x00" * 100 + "\n",
        "{}\n",
        "null\n",
        "\n",
        whole.replace('"via":"socket"', '"via":"pigeon"'),
        "[" * 100_000 + "\n",
        whole.replace('"process":{', '"process":' + "[" * 100_000),
        whole[:-20],  # and no end
    ]
    log.write_text("".join(whole + bad for bad in damaged))
    found = summarize([log], ("dst",), NO_FILTERS, EVER, lambda _: None)
    assert found.damaged == len(damaged)
    assert [group.count for group in found.groups] == [len(damaged)]


def test_compressed_files_also_when_cut_short(log, tmp_path):
    packed = tmp_path / "log.1.gz"
    packed.write_bytes(gzip.compress(("".join(LINES) * 2000).encode()))
    found = summarize([packed, log], ("dst",), NO_FILTERS, EVER, lambda _: None)
    assert sum(group.count for group in found.groups) == 8 * 2001
    packed.write_bytes(packed.read_bytes()[:-5000])
    found = summarize([packed, log], ("dst",), NO_FILTERS, EVER, lambda _: None)
    assert found.damaged >= 1
    assert sum(group.count for group in found.groups) >= 8


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", b"\x1f\x8bnonsense" * 99, bytes(5000)])
def test_what_is_no_log_at_all(log, tmp_path, content):
    odd = tmp_path / "odd"
    odd.write_bytes(content)
    found = summarize([odd, log], ("dst",), NO_FILTERS, EVER, lambda _: None)
    assert sum(group.count for group in found.groups) == 8
    assert found.damaged == bool(content)


def test_a_compressed_file_with_something_behind_it(tmp_path):
    packed = tmp_path / "log.1.gz"
    packed.write_bytes(gzip.compress("".join(LINES).encode()) + b"garbage")
    found = summarize([packed], ("dst",), NO_FILTERS, EVER, lambda _: None)
    assert (sum(group.count for group in found.groups), found.damaged) == (8, 1)


def test_the_last_of_what_was_counted_together(log):
    text = format_1(to("10.0.0.5"), RENDERING, event(count=10, bytes=100), at(1), at(9))
    log.write_text(text + line(5, to("10.0.0.5")))
    (row,) = rows(log)
    assert (row["first"], row["last"], row["count"]) == (at(1), at(9), 11)


def test_a_process_that_takes_another_name_is_the_same(log):
    later = process(comm="renamed", exe="/usr/bin/dig (deleted)")
    log.write_text(line(1, to("10.0.0.5")) + line(2, to("10.0.0.5", process=later)))
    (row,) = rows(log)
    assert (row["process"]["comm"], row["count"]) == ("renamed", 2)


def test_a_process_that_has_called_exec_or_become_another_user_is_another(log):
    others = process(exe="/bin/other"), process(uid=0, user="root")
    log.write_text("".join(line(1, to("10.0.0.5", process=who)) for who in (process(), *others)))
    assert [row["count"] for row in rows(log)] == [1, 1, 1]


def missed(found):
    return missed_in(found.runs.missed, None, NO_FILTERS)


def test_what_the_tracer_lost_is_said(log):
    mark = f'{{"time":"{at(3)}","event":"lost","lost":70,"processes_lost":0,"skipped":0}}\n'
    log.write_text(LINES[0] + mark + mark)
    found = summarize([log], ("dst",), NO_FILTERS, EVER, lambda _: None)
    assert (missed(found), found.damaged) == ({"lost": 140}, 0)


def test_lines_that_the_tracer_could_not_write_are_said(log):
    stop = f'{{"time":"{at(5)}","event":"stop","lost":0,"log_lines_lost":7,"duration":1.0}}\n'
    none = f'{{"time":"{at(5)}","event":"stop","lost":0,"log_lines_lost":null,"duration":1.0}}\n'
    mark = f'{{"time":"{at(3)}","event":"lost","lost":0,"output_lines_lost":2}}\n'
    log.write_text(LINES[0] + mark + stop + none)
    found = summarize([log], ("dst",), NO_FILTERS, EVER, lambda _: None)
    assert missed(found) == {"output_lines_lost": 2, "log_lines_lost": 7}
    _, sentence = _told(found, coverage(found.runs, NO_FILTERS, "", ""), NO_FILTERS, None)
    assert "output lines lost 2, log lines lost 7" in sentence


def test_lines_of_an_earlier_version(log):
    old = json.loads(LINES[0])
    for name in ("cgroup", "unit", "container", "parents", "loginuid", "args_truncated"):
        del old["process"][name]
    log.write_text(json.dumps(old, separators=(",", ":")) + "\n")
    assert counts(log) == {(4321, "10.0.0.5"): (1, 10)}


def volume(second, kind, sent, received, **more):
    a_flow = to("10.0.0.5", kind=kind, proto="tcp")
    return format_1(
        a_flow,
        RENDERING,
        event(a_flow, count=0, bytes=sent, received=received, **more),
        at(second),
        at(second),
    )


@pytest.mark.parametrize(
    ("since", "until", "sent", "received"),
    [
        (0, 99, 60, 6),  # 10 + 20 + what the end had left
        (15, 99, 50, 5),  # begins in the middle
        (25, 99, 30, 3),
        (0, 25, 30, 3),
        (25, 28, None, None),
    ],
)
def test_what_a_connection_moved_counts_once(log, since, until, sent, received):
    log.write_text(
        volume(5, EventKind.EXISTING, 0, 0)
        + volume(10, EventKind.VOLUME, 10, 1)
        + volume(20, EventKind.VOLUME, 20, 2)
        + volume(30, EventKind.CLOSE, 5060, 500, since=Moved(30, 3))
    )
    found = rows(log, period=Period(at(since), at(until)))
    assert [(row["bytes"], row["bytes_received"]) for row in found] == (
        [] if sent is None else [(sent, received)]
    )


def test_what_is_not_known_of_an_end_is_not_summed(log):
    log.write_text(volume(30, EventKind.CLOSE, 5060, 500, since=None))
    (row,) = rows(log)
    assert (row["bytes"], row["bytes_received"]) == (0, None)


def test_an_end_in_the_log_of_an_earlier_version(log):
    told = volume(30, EventKind.CLOSE, 5060, 500, since=Moved(1, 1))
    log.write_text(told.replace('"bytes_since":1,"bytes_received_since":1,', ""))
    (row,) = rows(log)
    assert (row["bytes"], row["bytes_received"]) == (5060, 500)


def run_line(event, received_of=None, **more):
    counts = {"received_of": received_of} if received_of else {}  # an earlier version's has none
    return json.dumps({"time": at(0), "event": event, "filter": {}, **counts, **more}) + "\n"


TCP_SYN = {"proto": "tcp", "kind": EventKind.CONNECT}


@pytest.mark.parametrize(
    ("counted", "changes", "received"),
    [
        ("all", {}, 0),
        ("all", {"proto": "sctp"}, 0),
        ("all", {"proto": "icmp", "via": Via.RAW}, 0),
        ("udp", {}, 0),
        ("udp", {"proto": "icmp", "via": Via.RAW}, None),
        ("none", {}, None),
        (None, {}, None),
        ("what a later version counts", {}, None),
        ("all", TCP_SYN, None),
        ("all", {"via": Via.PACKET}, None),
        ("all", {"kind": EventKind.FORWARD, "via": Via.DEVICE, "process": None}, None),
        ("all", {"kind": EventKind.EXISTING}, None),
        ("all", {"nat": Nat(None, Endpoint(ip_address("10.9.9.9"), 53))}, None),
    ],
)
def test_nothing_that_came_back_is_0_where_that_was_counted(log, counted, changes, received):
    log.write_text(run_line("start", counted) + line(1, to("10.0.0.5", **changes)))
    assert [row["bytes_received"] for row in rows(log)] == [received]


def test_what_came_back_is_added_to_0(log):
    back = volume(2, EventKind.VOLUME, 0, 70).replace('"proto":"tcp"', '"proto":"udp"')
    log.write_text(run_line("start", "all") + LINES[0] + back + LINES[1])
    assert [row["bytes_received"] for row in rows(log)] == [70]


@pytest.mark.parametrize(
    ("before", "received"),
    [
        ([run_line("alive", "all", lines=7)], 0),  # its start is gone
        ([run_line("start", "all"), run_line("stop")], None),
        ([run_line("start", "all"), run_line("start")], None),
        ([run_line("start", "all"), "damaged\n"], None),  # may be another run's start
        ([run_line("start", "all"), "damaged\n", run_line("alive", "all", lines=2)], 0),
        ([run_line("start", "none"), LINES[0], run_line("start", "all")], 0),
    ],
)
def test_each_run_says_what_it_counts(log, before, received):
    log.write_text("".join(before) + LINES[0])
    assert [row["bytes_received"] for row in rows(log)] == [received]


def test_a_line_of_another_period_tells_nothing_of_this_one(log):
    log.write_text(run_line("start", "all") + LINES[0] + run_line("start") + LINES[1])
    found = rows(log, period=Period(at(5), at(15)))
    assert [row["bytes_received"] for row in found] == [None]


def test_another_log_is_another_runs(tmp_path):
    texts = (run_line("start", "all"), LINES[0])
    paths = [tmp_path / str(number) for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    for continued, received in (((), None), (paths[1:], 0)):
        found = summarize(paths, ("dst",), NO_FILTERS, EVER, lambda _: None, continued)
        assert [group.received for group in found.groups] == [received]


def test_more_flows_than_are_remembered(log, monkeypatch):
    monkeypatch.setattr("tracer.report.reader._ROOM", 3000)
    log.write_text("".join(line(n % 60, to(f"10.0.0.{n % 9}"), size=n) for n in range(300)))
    found = counts(log, keys=("dst",))
    assert sum(one[0] for one in found.values()) == 300
    assert sum(one[1] for one in found.values()) == sum(range(300))


def test_a_line_that_cannot_be_one_is_not_parsed(tmp_path, monkeypatch):
    log = tmp_path / "log"
    log.write_text(LINES[0] + "\n" * 9 + '{"event":"start"}\n[]\n"bytes":1\n')
    monkeypatch.setattr("tracer.report.decode.mark", pytest.fail)
    found = summarize([log], ("dst",), NO_FILTERS, EVER, lambda _: None)
    assert (found.lines, found.damaged) == (13, 12)


def test_more_groups_than_memory_should_hold(tmp_path, monkeypatch):
    monkeypatch.setattr(groups, "MAX_GROUPS", 3)
    log = tmp_path / "log"
    log.write_text("".join(line(n, to(f"10.0.0.{n}"), count=1 + 8 * (n == 4)) for n in range(9)))
    monkeypatch.setattr(groups, "_MAX_PARTS", 2)
    found = summarize([log], ("dst",), NO_FILTERS, EVER, lambda _: None)
    assert len(found.groups) <= 3
    assert found.rest.number + len(found.groups) == 9
    assert found.rest.sums.count + sum(group.count for group in found.groups) == 9 + 8
    assert max(group.count for group in found.groups) == 9  # not the least
    *_, last = rows(log, keys=("dst",))
    assert (last["others"], last["first"]) == (found.rest.number, at(0))
    told = [*_told(found, coverage(found.runs, NO_FILTERS, "", ""), NO_FILTERS, None)]
    assert "more than 3 groups: those with the least events are merged" in told[1]
    assert len(counts(log, keys=("process",))) == 1
    assert len(counts(log, filters=Filters(dst=parse.networks("10.0.0.0/31")))) == 2
    assert len(counts(log, period=Period(at(5), at(7)))) == 3


def test_a_group_that_is_forgotten_before_the_period_begins(tmp_path, monkeypatch):
    monkeypatch.setattr("tracer.report.reader._ROOM", 0)
    log = tmp_path / "log"
    log.write_text("".join(line(n, to(f"10.0.0.{n % 3}")) for n in range(9)))
    assert counts(log, keys=("dst",), period=Period(at(7), "")) == {
        ("10.0.0.1",): (1, 10),
        ("10.0.0.2",): (1, 10),
    }


def test_files_in_any_order(tmp_path):
    later, earlier = tmp_path / "later", tmp_path / "earlier"
    later.write_text(line(20, to("10.0.0.5")))
    earlier.write_text(line(10, to("10.0.0.5")) + line(15, to("10.0.0.6"), count=9))
    found = summarize([later, earlier], ("dst",), NO_FILTERS, EVER, lambda _: None)
    rows_found = [json.loads(text) for text in shown.lines(found, View(("dst",))).splitlines()]
    assert [(row["dst"], row["first"], row["last"]) for row in rows_found] == [
        ("10.0.0.6", at(15), at(15)),
        ("10.0.0.5", at(10), at(20)),
    ]


def run(*arguments, **more):
    argv = [sys.executable, "-m", "tracer", "report", *map(str, arguments)]
    return subprocess.run(argv, check=False, capture_output=True, timeout=60, **more)


HOSTILE = {
    "zeros": bytes(3_000_000),
    "nested": LINES[0].replace('"args":[', '"args":[' + "[" * 100_000).encode(),
    "year 1": LINES[0].replace("2026", "0001", 1).encode(),
    "year 9999": LINES[0].replace("2026", "9999", 1).encode(),
    "a long number": LINES[0].replace('"bytes":10', '"bytes":' + "9" * 4301).encode(),
    "not UTF-8": LINES[0].replace("dig", "\xff").encode("latin-1"),
    "cut short": gzip.compress(b"")[:-3],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_the_command_on_a_hostile_log(tmp_path, name):
    path = tmp_path / "log"
    path.write_bytes(HOSTILE[name])
    for done in (run("--by", "unit", path), run("--json", "-", input=HOSTILE[name])):
        assert done.returncode == 2
        (said,) = done.stderr.decode().splitlines()
        assert said.endswith(
            " is no log of sockwatch (no line of it is one of a log): name another FILE"
        )


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("/", 2, "is a directory"),
        ("/no/such/file", 2, "cannot read /no/such/file (No such file or directory)"),
        ("/dev/zero", 2, "cannot read /dev/zero (it is a device): name another FILE"),
        ("/dev/full", 2, "cannot read /dev/full (it is a device): name another FILE"),
        ("x" * 300, 2, "(File name too long)"),
    ],
)
def test_the_command_on_what_is_no_file(name, status, said):
    done = run(name)
    assert done.returncode == status
    (line,) = done.stderr.decode().splitlines()
    assert said in line


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("/dev/zero", 2, "cannot read standard input (it is a device)"),
        ("/dev/null", 0, "0 lines, 0 groups"),
    ],
)
def test_the_command_on_standard_input_that_is_no_file(name, status, said):
    descriptor = os.open(name, os.O_RDONLY)
    try:
        done = run("-", stdin=descriptor)
    finally:
        os.close(descriptor)
    assert done.returncode == status
    assert said in done.stderr.decode()


def test_the_command_on_a_socket_as_standard_input():
    ours, theirs = socket.socketpair()
    with theirs:
        ours.sendall("".join(LINES).encode())
        ours.close()
        done = run("--json", "--by", "dst", "-", stdin=theirs)
    *groups, last = map(json.loads, done.stdout.splitlines())
    assert sum(row["count"] for row in groups) == 8
    assert list(last) == ["coverage"]


def test_an_address_on_two_links_is_two_destinations(tmp_path):
    ends = [Endpoint(ip_address("fe80::5"), 53, zone) for zone in ("d0", "d1")]
    log = tmp_path / "log"
    log.write_text("".join(line(0, flow(dst=end)) for end in ends))
    assert [row["dst"] for row in rows(log, ("dst",))] == ["fe80::5%d0", "fe80::5%d1"]
    only = Filters(dst=parse.networks("fe80::5%d1"))
    assert [row["dst"] for row in rows(log, ("dst",), only)] == ["fe80::5%d1"]


def test_forwarded_packets_are_grouped_by_where_they_came_from(tmp_path):
    def forwarded(neighbour, who=None):
        return to("10.0.0.5", kind=EventKind.FORWARD, process=who, origin=Origin("eth0", neighbour))

    one, other = (Neighbour(ip_address(f"192.168.1.{last}"), None) for last in (7, 8))
    path = tmp_path / "log"
    made = [forwarded(whom) for whom in (one, one, other, None)] + [forwarded(one, NGINX)]
    path.write_text("".join(line(0, a_flow) for a_flow in made))
    found = summarize([path], ("process",), NO_FILTERS, EVER, lambda _: None)
    assert found.damaged == 0
    groups = [(group.origin, group.count) for group in found.groups]
    assert groups == [
        ("eth0 from 192.168.1.7", 2), ("eth0 from 192.168.1.8", 1), ("eth0", 1), (None, 1)
    ]  # fmt: skip
    assert found.groups[3].process.comm == "nginx"
    text = shown.render(found, View(("process",)), None)
    assert " - [eth0 from 192.168.1.7] " in text
    of_unit = NO_FILTERS._replace(unit=frozenset({"nginx.service"}))
    found = summarize([path], ("process",), of_unit, EVER, lambda _: None)
    assert ([group.count for group in found.groups], found.undecided) == ([1], 0)


def test_an_address_as_it_was_named_or_as_nat_made_it(tmp_path):
    log = tmp_path / "log"
    wire = Endpoint(ip_address("10.1.0.9"), 5353)
    log.write_text(line(0, to("10.0.0.5")) + line(1, to("10.0.0.5", nat=Nat(None, wire))))
    for asked, number in (("10.0.0.5", 2), ("10.1.0.9", 1), ("10.0.0.6", 0)):
        found = rows(log, ("dst",), Filters(dst=parse.networks(asked)))
        assert sum(row["count"] for row in found) == number


def test_a_log_of_before_there_were_zones(tmp_path):
    log = tmp_path / "log"
    log.write_text(line(0, to("fe80::5")).replace(',"zone":null', ""))
    assert [row["dst"] for row in rows(log, ("dst",))] == ["fe80::5"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--since", "1h", "--until", "2h"), "--since is later than --until"),
        (("--since", "2200-01-01"), "--since is later than now"),
    ],
)
def test_a_period_that_is_reversed(log, options, said):
    done = run(*options, log)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode() == f"sockwatch: {said}: nothing can be between them\n"


def test_one_of_several_files_is_no_log(log, tmp_path):
    odd = tmp_path / "odd"
    odd.write_text("a\nb\n")
    done = run(log, odd)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode() == (
        f"sockwatch: {odd} is no log of sockwatch (no line of it is one of a log): name another "
        "FILE\n"
    )


def test_backups_are_read_with_their_log(log, tmp_path):
    (tmp_path / "log.1").write_text(LINES[0])
    (tmp_path / "log.2.gz").write_bytes(gzip.compress(LINES[0].encode()))
    for names in ([log], [log, tmp_path / "log.1"], [tmp_path / "log.2.gz", log, log]):
        *groups, _ = map(json.loads, run("--json", *names).stdout.splitlines())
        assert sum(group["count"] for group in groups) == 8 + 2


def test_the_command_says_what_is_covered_and_proves_it(tmp_path):
    log = tmp_path / "log"
    start = f'{{"time":"{at(0)}","event":"start","filter":{{"dst":["10.0.0.5"]}},"existing":0}}\n'
    log.write_text(start + LINES[0] + MARKS[1].replace(at(0), at(60)))
    for options, status, says in (
        (("--dst", "10.0.0.5"), 0, "with --dst 10.0.0.5\n"),
        (("--dst", "10.0.0.6"), 0, "was traced with --dst 10.0.0.5, not all of --dst 10.0.0.6\n"),
        (("--dst", "10.0.0.5", "--prove"), 1, "sockwatch: somebody: 1 group matches "),
        (("--dst", "10.0.0.5", "-P", "54", "--prove"), 0, "sockwatch: nobody matches --dst "),
        (("--dst", "10.0.0.6", "--prove"), 4, "sockwatch: not proven that nobody matches "),
        (("--dst", "10.0.0.5", "-P", "54", "--prove", "--since", at(1)), 4, "not covered: "),
    ):
        done = run(*options, log)
        assert (done.returncode, says in done.stderr.decode()) == (status, True), done.stderr


def test_what_fails_proves_nothing(tmp_path):
    """1 is somebody."""
    (tmp_path / "other").write_text("no log\n")
    for options, status in ((("--prove",), 4), ((), 2), (("--prove", "--by", "nothing"), 2)):
        for name in ("missing", "other"):
            assert run(*options, tmp_path / name).returncode == status


def test_ctrl_c_proves_nothing(monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "with_backups", interrupt)
    for options, status in (([], 0), (["--prove"], 4)):
        monkeypatch.setattr(main.sys, "argv", ["sockwatch", "report", *options])
        with pytest.raises(SystemExit) as ended:
            main.main()
        assert ended.value.code == status
