# SPDX-License-Identifier: Apache-2.0
"""What came and went between two looks for the ways past the hooks."""

import pytest

from tracer.errors import SockwatchError
from tracer.filter.filters import NO_FILTERS
from tracer.inventory.bypasses.bypass import Bypass
from tracer.inventory.bypasses.search import Found
from tracer.prove import ways_past
from tracer.prove.ways_past import WaysPast


def way(what, **changes):
    return Bypass("packet_socket", what, (), 5, None, None)._replace(**changes)


@pytest.fixture
def watched(monkeypatch):
    """Watches what each look finds, in turn: ways, or a SockwatchError."""

    def watch(*looks):
        remaining = iter(looks)

        def find(*_):
            found = next(remaining)
            if isinstance(found, SockwatchError):
                raise found
            return found if isinstance(found, Found) else Found(list(found), [])

        monkeypatch.setattr(ways_past.search, "find", find)
        monkeypatch.setattr(ways_past.dump, "namespaces", lambda *_: {})
        monkeypatch.setattr(ways_past, "PERIOD", 0)
        monkeypatch.setattr(ways_past, "_SHARE", 0)
        ways = WaysPast(NO_FILTERS, "tracepoint")
        for _ in looks[2:]:
            ways.check()
        return ways.finish()

    return watch


def test_what_neither_end_has(watched):
    a, b, c = map(way, "abc")
    found = watched([a], [a, b], [a, c], [a, b, c], [c])
    assert found.before.bypasses == [a]
    assert found.after.bypasses == [c]
    assert found.between.bypasses == [b]


def test_as_many_as_there_were_at_once(watched):
    a = way("a")
    assert watched([], [a], [a], []).between.bypasses == [a]
    assert watched([], [a], [a, a], []).between.bypasses == [a, a]
    assert watched([a], [a, a], [a]).between.bypasses == [a]
    assert watched([a], [], [a]).between.bypasses == []


def test_only_what_may_be_used_unseen(watched):
    seen, other = way("a", seen=True), way("b", concerns=False)
    assert watched([], [seen, other], []).between.bypasses == []


def test_what_could_not_be_looked_into_is_kept_once(watched):
    no = Found([], ["no"])
    assert watched([], no, no, []).between.unreadable == ["no"]


def test_a_look_that_fails_in_between_is_said(watched):
    found = watched([way("a")], SockwatchError("gone"), [way("a")])
    assert found.between.unreadable == ["gone"]


def test_the_last_look_must_not_fail(watched):
    with pytest.raises(SockwatchError, match="gone"):
        watched([], [], SockwatchError("gone"))


def test_a_look_that_takes_long_is_not_repeated_at_once(monkeypatch):
    now = [100.0]

    def find(*_):
        now[0] += 0.5
        return Found([], [])

    monkeypatch.setattr(ways_past.search, "find", find)
    monkeypatch.setattr(ways_past.dump, "namespaces", lambda *_: {})
    monkeypatch.setattr(ways_past.time, "monotonic", lambda: now[0])
    ways = WaysPast(NO_FILTERS, "tracepoint")
    for later, looked in ((105.4, False), (105.5, True)):
        now[0] = later
        ways.check()
        assert (now[0] > later) is looked
