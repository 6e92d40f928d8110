# SPDX-License-Identifier: Apache-2.0
"""What was watched when, and what was missed when, as a log's lines tell it."""

import pytest

from tests.logs import format_1
from tests.samples import event, flow, process
from tracer.filter.filters import NO_FILTERS
from tracer.model.fields import Rendering
from tracer.output.jsonl import to_json
from tracer.report import runs
from tracer.report.groups import summarize
from tracer.report.runs import EVER, Rotated, Span
from tracer.report.times import Period

RENDERING = Rendering("", lambda _: at(0))
DST = {"dst": ["10.0.0.5"]}


def at(second):
    return f"2026-11-24T00:{second // 60:02}:{second % 60:02}.000000000Z"


def send(second):
    return format_1(flow(process=process()), RENDERING, event(), at(second), at(second))


def mark(second, name, /, **fields):
    return to_json({"time": at(second), "event": name, **fields}) + "\n"


def start(second, parts=DST, **fields):
    return mark(second, "start", filter=parts, blind_spots=["x"], **{"existing": 0, **fields})


def alive(second, lines, parts=DST, **fields):
    known = {"existing": 0, "undecided": 0, "log_lines_lost": 0}
    return mark(second, "alive", filter=parts, lines=lines, blind_spots=[], **{**known, **fields})


def stop(second, **fields):
    return mark(second, "stop", **{"existing": 0, "undecided": 0, "log_lines_lost": 0, **fields})


def read(tmp_path, *logs, continued=False):
    paths = []
    for number, lines in enumerate(logs):
        path = tmp_path / f"log{number}"
        path.write_text("".join(lines))
        paths.append(path)
    after = paths[1:] if continued else ()
    return summarize(paths, ("dst",), NO_FILTERS, Period("", ""), lambda _: None, after).runs


def segments(found):
    return [(one.span, one.watched.parts if one.watched else None) for one in found.segments]


def span(first, last):
    return Span(at(first), at(last))


def missed(found):
    return [(one.name, one.number, one.span) for one in found.missed]


def test_a_run_that_stops(tmp_path):
    found = read(tmp_path, [start(0), send(5), stop(60)])
    assert segments(found) == [(span(0, 60), DST)]
    assert (missed(found), found.rotated, found.span) == ([], [], span(0, 60))


def test_a_run_that_is_killed_is_covered_until_its_last_line(tmp_path):
    for last in (send(61), alive(61, 2), mark(61, "lost", lost=0)):
        found = read(tmp_path, [start(0), send(5), last, start(100), stop(101)])
        assert segments(found) == [(span(0, 61), DST), (span(100, 101), DST)]
    found = read(tmp_path, [start(0), send(30)])
    assert segments(found) == [(span(0, 30), DST)]
    assert read(tmp_path, [start(0)]).segments == []


def test_a_killed_run_that_may_not_know_whose_an_event_is(tmp_path):
    """Only an alive line tells how many events it could not decide on."""
    parts = {"unit": ["a.service"]}
    lines = [start(0, parts), send(5), alive(60, 2, parts), send(70)]
    assert segments(read(tmp_path, lines)) == [(span(0, 60), parts)]
    parts = {"colour": ["red"]}  # of a later version
    assert segments(read(tmp_path, [start(0, parts), send(5), stop(6)])) == [(span(0, 6), parts)]
    assert read(tmp_path, [start(0, parts), send(5)]).segments == []


def test_a_run_goes_on_in_the_next_file(tmp_path):
    parts = [[start(0), send(5)], [send(20), stop(30)]]
    assert segments(read(tmp_path, *parts, continued=True)) == [(span(0, 30), DST)]
    assert segments(read(tmp_path, *parts)) == [(span(0, 5), DST), (span(20, 30), None)]


def test_an_empty_file_begins_a_log_too(tmp_path):
    paths = [tmp_path / name for name in ("other", "empty", "log")]
    for path, lines in zip(paths, ([start(0), send(5)], [], [send(20), stop(30)]), strict=True):
        path.write_text("".join(lines))
    found = summarize(paths, ("dst",), NO_FILTERS, Period("", ""), lambda _: None, paths[2:]).runs
    assert segments(found) == [(span(0, 5), DST), (span(20, 30), None)]


def test_a_run_whose_beginning_is_rotated_away(tmp_path):
    found = read(tmp_path, [send(20), send(21), alive(60, 172), alive(120, 173), stop(130)])
    assert segments(found) == [(span(20, 130), DST)]
    assert (found.rotated, missed(found)) == ([Rotated(170, at(20))], [])


def test_a_run_of_which_lines_are_gone(tmp_path):
    found = read(tmp_path, [start(0), send(1), alive(60, 2), alive(120, 10), stop(130)])
    assert missed(found) == [("lines_missing", 7, span(60, 120))]
    assert segments(found) == [(span(0, 130), DST)]


