# SPDX-License-Identifier: Apache-2.0
"""Format 2 of the log, as a run writes it: a report says of it what it says of format 1."""

import gzip
import json
import random
from ipaddress import ip_address

import pytest

from tests.logs import format_1, format_2
from tests.samples import event, flow, process
from tracer.cli import report as command
from tracer.filter import parse
from tracer.filter.filters import NO_FILTERS, Filters
from tracer.model.fields import Rendering
from tracer.model.flow import (
    Endpoint,
    EventKind,
    Nat,
    Neighbour,
    Origin,
    Route,
    SocketDetails,
    Via,
)
from tracer.model.process import Container, Holder, Parent
from tracer.output.jsonl import to_json
from tracer.report import render
from tracer.report.expand import Expansion
from tracer.report.files import Files, with_backups
from tracer.report.groups import ALL, summarize
from tracer.report.keys import KEYS
from tracer.report.times import Period
from tracer.report.view import View
from tracer.trace.line import ProcessLines

EVER = Period("", "")
RUN = "3f9a1c2b5d6e7f80"


def at(second):
    return f"2026-11-24T00:{second // 60:02}:{second % 60:02}.000000000Z"


RENDERING = Rendering(RUN, lambda start: at(start % 3600))

WHO = [
    None,
    process(),
    process(tid=4321, thread="dig"),
    process(pid=7, tid=8, comm="nginx", exe="/usr/sbin/nginx", user="www", uid=33,
            cgroup="/system.slice/nginx.service", units=("nginx.service",), start_time=5,
            container=Container("ab" * 32, "docker", None)),
    process(pid=9, comm='a",\n"src":', args=('","src":{"addr":', "x" * 300), start_time=7,
            parents=(Parent(4200, "bash", "/bin/bash", script="/opt/job.sh"),)),
]  # fmt: skip
ENDS = [
    Endpoint(ip_address("10.0.0.5"), 53),
    Endpoint(ip_address("10.0.0.6"), 40_001),
    Endpoint(ip_address("fd00::5"), None),
    Endpoint(ip_address("fe80::5"), 53, "eth0"),
    Endpoint(None, None),
]
CHANGES = [
    {},
    {"kind": EventKind.CONNECT, "proto": "tcp"},
    {"kind": EventKind.CLOSE, "proto": "tcp"},
    {"kind": EventKind.VOLUME, "proto": "tcp"},
    {"kind": EventKind.EXISTING, "proto": "tcp"},
    {"kind": EventKind.FORWARD, "via": Via.DEVICE, "process": None,
     "origin": Origin("eth0", Neighbour(ip_address("192.168.1.7"), None), sent_here=False)},
    {"via": Via.KERNEL, "interface": "wg0", "process": None},
    {"nat": Nat(None, Endpoint(ip_address("10.1.0.1"), 7))},
    {"hop": ip_address("10.9.0.1")},
    {"details": SocketDetails(77, "UNCONN", 1000, "/user.slice/\u00e9", "eth0"),
     "holders": (Holder(1, "init", None),), "route": Route("eth0", None, None)},
    {"details": SocketDetails(77, "ESTAB", None, None, None)},
]  # fmt: skip


def events(number, seed=1):
    """Flows of all kinds in any order, each with an event and its second."""
    rng = random.Random(seed)
    for _ in range(number):
        src = Endpoint(ip_address("10.0.0.1"), rng.randrange(1024, 60_000))
        common = {"process": rng.choice(WHO), "dst": rng.choice(ENDS), "src": src,
                  "cookie": rng.randrange(1 << 40), "netns": rng.choice([1, 9])}  # fmt: skip
        one = flow(**{**common, **rng.choice(CHANGES)})
        much = {"bytes": rng.randrange(1400), "received": rng.randrange(99), "elapsed": 2_000_000}
        yield one, event(**much, count=rng.choice([1, 1, 7]), error=rng.choice([0, 0, 111]))


