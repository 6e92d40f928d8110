# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF001
"""Which part of a time the traces cover, how that is said, and what it proves."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.logs import format_1
from tests.samples import flow
from tests.test_runs import alive, at, event, mark, send, span, start, stop
from tracer.errors import NOT_PROVEN
from tracer.filter import parse
from tracer.filter.filters import NO_FILTERS, Filters
from tracer.model.counts import COUNTS
from tracer.model.fields import LOSSES, Rendering
from tracer.model.flow import EventKind
from tracer.output.jsonl import to_json
from tracer.report import render, said
from tracer.report.coverage import coverage, gaps
from tracer.report.earlier import Earlier
from tracer.report.files import with_backups
from tracer.report.groups import summarize
from tracer.report.runs import Runs, Segment, Span
from tracer.report.times import Period
from tracer.report.verdict import NOBODY, SOMEBODY, verdict

pytestmark = pytest.mark.usefixtures("utc")

RENDERING = Rendering("", lambda _: at(0))
DST = Filters(dst=parse.networks("10.0.0.5"))
OTHER = Filters(dst=parse.networks("10.0.0.6"))
SENT = "10.0.0.5"  # what send() sends to


WIDE = {"dst": ["10.0.0.0/24"]}


class Asked:
    """A report on lines, of a part of the time."""

    def __init__(self, tmp_path, lines, filters=OTHER, since="", until=""):
        path = tmp_path / "log"
        path.write_text("".join(lines))
        earlier = Earlier(since) if since else None
        self.found = summarize(
            [path], ("dst",), filters, Period(since, until), lambda _: None, (), earlier
        )
        self.covered = coverage(self.found.runs, filters, since, until)
        self.said = said.sentence(self.covered)
        self.beyond = said.beyond(self.covered, filters)
        self.verdict = verdict(self.found, self.covered, filters, earlier)


def test_the_example(tmp_path):
    lines = [send(0), alive(1, 171), stop(240), start(360), mark(400, "lost", lost=3), stop(600)]
    asked = Asked(tmp_path, lines, DST)
    assert asked.said == (
        "traced 00:00:00–00:04:00 and 00:06:00–00:10:00 with --dst 10.0.0.5; 2 min not covered; "
        "events lost 3; 170 lines rotated away before 00:00:00"
    )
    assert asked.beyond is None


def test_other_filters_are_said_apart(tmp_path):
    lines = [start(0, {}), stop(10), start(20, {"proto": ["udp"], "version": [4], "uid": [0]}),
             stop(30), start(40, {"failed": True, "not_dst": ["10.0.0.1"]}), stop(50)]  # fmt: skip
    asked = Asked(tmp_path, lines, DST)
    assert asked.said == (
        "traced 00:00:00–00:00:10 with no filter; traced 00:00:20–00:00:30 with --udp -4 --uid 0; "
        "traced 00:00:40–00:00:50 with --failed --not-dst 10.0.0.1; 20 s not covered"
    )
    assert asked.beyond == (
        "00:00:20–00:00:30 was traced with --udp -4 --uid 0, not all of --dst 10.0.0.5; "
        "00:00:40–00:00:50 was traced with --failed --not-dst 10.0.0.1, not all of --dst 10.0.0.5"
    )


def test_of_many_filters_the_first_are_said(tmp_path):
    """A trace of another process each minute has as many."""
    lines = [
        line
        for n in range(300)
        for line in (start(n * 10, {"pid": [n + 1]}), send(n * 10 + 1), stop(n * 10 + 5))
    ]
    asked = Asked(tmp_path, lines, DST)
    assert asked.said.count("traced ") == asked.beyond.count(" was traced ") == 6
    assert "with --pid 6; and with 294 more filters; " in asked.said
    assert asked.beyond.endswith(
        "with --pid 6, not all of --dst 10.0.0.5; and with 294 more filters"
    )


def test_nothing_is_known(tmp_path):
    asked = Asked(tmp_path, [send(0)])
    assert asked.said == "not known what was traced"
    assert asked.verdict.status == NOT_PROVEN
    assert "not known what was traced" in Asked(tmp_path, []).verdict.text
    asked = Asked(tmp_path, [send(0), stop(9)])
    assert asked.said == "traced 00:00:00–00:00:09 with an unknown filter"
    assert asked.verdict.status == NOT_PROVEN


def test_many_times_and_days_are_told_in_short(tmp_path):
    runs = [line for n in range(0, 200, 20) for line in (start(n), stop(n + 10))]
    assert Asked(tmp_path, runs).said.count("–") == 6
    assert " and 4 more with " in Asked(tmp_path, runs).said
    asked = Asked(tmp_path, runs, since="2026-11-23T00:00:00.000000000Z")
    assert "traced 2026-11-24 00:00:00–2026-11-24 00:00:10 and" in asked.said
    assert "; 1 d 1 min not covered" in asked.said


def test_nobody(tmp_path):
    asked = Asked(tmp_path, [start(0, WIDE), send(5), alive(60, 2, WIDE), stop(70)])
    assert asked.verdict.status == NOBODY
    assert asked.verdict.text == (
        "nobody matches --dst 10.0.0.6, 00:00:00–00:01:10: all of it was traced, none missed; not "
        "looked for: x; connections from there (--accept); "
        "packets that are forwarded"
    )


def test_somebody(tmp_path):
    asked = Asked(tmp_path, [start(0, WIDE), send(5), mark(6, "lost", lost=1)], DST)
    assert asked.verdict.status == SOMEBODY
    assert asked.verdict.text.startswith("somebody: 1 group matches --dst 10.0.0.5, 00:00:00–")
    # a socket from before may send by now
    connection = flow(kind=EventKind.EXISTING, proto="tcp")
    there = format_1(connection, RENDERING, event(count=0, bytes=0), at(0), at(0))
    lines = [start(0, WIDE), there, stop(9)]
    assert Asked(tmp_path, lines, DST).verdict.status == SOMEBODY


def test_another_filter_proves_nothing(tmp_path):
    lines = [start(0), stop(60)]
    assert Asked(tmp_path, lines, DST).verdict.status == NOBODY
    asked = Asked(tmp_path, lines, OTHER)
    assert asked.verdict.status == NOT_PROVEN
    assert "not covered: 00:00:00–00:01:00 (1 min)" in asked.verdict.text
    assert (
        asked.beyond
        == "00:00:00–00:01:00 was traced with --dst 10.0.0.5, not all of --dst 10.0.0.6"
    )
    assert Asked(tmp_path, lines, NO_FILTERS).verdict.status == NOT_PROVEN
    udp = DST._replace(proto=frozenset({"udp"}))
    only = [start(0, {"dst": [SENT], "proto": ["tcp"]}), stop(60)]
    assert Asked(tmp_path, only, udp).verdict.status == NOT_PROVEN


@pytest.mark.parametrize(
    ("since", "until", "status"),
    [
        (at(10), at(50), NOBODY),
        (at(0), at(60), NOBODY),
        (at(10), at(61), NOT_PROVEN),
        (at(70), at(130), NOT_PROVEN),
        (at(130), at(140), NOBODY),
        (at(200), at(210), NOT_PROVEN),
        ("2026-11-23T00:00:00.000000000Z", at(10), NOT_PROVEN),
        ("", "2026-11-23T00:00:00.000000000Z", NOT_PROVEN),
        ("", at(30), NOBODY),
    ],
)
def test_the_whole_period_must_be_covered(tmp_path, since, until, status):
    lines = [start(0), stop(60), start(120), stop(180)]
    assert Asked(tmp_path, lines, DST, since, until).verdict.status == status


@pytest.mark.parametrize("name", LOSSES)
def test_any_loss_in_the_period_is_a_doubt(tmp_path, name):
    loss = mark(90, "lost", **{"lost": 0, name: 2})
    lines = [start(0), alive(60, 1), loss, alive(120, 3), stop(180)]
    asked = Asked(tmp_path, lines, DST)
    assert asked.verdict.status == NOT_PROVEN
    assert asked.verdict.text.endswith(f": {COUNTS[name].word} 2")
    assert Asked(tmp_path, lines, DST, at(70), at(80)).verdict.status == NOT_PROVEN
    for since, until in ((at(0), at(50)), (at(100), at(110))):
        assert Asked(tmp_path, lines, DST, since, until).verdict.status == NOBODY


@pytest.mark.parametrize(
    ("lines", "doubt"),
    [
        ([start(0), "what\n", stop(60)], "lines damaged 1"),
        ([start(0), stop(60, log_lines_lost=4)], "log lines lost 4"),
        ([start(0), mark(9, "lost", lost=0, output_lines_lost=5), stop(60)], "output lines lost 5"),
        ([start(0), stop(60, undecided=1)], "could not tell whose 1"),
        ([start(0), stop(60, existing=None)], "already connected unknown"),
        ([start(0), alive(30, 9), stop(60)], "lines gone 8"),
    ],
)
def test_whatever_else_may_hide_an_event_is_a_doubt(tmp_path, lines, doubt):
    asked = Asked(tmp_path, lines, DST)
    assert asked.verdict.status == NOT_PROVEN
    assert doubt in asked.verdict.text


def test_results_that_were_not_seen_hide_failures(tmp_path):
    lines = [start(0), stop(60, unfinished=1)]
    assert Asked(tmp_path, lines, DST).verdict.status == NOBODY
    assert Asked(tmp_path, lines, DST._replace(failed=True)).verdict.status == NOT_PROVEN


def test_an_event_of_nobody_known_may_be_anybodys(tmp_path):
    nobody = format_1(flow(process=None), RENDERING, event(), at(5), at(5))
    lines = [start(0, {}), nobody, stop(60)]
    asked = Asked(tmp_path, lines, Filters(uid=frozenset({0})))
    assert asked.verdict.status == NOT_PROVEN
    assert "1 events of which it is not known whose" in asked.verdict.text


def tcp(second, kind, cookie=18, error=0):
    connection = flow(kind=kind, proto="tcp", cookie=cookie)
    return format_1(connection, RENDERING, event(error=error), at(second), at(second))


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([], NOBODY),
        ([tcp(5, EventKind.CONNECT), tcp(6, EventKind.CONNECTED)], NOT_PROVEN),
        ([tcp(5, EventKind.EXISTING)], NOT_PROVEN),
        ([tcp(5, EventKind.CONNECTED), tcp(9, EventKind.CLOSE)], NOBODY),
        ([tcp(5, EventKind.CONNECTED), tcp(9, EventKind.CLOSE, 19)], NOT_PROVEN),
        ([tcp(5, EventKind.CONNECT), tcp(5, EventKind.CONNECT_FAILED, error=111)], NOBODY),
        ([tcp(5, EventKind.CONNECTED, None), tcp(6, EventKind.CLOSE, None)], NOT_PROVEN),
        ([send(5)], NOBODY),
        ([tcp(5, EventKind.CONNECTED), start(6)], NOBODY),  # which would have listed it
    ],
)
def test_connections_from_before_the_period(tmp_path, lines, status):
    asked = Asked(tmp_path, [start(0), *lines, stop(60)], DST, at(30), at(40))
    assert asked.verdict.status == status


def test_lines_that_reach_into_the_period(tmp_path):
    counted = format_1(flow(), RENDERING, event(count=9), at(20), at(35))
    asked = Asked(tmp_path, [start(0), counted, stop(60)], DST, at(30), at(40))
    assert asked.verdict.status == NOT_PROVEN
    assert (
        Asked(tmp_path, [start(0), counted, stop(60)], DST, at(36), at(40)).verdict.status == NOBODY
    )


def test_json(tmp_path):
    lines = [send(0), alive(1, 171, WIDE), stop(60)]
    asked = Asked(tmp_path, lines, OTHER)
    found = json.loads(render.coverage_line(asked.covered, asked.verdict))["coverage"]
    assert found == {
        "since": at(0),
        "until": at(60),
        "traced": [
            {
                "since": at(0),
                "until": at(60),
                "host": None,
                "filter": WIDE,
                "left_out": [],
                "not_looked_for": [
                    "connections from there (--accept)",
                    "packets that are forwarded",
                ],
            }
        ],
        "not_covered": [],
        "not_covered_on": {},
        "missed": {},
        "rotated_away": [{"lines": 170, "before": at(0)}],
        "proven": True,
    }
    assert json.loads(render.coverage_line(asked.covered, None))["coverage"]["proven"] is None


@pytest.mark.parametrize(
    ("spans", "left"),
    [
        ([], [(0, 60)]),
        ([(0, 60)], []),
        ([(10, 20)], [(0, 10), (20, 60)]),
        ([(30, 60), (0, 30)], []),
        ([(0, 40), (10, 20)], [(40, 60)]),
        ([(0, 0), (60, 60)], [(0, 60)]),
    ],
)
def test_gaps(spans, left):
    assert gaps([span(*one) for one in spans], span(0, 60)) == [span(*one) for one in left]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 59), st.integers(0, 59)).map(sorted)))
def test_gaps_and_spans_are_the_whole(spans):
    left = gaps([span(*one) for one in spans], span(0, 59))
    for second in range(59):
        inside = any(first <= second and second + 1 <= last for first, last in spans)
        if inside:
            assert not any(one.since <= at(second) and at(second + 1) <= one.until for one in left)
        if not any(first <= second + 1 and second <= last for first, last in spans):
            assert any(one.since <= at(second) and at(second + 1) <= one.until for one in left)
    assert all(isinstance(one, Span) and one.since < one.until for one in left) or not spans


def names(found):
    return [path.name for path in found.paths]


def test_backups_are_found_oldest_first_and_once(tmp_path):
    for name in ("log", "log.1", "log.2.gz", "log.4", "other", "other.1"):
        (tmp_path / name).touch()
    log, first, other = (tmp_path / name for name in ("log", "log.1", "other"))
    found = with_backups([log])
    assert names(found) == ["log.2.gz", "log.1", "log"]
    assert {path.name for path in found.continued} == {"log.1", "log"}
    assert names(with_backups([first, log, log, tmp_path / "." / "log.2.gz"])) == names(found)
    assert names(with_backups([first])) == ["log.1"]
    assert names(with_backups([other, log])) == ["other.1", "other", *names(found)]
    (tmp_path / "link").symlink_to(log)
    assert names(with_backups([log, tmp_path / "link"])) == names(found)
    assert names(with_backups([tmp_path / "none"])) == ["none"]


def test_more_connections_from_before_than_are_remembered(monkeypatch):
    """One that was forgotten may still be open, whatever ends."""
    monkeypatch.setattr("tracer.report.earlier._MAX_OPEN", 3)
    earlier, runs = Earlier(at(60)), Runs()
    runs.segments.append(Segment(Span(at(0), at(90)), None, 0))
    take = earlier.at(runs)
    for kind in ("connect", "close"):
        for cookie in range(1, 9):
            head = f'{{"time":"{at(cookie)}","event":"{kind}","proto":"tcp",'
            take(f'{head}"socket":{{"cookie":{cookie},'.encode(), b"")
        assert earlier.still_open(runs) == (4 if kind == "connect" else 1)


def test_each_host_must_have_watched(tmp_path):
    """No host's log stands for another's."""

    def on(name, *lines):
        host = {"name": name, "machine_id": None, "boot_id": "b"}
        begin = json.loads(lines[0]) | {"host": host}
        return [to_json(begin) + "\n", *lines[1:]]

    logs = [on("web1", start(0), stop(60)), on("web2", start(30), stop(60))]
    asked = Asked(tmp_path, logs[0], DST, at(0), at(60))
    assert asked.verdict.status == NOBODY
    paths = [tmp_path / "web1", tmp_path / "web2"]
    for path, lines in zip(paths, logs, strict=True):
        path.write_text("".join(lines))
    found = summarize(paths, ("dst",), DST._replace(accept=True), Period("", ""), lambda _: None)
    covered = coverage(found.runs, DST, at(0), at(60))
    proof = verdict(found, covered, DST)
    assert proof.status == NOT_PROVEN
    assert "not covered on web2: 00:00:00–00:00:30 (30 s)" in proof.text
    assert "web1" not in proof.text
    shown = said.as_json(covered, proven=False)
    assert shown["not_covered_on"] == {"web2": [{"since": at(0), "until": at(30)}]}
    assert shown["not_covered"] == [{"since": at(0), "until": at(30)}]
    whole = coverage(found.runs, DST, at(30), at(60))
    assert verdict(found, whole, DST).status == NOBODY


@pytest.mark.parametrize(
    ("name", "machine", "said"), [("web2", "b" * 32, "web2"), ("web1", "b" * 32, "web1 (bbbbbbbb)")]
)
def test_a_host_that_has_only_begun_has_not_watched(tmp_path, name, machine, said):
    """Nor has another machine of the same name."""
    paths = [tmp_path / "one", tmp_path / "other"]
    for path, host, lines in (
        (paths[0], ("web1", "a" * 32), [start(0), stop(60)]),
        (paths[1], (name, machine), [start(30)]),
    ):
        known = {"name": host[0], "machine_id": host[1], "boot_id": "b"}
        begin = to_json(json.loads(lines[0]) | {"host": known})
        path.write_text(f"{begin}\n" + "".join(lines[1:]))
    found = summarize(paths, ("dst",), DST._replace(accept=True), Period("", ""), lambda _: None)
    proof = verdict(found, coverage(found.runs, DST, at(0), at(60)), DST)
    assert proof.status == NOT_PROVEN
    assert f"not covered on {said}: 00:00:00" in proof.text
