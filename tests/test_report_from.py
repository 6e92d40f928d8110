# SPDX-License-Identifier: Apache-2.0
"""A report by a server says what one of the log does that was shipped there."""

import contextlib
import json
import os
import random
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest

from tests.logs import format_2
from tests.samples import event, flow, process
from tests.servers import clickhouse, embedded, zookeeper
from tests.servers.process import free_ports
from tracer.cli import report as command
from tracer.errors import SockwatchError, UsageError
from tracer.filter import parse
from tracer.filter.filters import Filters
from tracer.model.fields import Rendering
from tracer.model.flow import Endpoint, EventKind, Nat, Neighbour, Origin, Via
from tracer.model.process import Container, Parent
from tracer.output.clickhouse import Access, target_of
from tracer.output.jsonl import to_json
from tracer.report import render
from tracer.report.fleet import ask
from tracer.report.group import ORDERS
from tracer.report.groups import ALL, summarize
from tracer.report.keys import KEYS
from tracer.report.times import Period
from tracer.report.view import View
from tracer.trace.line import ProcessLines

EVER = Period("", "")
TIMEOUT = 60  # seconds
HOSTS = ("web1", "it's \\")
ODD = "/opt/a'\\ b\t\u2028\u00e9"  # in a text of SQL, and of a line


DAY = (datetime.now(UTC) - timedelta(days=1)).date()  # what is old, servers remove


def at(second):
    return f"{DAY}T00:{second // 60:02}:{second % 60:02}.000000000Z"


WHO = [
    None,
    process(cgroup="/user.slice"),
    process(cgroup=None),
    process(pid=7, comm="nginx", exe="/usr/sbin/nginx (deleted)", user="www", uid=33,
            cgroup="/system.slice/nginx.service", units=("nginx.service",), start_time=5,
            container=Container("ab" * 32, "docker", None)),
    process(pid=9, comm="a'", exe=ODD, user=None, start_time=7, cgroup="/"),
    process(pid=10, exe=None, start_time=8, cgroup="/"),
    process(pid=11, exe="/usr/bin/dig", exe_here=False, start_time=9, cgroup="/"),
    *(process(pid=number, exe="/usr/bin/python3", args=("python3", "q.py", f"{number}" * 100),
              start_time=number, cgroup="/system.slice/cron.service", units=("cron.service",),
              args_truncated=number > 20, parents=(Parent(9, "sh", "/bin/sh", script="/opt/job.sh"),
                                                   Parent(1, "init", None)))
      for number in (20, 21)),
    process(pid=22, args=None, parents=(Parent(9, "bash", "/bin/bash"),), start_time=22, cgroup="/",
            initial_pid=77, container=Container("cd" * 32, "podman", "p", 1000)),
]  # fmt: skip
ENDS = [
    Endpoint(ip_address("10.0.0.5"), 53),
    Endpoint(ip_address("10.0.0.6"), 40_001),
    Endpoint(ip_address("fd00::5"), None),
    Endpoint(ip_address("fe80::5"), 53, 'e"0'),
    Endpoint(None, None),
]
NAT = Nat(Endpoint(ip_address("10.2.0.1"), 9), Endpoint(ip_address("10.1.0.1"), 7))
CHANGES = [
    {},
    {"kind": EventKind.CONNECT, "proto": "tcp"},
    {"kind": EventKind.CLOSE, "proto": "tcp"},
    {"kind": EventKind.VOLUME},
    {"kind": EventKind.EXISTING, "proto": "tcp"},
    {"kind": EventKind.FORWARD, "via": Via.DEVICE, "process": None,
     "origin": Origin("kernel", Neighbour(ip_address("192.168.1.7"), None), sent_here=False)},
    {"via": Via.KERNEL, "interface": "wg0", "process": None},
    {"nat": NAT},
    {"hop": ip_address("10.9.0.1")},
    {"proto": "253", "via": Via.RAW},
]  # fmt: skip


