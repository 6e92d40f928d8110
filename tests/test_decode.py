# SPDX-License-Identifier: Apache-2.0
"""Logs that somebody has written to do harm, or that a disk has damaged: whatever the bytes, a
report ends, says what is damaged, and counts all that is whole."""

import gzip
import json
import os
import tempfile
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.logs import format_1, format_2
from tests.samples import event, flow, process
from tracer.errors import SockwatchError
from tracer.filter.filters import NO_FILTERS, Filters
from tracer.model.fields import Rendering
from tracer.model.flow import Endpoint, EventKind
from tracer.model.process import Container, Parent
from tracer.report import decode, decode_process, render, said
from tracer.report.coverage import coverage, missed_in
from tracer.report.groups import summarize
from tracer.report.keys import DEFAULT_KEYS, KEYS
from tracer.report.times import Period
from tracer.report.verdict import verdict
from tracer.report.view import View
from tracer.trace.line import ProcessLines

EXAMPLES = int(os.environ.get("SOCKWATCH_EXAMPLES", "150"))  # of each test
TIME = "2026-11-24T00:00:01.000000000Z"
LATER = "2026-11-24T00:00:02.000000000Z"
RENDERING = Rendering("3f9a1c2b5d6e7f80", lambda _: TIME)
PROCESSES = ProcessLines(RENDERING)
EVER = Period("", "")
FUZZ = settings(max_examples=EXAMPLES, deadline=None)


def line(a_flow, **changes):
    """As format 1 had it."""
    return format_1(a_flow, RENDERING, event(**changes), TIME, LATER).encode()


def lines_2(a_flow, **changes):
    """As format 2 has it: the process's line, and the event's."""
    text = format_2(a_flow, PROCESSES, RENDERING, event(**changes), TIME, LATER)
    return [line.encode() for line in text.splitlines(keepends=True)]


IN_CONTAINER = process(
    cgroup="/system.slice/docker-" + "ab" * 32 + ".scope",
    units=("docker.service",),
    container=Container("ab" * 32, "docker", None),
    parents=(Parent(1, "init", "/sbin/init"),),
    initial_pid=70,
)
TCP = flow(proto="tcp", process=IN_CONTAINER)
LOST = b'{"time":"%b","event":"lost","lost":7,"processes_lost":0}\n' % TIME.encode()
SAMPLES = [
    line(flow()),
    line(flow(process=None)),
    line(flow(dst=Endpoint(ip_address("fd00::5"), 53)), count=7, error=111),
    line(TCP._replace(kind=EventKind.CLOSE), received=5, elapsed=1_500_000_000),
    line(TCP._replace(kind=EventKind.CONNECT_FAILED), error=111, elapsed=77),
    *lines_2(flow()),
    *lines_2(flow(process=None)),
    *lines_2(flow(dst=Endpoint(ip_address("fd00::5"), 53)), count=7, error=111),
    *lines_2(TCP._replace(kind=EventKind.CLOSE), received=5, elapsed=1_500_000_000),
    b'{"time":"%b","event":"start","format":2,"host":{"name":"web1","machine_id":null,"boot_id":"b"},'
    b'"filter":{"dst":["10.0.0.5"]},"lines":0,"run":"3f9a1c2b5d6e7f80"}\n' % TIME.encode(),
    b'{"time":"%b","event":"start","version":"1","filter":{"dst":["10.0.0.5"]}}\n' % TIME.encode(),
    LOST,
    b'{"time":"%b","event":"alive","boot_id":"b","blind_spots":["x"],"filter":{"uid":[0],"netns":[7]'
    b'},"lines":3,"existing":null,"undecided":1,"log_lines_lost":2}\n' % TIME.encode(),
    b'{"time":"%b","event":"netns","name":"blue","before":7,"netns":null}\n' % LATER.encode(),
    b'{"time":"%b","event":"stop","existing":0,"undecided":1,"duration":1.0}\n' % LATER.encode(),
]
WHOLE = line(flow(dst=Endpoint(ip_address("10.9.9.9"), 9)))

_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63, 2**64, -1, 10**4299])
    | st.floats()
    | st.text(st.characters(), max_size=9)  # lone surrogates, too
    | st.sampled_from([
        "\ud800", "\x1b[2J\u202e", "a" * 40_000, "1" * 40, TIME, "0001-01-01T00:00:00.000000000Z",
        "9999-12-31T23:59:59.999999999Z", "fe80::1%eth0", "::", "lost", "send", "udp", "socket",
    ])
)  # fmt: skip
VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
RAW = st.binary(max_size=12) | st.sampled_from([
    b"1" * 4301, b"1e999", b"-0", b"1e5", b"007", b"NaN", b"-Infinity", b"[" * 2000,
    b'{"a":' * 2000, b"\xff\xfe", b'"\xed\xa0\x80"', b'"\\ud800"', b"\x00", b'1,"bytes":2',
    b'null,"process":null',
])  # fmt: skip


