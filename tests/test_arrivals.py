# SPDX-License-Identifier: Apache-2.0
"""Connections from elsewhere, where the kernel does not know whose they are."""

from ipaddress import ip_address

import pytest

from tests.samples import flow, process
from tracer.filter.filters import Filters
from tracer.model.flow import Endpoint, EventKind, Opener
from tracer.trace import arrivals
from tracer.trace.arrivals import Arrivals

MINE = Filters(pid=frozenset({4321}))


def tcp(kind, pid=4321, cookie=7, **changes):
    who = process(pid=pid) if pid else None
    src = Endpoint(ip_address("10.0.0.1"), cookie)
    return flow(kind=kind, proto="tcp", process=who, cookie=cookie, src=src, **changes)


def accept(pid=4321, cookie=7):
    return tcp(EventKind.ACCEPT, pid, cookie)


def close(pid=4321, cookie=7, **changes):
    return tcp(EventKind.CLOSE, pid, cookie, **changes)


def deciding(filters=MINE, pids=(), shown=()):
    return Arrivals(filters, lambda: frozenset(pids), lambda flow: flow.cookie in shown)


@pytest.mark.parametrize(("pid", "verdict"), [(4321, True), (5, False), (None, None)])
def test_by_who_has_accepted(pid, verdict):
    arrivals = deciding(shown=(7,) if verdict else ())
    assert arrivals.wanted(accept(pid)) is verdict
    assert arrivals.wanted(close(6)) is verdict  # whoever ends it
    assert arrivals.wanted(close(6, cookie=8)) is None  # its beginning is not known


def test_its_user_and_name():
    for filters, verdict in (
        (Filters(uid=frozenset({1000})), True),
        (Filters(uid=frozenset({0})), False),
        (Filters(comm=frozenset({b"dig"})), True),
        (Filters(comm=frozenset({b"di"})), False),
        (Filters(uid=frozenset({1000}), exe=frozenset({"/usr/bin/dig"})), True),
        (Filters(uid=frozenset({1000}), exe=frozenset({"/usr/bin/nc"})), False),
    ):
        assert deciding(filters).wanted(accept()) is verdict


def test_descendants_are_those_that_the_kernel_knows():
    family = MINE._replace(follow=True)
    assert deciding(family, pids=(4321, 5)).wanted(accept(5)) is True
    assert deciding(family, pids=(4321, 5)).wanted(accept(6)) is False
    assert deciding(family, pids=()).wanted(accept(4321)) is False


def test_all_else_is_the_kernels():
    assert deciding().wanted(tcp(EventKind.CONNECT, 5)) is True
    assert deciding().wanted(close(5, opener=Opener(5, 1))) is True


def test_only_so_many_are_remembered(monkeypatch):
    monkeypatch.setattr(arrivals, "_MAX_LEFT_OUT", 4)  # by cookie, and by ends
    deciding_one = deciding()
    for cookie in (1, 2, 3):
        assert deciding_one.wanted(accept(5, cookie)) is False
    assert [deciding_one.wanted(close(5, cookie)) for cookie in (1, 2, 3)] == [None, False, False]