def log_of(path, host, received_of, number, seed):
    """Writes the log of a run with flows of all kinds."""
    rng = random.Random(seed)
    names = {"10.0.0.5": "db'\\.example"}
    rendering = Rendering(f"{seed:016x}", lambda start: at(start % 3600), names.get)
    processes = ProcessLines(rendering)
    about = {"host": {"name": host, "machine_id": None, "boot_id": "b"}, "filter": {}}
    mark = {**about, "blind_spots": [], "received_of": received_of, "existing": 0}
    lines = [to_json({"time": at(0), "event": "start", "format": 2, **mark, "lines": 0,
                      "run": rendering.run}) + "\n"]  # fmt: skip
    for second in range(number):
        src = Endpoint(ip_address("10.0.0.1"), rng.randrange(1024, 60_000))
        common = {"process": rng.choice(WHO), "dst": rng.choice(ENDS), "src": src,
                  "cookie": rng.randrange(1 << 40), "netns": rng.choice([1, 9])}  # fmt: skip
        one = flow(**{**common, **rng.choice(CHANGES)})
        since = rng.choice([None, (3, 4)])
        much = {"bytes": rng.randrange(1400), "received": rng.randrange(99), "since": since,
                "count": rng.choice([1, 1, 7]), "error": rng.choice([0, 0, 111])}  # fmt: skip
        lines.append(format_2(one, processes, rendering, event(**much), at(second), at(second + 9)))
    path.write_text("".join(lines))


def ship(port, log, cursor, *options, database="net"):
    done = subprocess.run(
        [sys.executable, "-m", "tracer", "ship", "--to", url(port, database), "--no-tls", *options,
         *(("--log", log, "--cursor", cursor, "--once") if log else ())],
        env=dict(os.environ), capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def url(port, database="net"):
    return f"clickhouse://127.0.0.1:{port}/{database}"


@contextlib.contextmanager
def current(folder):
    with embedded.running(folder / "engine") as engine:
        yield engine


@contextlib.contextmanager
def old(folder):
    with zookeeper.running(folder / "zookeeper") as port:
        (server,) = clickhouse.fleet(folder, port, shards=1, replicas=1)
        server.start()
        try:
            yield server
        finally:
            server.kill()


class Shipped:
    """Logs of two hosts, and a server that has got them."""

    def __init__(self, server, folder):
        self.server = server
        self.logs = [folder / f"log{number}" for number in range(len(HOSTS))]
        server.query("CREATE DATABASE net")
        ship(server.port, None, None, "--create")
        for number, (log, host) in enumerate(zip(self.logs, HOSTS, strict=True)):
            log_of(log, host, ("all", "udp")[number], 400, number)
            ship(server.port, log, folder / f"cursor{number}")
        row = f"'{DAY} 00:00:07', 'web1', '{{}}'"  # not taken as it should be
        server.query(f"INSERT INTO events (time, host, more) VALUES ({row})", "net")

    def by_server(self, keys, filters=ALL, period=EVER, order="events"):
        target = target_of(url(self.server.port), tls=False)
        return ask.summarize(target, Access("", None), keys, filters, period, order)

    def by_logs(self, keys, filters=ALL, period=EVER, order="events"):
        return summarize(self.logs, keys, filters, period, lambda _: None, order=order)

    def agree(self, keys, filters=ALL, period=EVER, order="events"):
        """Returns how many groups there are."""
        asked = (keys, filters, period, order)
        found, expected = self.by_server(*asked), self.by_logs(*asked)
        assert expected.damaged == 0
        assert found.damaged <= 1
        assert shown(found, keys) == shown(expected, keys)
        assert activity(found) == activity(expected)
        assert found.undecided == expected.undecided
        return len(found.groups)


def shown(found, keys):
    return sorted(render.lines(found, View(keys)).splitlines())


def activity(found):
    parts = {
        tuple(group.keys.values()): found.timeline.parts(group.activity) for group in found.groups
    }
    return parts, found.timeline.span()


@pytest.fixture(scope="module")
def on_current(tmp_path_factory):
    if not embedded.is_installed():
        pytest.skip("chdb-core is not installed (pip install chdb-core)")
    folder = tmp_path_factory.mktemp("current")
    with current(folder) as server:
        yield Shipped(server, folder)


@pytest.fixture(scope="module")
def on_old(tmp_path_factory):
    if not (clickhouse.is_installed() and zookeeper.is_installed()):
        pytest.skip("clickhouse-server and zookeeper are not installed")
    folder = tmp_path_factory.mktemp("old")
    with old(folder) as server:
        yield Shipped(server, folder)


@pytest.fixture(scope="module", params=["on_current", "on_old"])
def shipped(request):
    return request.getfixturevalue(request.param)


FLAT = ("host", "exe", "user", "unit", "container", "name", "proto", "dst", "port")
WITH_OTHERS = [("host", "role", "dst"), ("process", "port"), FLAT, KEYS]


@pytest.mark.parametrize("keys", [*((key,) for key in KEYS), *WITH_OTHERS], ids="-".join)
def test_keys(shipped, keys):
    assert shipped.agree(keys) > 1


ASKED = {
    "dst": Filters(dst=parse.networks("10.0.0.5")),
    "network": Filters(dst=parse.networks("10.0.0.0/24")),
    "nat": Filters(dst=parse.networks("10.1.0.0/16")),
    "hop": Filters(dst=parse.networks("10.9.0.1")),
    "IPv4": Filters(dst=parse.networks("0.0.0.0/0")),
    "IPv6": Filters(dst=parse.networks("::/0")),
    "several": Filters(dst=(*parse.networks("fd00::/16"), *parse.networks("10.0.0.6"))),
    "not-dst": Filters(not_dst=parse.networks("10.0.0.0/8")),
    "not-a-part": Filters(dst=parse.networks("10.0.0.0/8"), not_dst=parse.networks("10.0.0.4/31")),
    "src": Filters(src=parse.networks("10.0.0.1")),
    "nat-src": Filters(src=parse.networks("10.2.0.1")),
    "dport": Filters(dport=frozenset({53})),
    "nat-dport": Filters(dport=frozenset({7, 8})),
    "dport-0": Filters(dport=frozenset({0})),
    "sport": Filters(sport=frozenset(range(1024, 20_000))),
    "nat-sport": Filters(sport=frozenset({9})),
    "port": Filters(port=frozenset({7, 9, 40_001})),
    "4": Filters(version=frozenset({4})),
    "6": Filters(version=frozenset({6})),
    "tcp": Filters(proto=frozenset({"tcp"})),
    "failed": Filters(failed=True, proto=frozenset({"udp", "253"})),
    "pid": Filters(pid=frozenset({7, 9})),
    "comm": Filters(comm=frozenset({b"a'", b"nginx"})),
    "uid": Filters(uid=frozenset({33})),
    "exe": Filters(exe=frozenset({"/usr/bin/dig"})),
    "exe-elsewhere": Filters(
        exe=frozenset({"/usr/bin/dig"}), exe_elsewhere=frozenset({"/usr/bin/dig"})
    ),
    "exe-odd": Filters(exe=frozenset({ODD, "/usr/sbin/nginx"})),
    "unit": Filters(unit=frozenset({"nginx.service"})),
    "container": Filters(container=frozenset({"abab", "cd"})),
    "both": Filters(
        unit=frozenset({"nginx.service"}), uid=frozenset({33}), dst=parse.networks("10.0.0.5")
    ),
}


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED.keys())
def test_filters(shipped, asked):
    for keys in (("host", "exe", "dst", "port"), ("role", "dst")):
        assert shipped.agree(keys, asked._replace(accept=True))