def places(value, path=()):
    """The paths of all values in a JSON value."""
    yield path
    inner = value.items() if isinstance(value, dict) else ()
    inner = enumerate(value) if isinstance(value, list) else inner
    for name, one in inner:
        yield from places(one, (*path, name))


def replaced(value, path, new):
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], new) if path[1:] else new
    return copy


@st.composite
def mutants(draw):
    """A log line in which one value is another one, or no JSON at all; or one name."""
    text = draw(st.sampled_from(SAMPLES))
    found = json.loads(text)
    path = draw(st.sampled_from(list(places(found))[1:]))
    raw = draw(st.none() | RAW)
    new = "@@" if raw is not None else draw(VALUES)
    changed = json.dumps(replaced(found, path, new), separators=(",", ":")).encode()
    changed = changed.replace(b'"@@"', raw) if raw is not None else changed
    name = draw(st.none() | st.tuples(st.sampled_from(list(found)), st.sampled_from(list(found))))
    if name:  # taken twice, or missing
        changed = changed.replace(b'"%b":' % name[0].encode(), b'"%b":' % name[1].encode(), 1)
    return changed + b"\n"


@st.composite
def scratched(draw):
    """A log line of which some bytes are lost, or others."""
    text = bytearray(draw(st.sampled_from(SAMPLES)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        gone = draw(st.sampled_from([0, 0, 1, 1, 2, 9, 300]))
        text[at : at + gone] = draw(st.binary(max_size=3) | RAW)
    return bytes(text)


def report(content, keys=DEFAULT_KEYS, filters=NO_FILTERS, period=EVER):
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        return summarize([Path(file.name)], keys, filters, period, lambda _: None)


def assert_sound(found, keys):
    """In every form, and as its readers expect it."""
    rows = [json.loads(text) for text in render.lines(found, View(keys)).splitlines()]
    assert len(rows) == len(found.groups)
    for row in rows:
        who = {"who"} & {"who" for key in ("role", "process") if key in keys}
        number = {"processes"} if "role" in keys else set()
        sums = {"count", "bytes", "bytes_received", "first", "last"}
        assert set(row) - {"origin"} == {*who, *number, *keys, *sums}
        assert 0 <= row["count"] < 2**70
        assert 0 <= row["bytes"] < 2**70
    for width in (None, 40, 250):
        table = render.render(found, View(keys), width)
        assert table.count("\n") == len(rows) + 1
        assert all(text.isprintable() for text in table.split("\n"))
        table.encode(errors="backslashreplace")
    assert 0 <= found.damaged <= found.lines + 1
    for since, until in (("", ""), ("", TIME), (TIME, LATER)):
        covered = coverage(found.runs, NO_FILTERS, since, until)
        assert said.sentence(covered).count("\n") == 0
        proof = verdict(found, covered, NO_FILTERS)
        assert proof.status == (1 if found.groups else 4)
        json.loads(render.coverage_line(covered, proof))


def counted(found, dst="10.9.9.9"):
    return sum(group.count for group in found.groups if group.keys["dst"] == dst)


@FUZZ
@given(mutants() | scratched() | st.binary(max_size=200), st.lists(st.sampled_from(list(KEYS))))
def test_one_bad_line(bad, by):
    """Those around it are counted, in every form of a report; and what is taken for whole is."""
    content = WHOLE + bad.removesuffix(b"\n") + b"\n" + WHOLE
    keys = (*by, "dst")
    found = report(content, keys)
    assert_sound(found, keys)
    assert counted(found) >= 2
    assert found.lines == content.count(b"\n")
    if bad.count(b"\n") == 1 and not found.damaged:
        assert isinstance(json.loads(bad.decode()), dict)


@FUZZ
@given(
    st.lists(mutants() | scratched() | st.sampled_from(SAMPLES), max_size=6),
    st.sampled_from([
        NO_FILTERS,
        Filters(failed=True),
        Filters(dport=frozenset({53}), pid=frozenset({4321}), uid=frozenset({1000})),
        Filters(comm=frozenset({b"dig"}), exe=frozenset({"/usr/bin/dig"})),
        Filters(unit=frozenset({"a.service"}), container=frozenset({"ab"}), netns=frozenset({1})),
    ]),
    st.sampled_from([EVER, Period(TIME, TIME), Period(LATER, ""), Period("", TIME)]),
)  # fmt: skip
def test_many_bad_lines(lines, filters, period):
    for keys in (DEFAULT_KEYS, *((key,) for key in KEYS)):
        assert_sound(report(b"".join(lines), keys, filters, period), keys)


@FUZZ
@given(st.data())
def test_a_damaged_compressed_file(data):
    packed = bytearray(gzip.compress(WHOLE * 50) + gzip.compress(SAMPLES[0]))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(packed)))
        packed[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    assert_sound(report(bytes(packed)), DEFAULT_KEYS)


WHO = json.loads(SAMPLES[3])["process"]
PARENT = WHO["parents"][0]
NUMBERS = (True, 1.0, "1", -1, 2**64, [], {}, float("nan"))
TEXTS = (True, 5, [], {}, "a" * 40_000)
NEVER = ("0001-01-01T00:00:00.000000000Z", "9999-12-31T23:59:59.999999999Z", "", "yesterday")
WRONG = {
    ("time",): (*TEXTS, None, *NEVER),
    ("event",): (*TEXTS, None, "", "SEND", "sent"),
    ("proto",): (*TEXTS, None, "", "icmpv6", "1", "256", "UDP"),
    ("bytes",): (*NUMBERS, None),
    ("count",): (*NUMBERS, None),
    ("segments",): (*NUMBERS, None),
    ("process",): (True, 5, "", [], {}),
    ("process", "pid"): NUMBERS,
    ("process", "initial_pid"): NUMBERS,
    ("process", "uid"): (*NUMBERS, None),
    ("process", "comm"): (*TEXTS, None),
    ("process", "exe"): TEXTS,
    ("process", "user"): TEXTS,
    ("process", "cgroup"): TEXTS,
    ("process", "start_time"): (*TEXTS, None, *NEVER),
    ("process", "args"): (True, 5, "", {}, ["a", 5], ["a" * 40_000]),
    ("process", "parents"): (True, 5, "a", {"a": 1}, [5], [{}], [{**PARENT, "pid": "1"}]),
    ("process", "container"): (True, 5, "", [], {}, *({"id": text} for text in TEXTS)),
    ("src",): (True, 5, "", [], {}, None),
    ("src", "addr"): (*TEXTS, "", "localhost", "10.0.0", "1::2::3"),
    ("dst", "addr"): (*TEXTS, "", "localhost", "10.0.0", "fe80::1%lo"),
    ("dst", "port"): NUMBERS,
    ("dst", "name"): TEXTS,
    ("interface",): TEXTS,
    ("via",): (*TEXTS, None, "SOCKET", "pigeon"),
    ("socket",): (True, 5, "", [], {}, None),
    ("socket", "netns"): NUMBERS,
}


@pytest.mark.parametrize(
    ("path", "value"),
    [(path, value) for path, values in WRONG.items() for value in values],
    ids=lambda value: str(value)[:20],
)
def test_a_value_of_the_wrong_kind_is_damage(path, value):
    bad = json.dumps(replaced(json.loads(SAMPLES[3]), path, value), separators=(",", ":"))
    found = report(WHOLE + bad.encode() + b"\n" + WHOLE)
    assert (found.damaged, found.lines) == (1, 3)
    assert [group.keys["dst"] for group in found.groups] == ["10.9.9.9"]


def test_what_came_for_a_socket_that_is_gone_is_no_damage():
    """Neither whose it was is known, nor its network namespace."""
    gone = line(flow(process=None, kind=EventKind.RECEIVE, netns=0), count=7)
    assert b'"netns":null' in gone
    found = report(WHOLE + gone)
    assert (found.damaged, counted(found, "10.0.0.5")) == (0, 7)


@pytest.mark.parametrize("lost", [True, 1.0, "1", -1, 2**64, [], None, float("nan")])
def test_a_loss_that_is_no_number_is_damage(lost):
    bad = json.dumps({"time": TIME, "event": "lost", "lost": lost}).encode()
    found = report(bad + b"\n" + LOST)
    missed = missed_in(found.runs.missed, None, NO_FILTERS)
    assert (missed["lost"], found.damaged) == (7, 1)


@pytest.mark.parametrize(
    "change",
    [
        (b'"bytes":10', b'"bytes":' + b"9" * 4301),
        (b'"bytes":10', b'"bytes":010'),
        (b'"bytes":10', b'"bytes":1e3'),
        (b'"last_time":"2026', b'"last_time":"9999'),
        (b'"last_time":"2026-11-24', b'"last_time":"2026-11-31'),
        (b'{"time":"', b'{"tame":"'),
        (b'01.000000000Z",', b'01.00000000\xffZ",'),
        (b'01.000000000Z",', b'01x000000000Z",'),
        (b'01.000000000Z",', b'01.000000000X",'),
        (b'"dig"', b'"di\xff"'),
        (b'"dig"', b'"di\xed\xa0\x80"'),
        (b'"args":[', b'"args":[' + b"[" * 100_000),
        (b'"args":[', b'"args":[' + b"9" * 5000 + b","),
    ],
)
def test_bytes_that_are_damage(change):
    good = line(flow(), count=7)
    bad = good.replace(*change, 1)
    assert bad != good
    found = report(WHOLE + bad + WHOLE)
    assert (found.damaged, found.lines) == (1, 3)
    assert counted(found) == 2


def test_sums_of_the_largest_numbers():
    large = WHOLE.replace(b'"bytes":10', b'"bytes":' + b"9" * 19).replace(
        b'"count":1', b'"count":' + b"9" * 19
    )
    found = report(large * 100)
    assert_sound(found, DEFAULT_KEYS)
    assert (counted(found), found.damaged) == (100 * (10**19 - 1), 0)


def test_a_name_that_would_move_the_cursor():
    named = line(flow(process=process(comm="\x1b[2J\n\u202e", exe="/a\udcff")))
    found = report(named, ("process",))
    assert_sound(report(named), DEFAULT_KEYS)
    assert found.damaged == 0
    assert_sound(found, ("process",))
    by_process = View(("process",))
    assert "\\x1b[2J\\n\\u202e" in render.render(found, by_process, None)
    row = json.loads(render.lines(found, by_process))
    assert row["process"]["exe"] == r"/a\udcff"  # no half pair


def test_one_long_name_does_not_widen_all_rows():
    long = line(flow(process=process(exe="/" + "x" * 16_000)))
    found = report(long + SAMPLES[0] * 10, ("exe",))
    assert max(map(len, render.render(found, View(("exe",)), None).splitlines())) < 400
    assert len(found.groups[1].keys["exe"]) == 16_001


def test_what_is_remembered_is_bounded_in_bytes(monkeypatch):
    monkeypatch.setattr("tracer.report.reader._ROOM", 1 << 20)
    held = []
    numbered = decode.flow

    def flow_seen(*arguments):
        held.append(1)
        return numbered(*arguments)

    monkeypatch.setattr(decode, "flow", flow_seen)
    long = line(flow()).replace(b'"thread":"', b'"thread":"%b' % (b"x" * 600_000))
    short = line(flow(process=None))
    found = report(short + long + long.replace(b"xxx", b"yyy") + short)
    assert found.damaged == 0
    assert len(held) == 4  # the first was forgotten, or all would be kept


def test_a_line_of_a_megabyte_is_damage():
    long = WHOLE.replace(b'"args":[', b'"args":["%b",' % (b"x" * (1 << 20)))
    found = report(WHOLE + long + WHOLE)
    assert (counted(found), found.damaged, found.lines) == (2, 1, 3)


def test_errors_are_not_taken_for_damage():
    with pytest.raises(OSError, match=r"."):
        summarize([Path("/no/such/file")], DEFAULT_KEYS, NO_FILTERS, EVER, lambda _: None)
    assert not issubclass(SockwatchError, decode.DAMAGE)


def test_what_the_tracer_knew_better_than_names():
    logged = {
        "pid": 1, "comm": "sshd", "exe": "/usr/sbin/sshd", "exe_here": False, "uid": 1000,
        "user": "ann", "cgroup": "/deleg/sshd.service", "unit": None,
        "container": {"id": "a" * 64, "user": 1000}, "start_time": "2026-11-24T00:00:00.000000000Z",
    }  # fmt: skip
    raw = f'"process":{json.dumps(logged)}'.encode()
    found, _ = decode_process.process(raw, {})
    shown = "/usr/sbin/sshd (not here)"
    assert (found.shown_exe, found.units, found.container.user) == (shown, (), 1000)
    # as in tracing, --exe does not take it by its path
    assert Filters(exe=frozenset({"/usr/sbin/sshd"})).selects(found) is False
    logged |= {"unit": "other.service", "exe_here": True}
    found, _ = decode_process.process(f'"process":{json.dumps(logged)}'.encode(), {})
    assert (found.shown_exe, found.units) == ("/usr/sbin/sshd", ("other.service",))


def test_every_loss_is_told():
    line = {
        "time": TIME,
        "event": "lost",
        "lost": 0,
        "processes_lost": 3,
        "skipped": 1,
        "unread": 7,
    }
    assert decode.mark(json.dumps(line).encode()).losses == {
        "lost": 0, "processes_lost": 3, "skipped": 1, "unread": 7
    }  # fmt: skip
