# SPDX-License-Identifier: Apache-2.0
"""Which flow what is received belongs to; memory is bounded."""

from ipaddress import ip_address

import pytest

from tests.samples import flow, process
from tracer.model.flow import Endpoint, EventKind
from tracer.trace import received
from tracer.trace.received import Received


def came(port=53):
    """A flow that receives from there."""
    return flow(kind=EventKind.RECEIVE, dst=Endpoint(ip_address("10.0.0.5"), port))


def sends(port=53):
    return came(port)._replace(kind=EventKind.SEND, process=process())


@pytest.fixture
def found(monkeypatch):
    monkeypatch.setattr(received, "_MAX_NOTED", 4)
    return Received()


def test_who_sends_takes_what_was_nobodys(found):
    for key in (b"1", b"2", b"1"):
        found.note(came(), key)
    found.note(came(port=54), b"3")
    assert found.sent(sends()) == {b"1", b"2"}
    assert found.sent(sends()) == set()
    assert found.sent(sends(port=54)) == {b"3"}


@pytest.mark.parametrize("ports", [1, 1000])
def test_what_is_noted_is_bounded(found, ports):
    """From many, and of many threads that read what comes from one."""
    for number in range(1001):
        found.note(came(number % ports), bytes([number % 256, number // 256]))
    held = [found.sent(sends(port)) for port in range(ports)]
    assert 0 < sum(map(len, held)) <= 4


def test_what_was_taken_makes_room(found):
    for number in range(0, 30, 3):
        keys = {bytes([number + i]) for i in range(3)}
        for key in keys:
            found.note(came(number), key)
        assert found.sent(sends(number)) == keys


def test_what_is_noted_again_takes_no_room(found):
    for _ in range(9):
        found.note(came(), b"1")
        found.note(came(), b"2")
    assert found.sent(sends()) == {b"1", b"2"}