@pytest.mark.parametrize("order", ORDERS)
def test_orders(shipped, order):
    keys = ("host", "dst")
    shipped.agree(keys, order=order)
    found, expected = (by(keys, order=order) for by in (shipped.by_server, shipped.by_logs))
    assert [one.keys for one in found.groups] == [one.keys for one in expected.groups]


def test_a_part_of_the_time(shipped):
    assert shipped.agree(("host", "dst"), period=Period(at(100), at(200)))


def test_nobody(shipped):
    assert shipped.agree(("host",), Filters(accept=True, dst=parse.networks("10.7.0.1"))) == 0


def test_more_groups_than_are_told(shipped, monkeypatch):
    """What the others did is summed up."""
    whole = shipped.by_server(("host", "exe", "dst"), order="bytes")
    monkeypatch.setattr("tracer.report.fleet.ask.MAX_GROUPS", 3)
    found = shipped.by_server(("host", "exe", "dst"), order="bytes")
    others = whole.groups[3:]
    assert [one.keys for one in found.groups] == [one.keys for one in whole.groups[:3]]
    assert found.rest.number == len(others)
    sums = found.rest.sums
    assert sums.count == sum(one.count for one in others)
    assert sums.bytes == sum(one.bytes for one in others)
    assert sums.received == sum(one.received or 0 for one in others)
    assert (sums.first, sums.last) == (
        min(one.first for one in others), max(one.last for one in others),
    )  # fmt: skip
    assert sum(sums.activity.values()) == sums.bytes