class Logs:
    """The same events in both formats."""

    def __init__(self, folder, number=400):
        processes = ProcessLines(RENDERING)
        self.one, self.two = folder / "one", folder / "two"
        both = [*enumerate(events(number))]
        self.one.write_text(
            "".join(format_1(a, RENDERING, e, at(n), at(n + 9)) for n, (a, e) in both)
        )
        self.two.write_text(
            "".join(format_2(a, processes, RENDERING, e, at(n), at(n + 9)) for n, (a, e) in both)
        )


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    return Logs(tmp_path_factory.mktemp("logs"))


def rows(log, keys, filters=ALL, period=EVER):
    found = summarize([log], keys, filters, period, lambda _: None)
    assert found.damaged == 0
    return render.lines(found, View(keys))


ASKED = [
    ALL,
    Filters(accept=True, dst=parse.networks("10.0.0.0/24")),
    Filters(accept=True, dport=frozenset({53})),
    Filters(accept=True, sport=frozenset(range(1024, 20_000))),
    Filters(accept=True, src=parse.networks("10.0.0.1")),
    Filters(accept=True, netns=frozenset({1})),
    Filters(accept=True, unit=frozenset({"nginx.service"})),
    Filters(accept=True, failed=True, proto=frozenset({"tcp"})),
    Filters(accept=True, uid=frozenset({33})),
]


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: "-".join(asked.describe()) or "all")
@pytest.mark.parametrize("keys", [(key,) for key in KEYS] + [("role", "dst"), ("process", "port")])
def test_a_report_says_the_same_of_both(logs, keys, asked):
    assert rows(logs.two, keys, asked) == rows(logs.one, keys, asked)


def test_a_part_of_the_time(logs):
    period = Period(at(100), at(200))
    keys = ("role", "dst")
    assert rows(logs.two, keys, ALL, period) == rows(logs.one, keys, ALL, period)


def test_it_is_remembered_by_shape(logs, monkeypatch):
    """Whatever is forgotten when."""
    expected = rows(logs.one, ("role", "dst"))
    monkeypatch.setattr("tracer.report.reader._ROOM", 3000)
    monkeypatch.setattr("tracer.report.groups._MAX_PARTS", 3)
    monkeypatch.setattr("tracer.report.groups._MAX_KNOWN", 5)
    assert rows(logs.two, ("role", "dst")) == expected


def marks():
    host = {"name": "web1", "machine_id": None, "boot_id": "b"}
    watched = {"filter": {"dst": ["10.0.0.5"]}, "blind_spots": [], "received_of": "all"}
    more = {"existing": 0, "lines": 0, "run": RUN}
    yield {"time": at(0), "event": "start", "format": 2, "host": host, **watched, **more}
    yield {"time": at(9), "event": "alive", "host": host, **watched, **more}
    yield {"time": at(9), "event": "stop", "existing": 0, "undecided": 0, "log_lines_lost": 0}


def test_a_process_has_its_line_in_each_file(tmp_path):
    """A backup stands alone, and a number is one run's."""
    start, alive, stop = (to_json(mark) + "\n" for mark in marks())
    others = Rendering("0" * 16, RENDERING.iso_start)
    first = format_2(flow(process=WHO[3]), ProcessLines(RENDERING), RENDERING, event(), at(1))
    second = format_2(flow(process=WHO[1]), ProcessLines(others), others, event(), at(2))
    assert '"id":1' in first
    assert '"id":1' in second
    log = tmp_path / "log"
    (tmp_path / "log.1.gz").write_bytes(gzip.compress((start + first).encode()))
    log.write_text(alive + first + stop + second)
    files = with_backups([log])
    found = summarize(files.paths, ("unit",), ALL, EVER, lambda _: None, files.continued)
    counts = {group.keys["unit"]: group.count for group in found.groups}
    assert (counts, found.damaged) == ({"nginx.service": 2, None: 1}, 0)