def test_a_start_line_that_is_damaged(tmp_path):
    """What comes behind it is not taken for the run before."""
    damaged = start(100)[:50] + "\n"
    found = read(tmp_path, [start(0), send(1), alive(60, 2), damaged, send(101), alive(160, 2)])
    assert segments(found) == [(span(0, 60), DST)]
    assert ("damaged", 1, span(60, 160)) in missed(found)
    other = {"dst": ["10.0.0.6"]}
    found = read(tmp_path, [start(0), send(1), damaged, send(101), alive(160, 5, other), stop(170)])
    assert segments(found) == [(span(160, 170), other)]
    assert read(tmp_path, [start(0), stop(1), damaged, send(101)]).segments == [
        read(tmp_path, [start(0), stop(1)]).segments[0]
    ]
    found = read(tmp_path, [start(0), stop(1), damaged, send(101), alive(160, 2), stop(170)])
    assert segments(found) == [(span(0, 1), DST), (span(160, 170), DST)]


def test_what_is_lost_was_lost_since_the_line_before(tmp_path):
    loss = mark(90, "lost", lost=3, skipped=1)
    found = read(tmp_path, [start(0), alive(60, 1), loss, stop(100)])
    assert missed(found) == [("lost", 3, span(60, 90)), ("skipped", 1, span(60, 90))]


def test_counts_since_the_start_are_told_once(tmp_path):
    counts = {"undecided": 2, "log_lines_lost": 5, "unfinished": 1}
    lines = [start(0), alive(60, 1, **counts), alive(120, 2, **counts), stop(150, undecided=3)]
    found = missed(read(tmp_path, lines))
    assert sorted(found) == [
        ("log_lines_lost", 5, span(0, 60)),
        ("undecided", 1, span(120, 150)),
        ("undecided", 2, span(0, 60)),
        ("unfinished", 1, span(0, 60)),
    ]


def test_damage_lies_between_lines_about_the_run(tmp_path):
    found = read(tmp_path, [start(0), alive(60, 1), "what\n", "what\n", send(70), alive(120, 5)])
    assert missed(found) == [("damaged", 2, span(60, 120))]
    found = read(tmp_path, [start(0), send(10), '{"time":"2026-11'])
    assert missed(found) == [("damaged", 1, Span(at(0), EVER))]


@pytest.mark.parametrize("how", ["start", "stop", "never"])
def test_sockets_from_before_that_could_not_be_listed(tmp_path, how):
    begins = mark(0, "start", filter=DST, **({"existing": None} if how == "start" else {}))
    ends = stop(9, existing=None) if how == "stop" else send(9)
    assert missed(read(tmp_path, [begins, ends])) == [("existing", None, span(0, 9))]


def test_a_network_namespace_that_is_another_now(tmp_path):
    change = mark(10, "netns", name="blue", before=7, netns=8)
    gone = mark(20, "netns", name="blue", before=8, netns=None)
    found = read(tmp_path, [start(0, {"netns": [7]}), change, gone, stop(30)])
    assert segments(found) == [
        (span(0, 10), {"netns": [7]}),
        (span(10, 20), {"netns": [8]}),
        (span(20, 30), {"netns": []}),
    ]
    assert len({one.run for one in found.segments}) == 1
    goes_on = [start(0, {"netns": [7]}), change, alive(60, 2, {"netns": [8]}), stop(70)]
    assert [one for one, _ in segments(read(tmp_path, goes_on))] == [span(0, 10), span(10, 70)]


def test_a_clock_that_is_set_back_covers_less(tmp_path):
    assert read(tmp_path, [start(60), stop(30)]).segments == []


@pytest.mark.parametrize(
    "bad",
    [
        stop(9, undecided=True),
        stop(9, existing=-1),
        alive(9, "1"),
        alive(9, 1, parts=["uid"]),
        alive(9, 1, parts={"uid": [[0]]}),
        alive(9, 1, parts={"uid": {}}),
        mark(9, "netns", name="blue", before="7", netns=None),
        to_json({"event": "stop"}) + "\n",
        to_json({"time": "soon", "event": "alive"}) + "\n",
    ],
)
def test_what_no_run_writes_is_damage(tmp_path, bad):
    found = read(tmp_path, [start(0, {"netns": [7]}), bad, stop(20)])
    assert missed(found) == [("damaged", 1, span(0, 20))]
    assert segments(found) == [(span(0, 20), {"netns": [7]})]


def test_memory_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "_MAX_MISSED", 10)
    monkeypatch.setattr(runs, "_MAX_SEGMENTS", 10)
    lines = [start(0), *(mark(n + 1, "lost", lost=1, skipped=2) for n in range(100)), stop(200)]
    found = read(tmp_path, lines)
    assert len(found.missed) <= 11
    for name, count in (("lost", 100), ("skipped", 200)):
        assert sum(one.number for one in found.missed if one.name == name) == count
    assert max(one.span.until for one in found.missed) == at(100)
    found = read(tmp_path, [line for n in range(0, 100, 2) for line in (start(n), stop(n + 1))])
    assert len(found.segments) <= 10
    assert found.segments[-1].span == span(98, 99)


def test_what_has_no_time(tmp_path):
    found = read(tmp_path, ["what\n"])
    assert (found.segments, found.span) == ([], None)