def test_more_processes_than_are_asked_for(shipped, monkeypatch):
    monkeypatch.setattr("tracer.report.fleet.senders.MAX_PROCESSES", 30)
    with pytest.raises(SockwatchError, match="more than 30 processes and destinations match: ask"):
        shipped.by_server(("role", "dst"))
    assert shipped.by_server(("role",), ASKED["uid"]).groups


def test_a_process_whose_line_is_missing(shipped, monkeypatch):
    """It is known by what the events' rows tell."""
    monkeypatch.setattr("tracer.report.fleet.senders.processes", lambda *_: "SELECT 1 WHERE 0")
    found = shipped.by_server(("process", "parent", "container"))
    (one,) = {
        group.sender.process for group in found.groups if group.keys["container"] == "cd" * 32
    }
    assert (one.pid, one.initial_pid, one.parents[0].comm) == (22, None, "bash")


def test_a_value_does_not_break_out(shipped):
    """It is a value that nothing has, whatever it looks like."""
    for text in ("' OR 1=1 --", "\\' OR 1=1 --", "\\", "');--", "/*", "\n", "{a:String}"):
        for name in ("exe", "unit", "container"):
            asked = Filters(accept=True, **{name: frozenset({text})})
            assert shipped.by_server(("dst",), asked).groups == []
        asked = Filters(accept=True, comm=frozenset({text.encode(), b"\xff"}))
        assert shipped.by_server(("dst",), asked).groups == []