def test_a_process_whose_line_is_lost_is_known_less_well(tmp_path):
    before, line = format_2(
        flow(process=WHO[4]), ProcessLines(RENDERING), RENDERING, event(), at(1)
    ).splitlines()
    log = tmp_path / "log"
    log.write_text(f"{before[:-9]}\n{line}\n")
    found = summarize([log], ("process", "parent"), ALL, EVER, lambda _: None)
    (group,) = found.groups
    assert found.damaged == 1
    assert group.keys["parent"] == "bash"  # by its name: the script is not known
    assert group.sender.process.pid == 9
    assert len(group.sender.process.args[1]) == 200 - len(group.sender.process.args[0])


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        ('"port":40001}', '"port":4x001}'),
        ('"cookie":18', '"cookie":1_8'),
        ('"src":{', '"src":['),
        ('"socket":', '"sucket":'),
        ('"netns":4026531833}', '"netns":4026531833'),
        ('"dst":{"addr":"10.0.0.5"', '"dst":{"addr":"10.0.0.500"'),
        ('"dst":{"addr":"10.0.0.5"', '"dst":{"addr":10'),
    ],
)
def test_damage(tmp_path, there, instead):
    text = format_2(flow(), ProcessLines(RENDERING), RENDERING, event(), at(1))
    assert text.count(there) == 1
    log = tmp_path / "log"
    log.write_text(text + text.splitlines()[1].replace(there, instead) + "\n")
    found = summarize([log], ("dst",), ALL, EVER, lambda _: None)
    assert (found.damaged, [group.count for group in found.groups]) == (1, [1])


def test_hosts(tmp_path):
    files = []
    for name in ("web1", "web2", None):
        host = name and {"name": name, "machine_id": None, "boot_id": "b"}
        start = next(marks()) | {"host": host}
        text = format_2(flow(), ProcessLines(RENDERING), RENDERING, event(), at(1))
        file = tmp_path / str(name)
        file.write_text(to_json(start) + "\n" + text * (1 + len(files)))
        files.append(file)
    found = summarize(files, ("host", "dst"), ALL, EVER, lambda _: None)
    counts = {group.keys["host"]: group.count for group in found.groups}
    assert counts == {"web1": 1, "web2": 2, None: 3}


def test_expanded_lines_are_those_of_format_1(logs):
    expansion = Expansion(ALL, EVER, with_runs=True)
    found = [one.fields for one in expansion.lines(Files([logs.two], set()), lambda _: None)]
    expected = [json.loads(line) for line in logs.one.read_text().splitlines()]
    assert [line.pop("run") for line in found] == [RUN] * 400
    assert found == [{name: line[name] for name in line if name != "probe"} for line in expected]
    again = Expansion(ALL, EVER, with_runs=True).lines(Files([logs.one], set()), lambda _: None)
    assert [one.fields for one in again] == expected


def test_what_is_expanded_is_a_log(tmp_path, logs, capfd):
    """It says the same of who, when, and what was watched."""
    start, alive, stop = marks()
    alive["lines"] = 1 + len(logs.two.read_text().splitlines())
    text = [to_json(start), *logs.two.read_text().splitlines(), to_json(alive), to_json(stop)]
    log, whole = tmp_path / "log", tmp_path / "whole"
    log.write_text("\n".join(text) + "\n")

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            command.command.main(list(map(str, arguments)))
        assert ended.value.code == 0
        return capfd.readouterr()

    whole.write_text(run("--expand", log).out)
    one, two = run("--json", whole), run("--json", log)
    assert one.out == two.out
    assert len(one.out.splitlines()) > 9
    assert "missing" not in one.err + two.err
    by = run("--json", "--by", "host,proto", log).out.splitlines()[:-1]
    assert {json.loads(row)["host"] for row in by} == {"web1"}
    only = [json.loads(line) for line in run("--expand", "--dst", "10.0.0.6", log).out.splitlines()]
    assert {line["dst"]["addr"] for line in only} == {"10.0.0.6"}  # and no line about a run
    assert all("parents" in line["process"] for line in only if line["process"])
    period = run("--expand", "--since", at(5), "--until", at(6), log).out
    assert [json.loads(line)["time"] for line in period.splitlines()] == [at(5), at(6)]


def test_only_what_matches_is_expanded(logs):
    failed = Expansion(NO_FILTERS._replace(failed=True, accept=True), EVER, with_runs=False)
    lines = failed.lines(Files([logs.two], set()), lambda _: None)
    assert {one.fields["outcome"] for one in lines} == {"failed"}
