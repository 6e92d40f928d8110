# SPDX-License-Identifier: Apache-2.0
"""How much of each connection is told, and when."""

from ipaddress import ip_address

import pytest

from tests.samples import flow
from tracer.inventory.volumes import Volume
from tracer.model.flow import Endpoint, EventKind, Moved
from tracer.model.socket import Socket
from tracer.trace.connections import Connections

ENDS = {
    "proto": "tcp",
    "src": Endpoint(ip_address("10.0.0.1"), 40000),
    "dst": Endpoint(ip_address("10.0.0.5"), 443),
    "netns": 1,
    "oif": None,
}


def tcp(kind=EventKind.CONNECTED, cookie=7, **changes):
    return flow(kind=kind, cookie=cookie, **{**ENDS, **changes})


def test_which_are_open():
    connections = Connections()
    connections.begin(tcp())
    assert connections.has(tcp())
    assert connections.has(tcp(cookie=None))
    assert not connections.has(tcp(cookie=8, src=Endpoint(ip_address("10.0.0.1"), 1)))
    connections.end(tcp(), Moved(0, 0))
    assert not connections.has(tcp())


def listed(sent, received, cookie=7, sport=40000):
    ends = ("10.0.0.1", sport, "10.0.0.5", 443)
    row = Socket("tcp", "ESTAB", 0, 0, *ends, 0, 1, cookie, 4, ifindex=0, netns=1, details=b"")
    return row, Volume(sent, received, 1)


@pytest.fixture
def connections():
    return Connections()


def moved(connections, *rows, looked_into=(1,)):
    return [one for _, one in connections.look(rows, looked_into) if any(one)]


@pytest.mark.parametrize("cookie", [7, None])
def test_each_look_tells_what_is_new(connections, cookie):
    connections.begin(tcp(cookie=cookie))
    assert moved(connections, listed(100, 5)) == [(100, 5)]
    assert moved(connections, listed(100, 5)) == []
    assert moved(connections, listed(100, 7)) == [(0, 2)]
    assert connections.end(tcp(EventKind.CLOSE, cookie), Moved(130, 7)) == (30, 0)
    assert len(connections) == 0


def test_a_cookie_that_only_one_of_both_has(connections):
    connections.begin(tcp(cookie=7))
    assert moved(connections, listed(100, 0)) == [(100, 0)]
    assert connections.end(tcp(EventKind.CLOSE, None), Moved(100, 0)) == (0, 0)
    connections.begin(tcp(cookie=None))
    assert connections.end(tcp(EventKind.CLOSE, 7), Moved(100, 0)) == (100, 0)
    assert len(connections) == 0


def test_the_same_ends_again(connections):
    connections.begin(tcp(cookie=7))
    assert moved(connections, listed(100, 0)) == [(100, 0)]
    connections.begin(tcp(cookie=8))  # the end of the first one was missed
    assert moved(connections, listed(30, 0, cookie=8)) == [(30, 0)]
    assert connections.end(tcp(EventKind.CLOSE, 8), Moved(40, 0)) == (10, 0)


def test_one_from_before_tells_only_what_came_later(connections):
    connections.begin(tcp(EventKind.EXISTING, before=Moved(5_500_000, 9)))
    assert moved(connections, listed(5_500_001, 9)) == [(1, 0)]
    assert connections.end(tcp(EventKind.CLOSE), Moved(5_500_003, 10)) == (2, 1)


def test_one_from_before_whose_volume_is_not_known(connections):
    connections.begin(tcp(EventKind.EXISTING, before=None))
    assert moved(connections, listed(1000, 0)) == []  # from here on it is
    assert moved(connections, listed(1001, 0)) == [(1, 0)]
    connections.begin(tcp(EventKind.EXISTING, 9, src=Endpoint(ip_address("10.0.0.1"), 9)))
    end = tcp(EventKind.CLOSE, 9, src=Endpoint(ip_address("10.0.0.1"), 9))
    assert connections.end(end, Moved(50, 0)) is None


def test_one_whose_beginning_was_not_seen_is_told_at_its_end(connections):
    assert connections.end(tcp(EventKind.CLOSE), Moved(50, 6)) == (50, 6)


def test_one_that_has_gone_unseen_is_forgotten(connections):
    connections.begin(tcp())
    assert moved(connections) == []
    assert len(connections) == 1  # it may have begun after the listing
    assert moved(connections) == []
    assert len(connections) == 0


def test_one_in_a_namespace_that_cannot_be_looked_into_is_kept(connections):
    connections.begin(tcp())
    assert moved(connections, listed(100, 0)) == [(100, 0)]
    for _ in range(3):
        assert moved(connections, looked_into=()) == []
    assert connections.end(tcp(EventKind.CLOSE), Moved(130, 0)) == (30, 0)


def test_one_that_has_moved_nothing_is_known_to(connections):
    connections.begin(tcp())
    assert [one for _, one in connections.look([listed(0, 0)], (1,))] == [(0, 0)]


def test_others_are_not_told_of(connections):
    connections.begin(tcp())
    assert moved(connections, listed(10, 0, cookie=1, sport=1)) == []
