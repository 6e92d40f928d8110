# SPDX-License-Identifier: Apache-2.0
"""Sockets from before the start, on a listing that is made up."""

from ipaddress import ip_address

import pytest

from tests.samples import SOCKET, process, raw_flow
from tracer.errors import SockwatchError
from tracer.filter import parse
from tracer.filter.filters import NO_FILTERS, Filters
from tracer.model.address import IPV4_MAPPED
from tracer.model.flow import EventKind
from tracer.trace import initial

TCP = SOCKET._replace(proto="tcp")
DST = Filters(dst=parse.networks("10.0.0.5"))


class Enricher:
    """Knows who holds which inode."""

    def __init__(self, holders):
        self.holders = holders
        self.looked = 0

    def look_at_holders(self, _since):
        self.looked += 1

    def pids(self, sock):
        assert self.looked
        return self.holders.get(sock.inode, ())

    def complete(self, flow, sock):
        return flow._replace(interface=f"of {sock.inode}")


class Processes:
    def __init__(self, known):
        self.known, self.asked = known, []

    def now(self, pid):
        self.asked.append(pid)
        return self.known.get(pid)


class Run:
    def __init__(self, monkeypatch, sockets, holders=(), known=(), pending=()):
        self.said = []
        self.processes = Processes(dict(known))
        self.enricher = Enricher(dict(holders))
        self.pending = list(pending)
        self.sockets = sockets
        monkeypatch.setattr(initial.dump, "namespaces", lambda *_, **__: {1: None})
        monkeypatch.setattr(initial.dump, "sockets", self._list)

    def _list(self, selection, *_):
        for one in self.sockets:
            if isinstance(one, Exception):
                raise one
            if selection.takes(one):
                yield one

    def find(self, filters=NO_FILTERS):
        return initial.find(
            filters, self.enricher, self.processes, lambda: self.pending, self.said.append
        )


def seen(kind, **changes):
    """In the ring: (header, page offset, head, struct flow)."""
    ends = {"saddr": IPV4_MAPPED + ip_address("10.0.0.1").packed, "sport": 40001,
            "daddr": IPV4_MAPPED + ip_address("10.0.0.5").packed, "dport": 53,
            "netns": 1}  # fmt: skip
    return (0, 0, 1, 0, 0, 0, 1, 0, raw_flow(kind=kind, proto=6, **{**ends, **changes}))


def test_a_flow_for_each_with_a_peer(monkeypatch):
    sockets = [TCP, SOCKET._replace(inode=78, dst=None), SOCKET._replace(inode=79)]
    found = Run(monkeypatch, sockets).find()
    assert [(flow.kind, flow.proto, flow.interface) for flow in found.flows] == [
        (EventKind.EXISTING, "tcp", "of 77"),
        (EventKind.EXISTING, "udp", "of 79"),
    ]
    assert (found.undecided, found.complete) == (0, True)
    (first, _) = found.flows
    assert [str(end) for end in (first.src, first.dst)] == ["10.0.0.1:40001", "10.0.0.5:53"]
    assert (first.cookie, first.netns) == (18, 1)


def test_by_the_filter(monkeypatch):
    sockets = [TCP, TCP._replace(dst="10.0.0.6")]
    assert len(Run(monkeypatch, sockets).find(DST).flows) == 1


def test_no_failure_is_there_already(monkeypatch):
    found = Run(monkeypatch, [TCP]).find(Filters(failed=True))
    assert (found.flows, found.undecided, found.complete) == ([], 0, True)


def test_the_first_holder_that_matches(monkeypatch):
    holders, known = {77: (1, 9)}, {1: process(pid=1, uid=0), 9: process(pid=9, uid=1000)}
    run = Run(monkeypatch, [TCP], holders, known)
    (flow,) = run.find(Filters(uid=frozenset({1000}))).flows
    assert flow.process.pid == 9
    (flow,) = run.find().flows
    assert flow.process.pid == 1


def test_each_process_is_looked_at_once(monkeypatch):
    run = Run(monkeypatch, [TCP, TCP._replace(inode=78)], {77: (9,), 78: (9,)}, {9: process()})
    assert len(run.find().flows) == 2
    assert run.processes.asked == [9]


def test_a_holder_that_is_gone(monkeypatch):
    run = Run(monkeypatch, [TCP], {77: (9,)})
    (flow,) = run.find().flows
    assert flow.process is None
    for asked in (Filters(pid=frozenset({9})), Filters(comm=frozenset({b"x"}))):
        found = run.find(asked)
        assert (found.flows, found.undecided) == ([], 1)  # it may have been this one's


def test_what_cannot_be_decided(monkeypatch):
    """Its unit is not known: neither shown nor forgotten."""
    run = Run(monkeypatch, [TCP], {77: (9,)}, {9: process(cgroup=None)})
    found = run.find(Filters(unit=frozenset({"x.service"})))
    assert (found.flows, found.undecided) == ([], 1)
    found = run.find(Filters(unit=frozenset({"x.service"}), comm=frozenset({b"other"})))
    assert (found.flows, found.undecided) == ([], 0)


@pytest.mark.parametrize("kind", [EventKind.CONNECT, EventKind.CONNECTED, EventKind.ACCEPT])
@pytest.mark.parametrize("known", [{"cookie": 18, "sport": 1}, {"cookie": 0}])
def test_a_connection_that_the_hooks_saw_begin_is_new(monkeypatch, kind, known):
    assert Run(monkeypatch, [TCP], pending=[seen(kind, **known)]).find().flows == []


@pytest.mark.parametrize(
    "entry",
    [
        seen(EventKind.CLOSE, cookie=18),
        seen(EventKind.CONNECT, cookie=19, sport=40002),
        seen(EventKind.CONNECT, cookie=0, netns=2),
    ],
)
def test_another_connection_is_not(monkeypatch, entry):
    assert len(Run(monkeypatch, [TCP], pending=[entry]).find().flows) == 1


def test_udp_has_no_beginning(monkeypatch):
    entry = seen(EventKind.SEND, cookie=18)
    assert len(Run(monkeypatch, [SOCKET], pending=[entry]).find().flows) == 1


def test_udp_with_the_ends_of_a_new_connection(monkeypatch):
    entry = seen(EventKind.CONNECT, cookie=0)
    assert len(Run(monkeypatch, [SOCKET], pending=[entry]).find().flows) == 1


def test_the_hooks_are_asked_after_the_listing(monkeypatch):
    run = Run(monkeypatch, [TCP])
    listed = []
    monkeypatch.setattr(initial.dump, "sockets", lambda *_: listed.append(1) or iter([TCP]))
    initial.find(
        NO_FILTERS, run.enricher, run.processes, lambda: listed.append(2) or [], run.said.append
    )
    assert listed == [1, 2]


def test_what_was_found_before_an_error_stays(monkeypatch):
    run = Run(monkeypatch, [TCP, SockwatchError("it cannot be", "do this")])
    found = run.find()
    assert (len(found.flows), found.complete) == (1, False)
    assert run.said == ["not shown: sockets from before the start, since it cannot be"]