def report(shipped, *options, status=0):
    """Returns what is shown, and what is told."""
    done = subprocess.run(
        [sys.executable, "-m", "tracer", "report", "--from", url(shipped.server.port), "--no-tls",
         *map(str, options)],
        env={**os.environ, "TZ": "UTC"}, capture_output=True, text=True, timeout=TIMEOUT,
        check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return done.stdout, done.stderr


def test_the_command(shipped, tmp_path):
    page = tmp_path / "page"
    table, told = report(shipped, "--dst", "10.0.0.5", "--top", 3, "--html", page)
    assert table.split()[:3] == ["HOST", "EXE", "DST"]
    assert len(table.splitlines()) == 5
    assert "db:" not in told
    assert "not looked at: what was watched" in told
    assert "none missed" not in told
    assert "/usr/bin/dig" in page.read_text()
    rows, told = report(shipped, "--unit", "nginx.service", "--by", "host,unit", "--json")
    *groups, covered = map(json.loads, rows.splitlines())
    assert {group["unit"] for group in groups} == {"nginx.service"}
    assert {group["host"] for group in groups} == set(HOSTS)
    assert covered["coverage"]["traced"] == []
    assert covered["coverage"]["proven"] is None
    assert "may match: it is not known whose" in told


REFUSED = {
    ("--netns", "self"): "--netns cannot be asked of a server",
    ("--cgroup", "/a"): "--cgroup cannot be asked of a server",
    ("--dst", "fe80::5%eth0"): "zones (%) cannot be asked of a server",
    ("--uid", "root"): "each host has numbers of its own",
    ("--prove",): "--prove of a server needs --since",
    ("--expand",): "--expand needs the logs themselves",
    ("--format", "ecs"): "--format needs the logs themselves",
    ("log",): "--from and a FILE exclude each other",
}


@pytest.mark.parametrize(("options", "says"), REFUSED.items(), ids=" ".join)
def test_what_a_server_does_not_tell(monkeypatch, options, says):
    monkeypatch.setattr(ask, "summarize", None)
    with pytest.raises(UsageError, match=re.escape(says)):
        command.command.main(["--from", "clickhouse://db/net", *options], standalone_mode=False)


@pytest.mark.parametrize("option", [("--no-tls",), ("--ca", "x"), ("--password-file", "x")])
def test_what_only_a_server_needs(option):
    with pytest.raises(UsageError, match=f"{option[0]} goes with --from"):
        command.command.main([*option], standalone_mode=False)


def test_nobody_answers():
    (port,) = free_ports(1)
    target = target_of(f"clickhouse://127.0.0.1:{port},localhost:{port}/net", tls=False)
    with pytest.raises(SockwatchError, match="Connection refused; localhost"):
        ask.summarize(target, Access("", None), ("dst",), ALL, EVER, "events")


def test_there_are_no_tables(shipped):
    target = target_of(f"clickhouse://127.0.0.1:{shipped.server.port}/default", tls=False)
    with pytest.raises(SockwatchError, match="there is no table events"):
        ask.summarize(target, Access("", None), ("dst",), ALL, EVER, "events")


def test_a_line_that_the_server_did_not_take(shipped):
    """It is told, and in no group: agree() has seen to that. Its time counts."""
    assert shipped.by_server(("host",), period=Period(at(6), at(8))).damaged == 1
    assert shipped.by_server(("host",), period=Period(at(60), "")).damaged == 0
    assert "1 damaged and left out" in report(shipped)[1]


class Line:
    """Makes lines about a run, and events of it."""

    def __init__(self, host, run, machine="m1"):
        self.about = {
            "host": {"name": host, "machine_id": machine, "boot_id": "b"},
            "filter": {"dst": ["10.0.0.0/24"]}, "blind_spots": [], "received_of": "all",
            "existing": 0,
        }  # fmt: skip
        self.run = run

    def mark(self, second, event="alive", **more):
        about = self.about if event in ("start", "alive") else {}
        line = {"time": at(second), "event": event, **about, **more}
        return to_json({**line, "run": self.run}) + "\n"

    def stop(self, second, **more):
        counts = {"existing": 0, "undecided": 0, "unfinished": 0, "log_lines_lost": 0}
        return self.mark(second, "stop", **{**counts, **more})

    def event(self, second, last=0, **changes):
        rendering = Rendering(self.run, lambda start: at(start % 3600))
        one = flow(process=None, **changes)
        return format_2(one, ProcessLines(rendering), rendering, event(count=1 + bool(last)),
                        at(second), at(last))  # fmt: skip


A, B = Line("web1", "a" * 16), Line("web2", "b" * 16, "m2")
TWIN = Line("web1", "c" * 16, "m3")
WHOLE = [A.mark(0, "start"), A.mark(60), A.mark(120), A.stop(180)]
OTHER = [B.mark(0, "start"), B.mark(60), B.mark(120), B.stop(180)]
LOST = {"lost": 3, "received_lost": 0, "processes_lost": 0}
TCP = {"proto": "tcp", "kind": EventKind.CONNECTED}
# What hosts log, the exit status, and what is told.
PROOFS = {
    "nobody": ([WHOLE, OTHER], 0, "nobody matches --dst 10.0.0.5"),
    "somebody": ([[*WHOLE, A.event(100)]], 1, "somebody: 1 group matches"),
    "before": ([[A.mark(0, "start"), A.event(10), A.stop(180)]], 0, "nobody matches"),
    "not watching": ([WHOLE, [B.mark(0, "start"), B.stop(90)]], 4, "not covered on web2: "),
    "long ago": ([WHOLE, [B.mark(0, "start"), B.stop(9)]], 4, "not covered on web2: "),
    "only begun": ([WHOLE, [B.mark(70, "start")]], 4, "not covered on web2: "),
    "killed": ([WHOLE, [B.mark(0, "start"), B.mark(60)]], 4, "not covered on web2: "),
    "still there": ([[A.mark(0, "start"), A.mark(60), A.mark(160)]], 0, "nobody matches"),
    "lost": ([WHOLE, [*OTHER[:3], B.mark(130, "lost", **LOST), OTHER[3]]], 4,
             "on web2: events lost 3"),
    "lost later": ([[*WHOLE, A.mark(300, "start"), A.mark(310, "lost", **LOST)]], 0, "nobody"),
    "undecided": ([[*WHOLE[:3], A.stop(180, undecided=7)]], 4, "could not tell whose 7"),
    "damaged": ([[*WHOLE[:2], "{damaged\n", *WHOLE[2:]]], 4, "damaged"),
    "missing": ([[WHOLE[0], A.mark(60), A.mark(120, lines=9), A.stop(180)]], 4, "lines gone"),
    "open": ([[WHOLE[0], A.event(30, **TCP), *WHOLE[1:]]], 4,
             "1 TCP connections from before may still have been open"),
    "closed": ([[WHOLE[0], A.event(30, **TCP), A.event(40, proto="tcp", kind=EventKind.CLOSE),
                 *WHOLE[1:]]], 0, "nobody matches"),
    "reaching": ([[WHOLE[0], A.event(50, last=80), *WHOLE[1:]]], 4,
                 "1 lines from before count events of that time, too"),
    "netns": ([[*WHOLE[:2], A.mark(100, "netns", before=1, netns=2), *WHOLE[2:]]], 4,
              "not covered"),
    "twins": ([WHOLE, [TWIN.mark(0, "start"), TWIN.stop(9)]], 4, "not covered on web1 (m3): "),
    "narrower": ([[line.replace("10.0.0.0/24", "10.0.0.6") for line in WHOLE]], 4, "not covered"),
}  # fmt: skip


def numbered(lines):
    """Says in each line about a run how many come before it."""
    before = 0
    for line in lines:
        is_mark = '"event":"start"' in line or '"event":"alive"' in line
        if '"event":"start"' in line:
            before = 0
        yield f'{line[:-2]},"lines":{before}}}\n' if is_mark and '"lines"' not in line else line
        before += 1


def proofs(shipped, folder, capfd, name):
    """Returns status and text by a server, and by the logs."""
    hosts, _, _ = PROOFS[name]
    port, database = shipped.server.port, "proof_" + re.sub("[^a-z]", "_", name)
    shipped.server.query(f"CREATE DATABASE {database}")
    ship(port, None, None, "--create", database=database)
    logs = []
    for number, lines in enumerate(hosts):
        log = folder / f"log{number}"
        log.write_text("".join(numbered(lines)))
        ship(port, log, folder / f"cursor{number}", database=database)
        logs.append(str(log))
    asked = ["--prove", "--dst", "10.0.0.5", "--since", at(62), "--until", at(150), "--by", "dst"]
    by_server = prove(capfd, ["--from", url(port, database), "--no-tls", *asked])
    return by_server, prove(capfd, [*logs, *asked])


@pytest.mark.parametrize("name", PROOFS)
def test_the_proof(on_current, tmp_path, capfd, name):
    """It is the one of the logs."""
    _, status, says = PROOFS[name]
    by_server, by_logs = proofs(on_current, tmp_path, capfd, name)
    assert by_logs[0] == status, by_logs[1]
    assert by_server[0] == status, by_server[1]
    assert says in by_server[1]


@pytest.mark.parametrize("name", ["nobody", "somebody", "lost"])
def test_there_is_no_proof_by_several_servers(on_old, tmp_path, capfd, name):
    """One may lack what another has got. Somebody is somebody."""
    _, status, says = PROOFS[name]
    (found, text), _ = proofs(on_old, tmp_path, capfd, name)
    assert found == (status or 4), text
    assert says in text
    assert ("one may lack what another has got" in text) == (status != 1)


def test_a_cursor_that_was_lost(on_current, tmp_path, capfd):
    """What the run has logged meanwhile is gone, and was never shipped."""
    port = on_current.server.port
    on_current.server.query("CREATE DATABASE lost")
    ship(port, None, None, "--create", database="lost")
    log = tmp_path / "log"
    for number, lines in enumerate((WHOLE[:1], [A.mark(120, lines=9), A.stop(180)])):
        log.write_text("".join(lines))
        ship(port, log, tmp_path / f"cursor{number}", database="lost")
    asked = ["--prove", "--dst", "10.0.0.5", "--since", at(62), "--until", at(150)]
    status, text = prove(capfd, ["--from", url(port, "lost"), "--no-tls", *asked])
    assert (status, "lines gone 9" in text) == (4, True), text


def test_several_servers_prove_nothing(on_current, capfd):
    """Only one of them is asked."""
    port = on_current.server.port
    servers = f"clickhouse://127.0.0.1:{port},127.0.0.2:{port}/net"
    asked = ["--prove", "--dst", "10.7.0.1", "--since", at(1), "--until", at(2)]
    status, text = prove(capfd, ["--from", servers, "--no-tls", *asked])
    assert (status, "one may lack what another has got" in text) == (4, True), text


def prove(capfd, options):
    with pytest.raises(SystemExit) as ended:
        command.command.main(options, standalone_mode=False)
    return ended.value.code, capfd.readouterr().err
