# SPDX-License-Identifier: Apache-2.0
"""A namespace's own count of UDP datagrams against the calls that the hooks saw."""

import socket

import pytest

from tracer.host.snmp import Datagrams, UdpCounters
from tracer.kernel.udp_calls import Calls
from tracer.prove.datagrams import Sending, compare

FIRST = Datagrams(700, 30)


class FakeCalls:
    """Calls by cookie and inode, without a kernel."""

    def __init__(self, **counts):
        self.counts = Calls(**counts)

    def of(self, cookie, inode):
        assert (cookie, inode) == (5, 7)
        return self.counts


@pytest.fixture
def sock():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        yield made


@pytest.mark.parametrize(
    ("last", "calls", "unseen"),
    [
        (FIRST, Calls(), 0),
        (Datagrams(703, 31), Calls(3, 1), 0),
        (Datagrams(703, 31), Calls(9, 9), 0),
        (Datagrams(703, 31), Calls(2, 1), 1),
        (Datagrams(703, 32), Calls(3, 0), 2),
        (Datagrams(703, 32), Calls(99, 0), 2),  # a call by IPv4 sends nothing by IPv6
        (Datagrams(703, 32), Calls(1, 1), 3),
    ],
)
def test_what_was_sent_without_a_call(last, calls, unseen):
    assert compare(FIRST, last, calls) == unseen


@pytest.mark.parametrize(("number", "unseen"), [(0, 1), (1_000_000_000, 0)])
def test_only_what_was_sent_since_the_start_counts(sock, number, unseen):
    sock.sendto(b"x", ("127.0.0.1", 9))
    sending = Sending(FakeCalls(ipv4=number, ipv6=1_000_000_000))
    sending.begin()
    sock.sendto(b"x", ("127.0.0.1", 9))
    assert (sending.unseen(5, 7) >= 1) == bool(unseen)
    sending.close()


def test_of_a_new_namespace_all_counts(sock):
    sock.sendto(b"x", ("127.0.0.1", 9))
    new = Sending(FakeCalls(ipv6=1_000_000_000))
    assert new.unseen(5, 7) >= 1
    new.close()


def test_the_calls_are_read_after_the_counter(sock):
    """What is sent in between has a call, but is not counted yet."""

    class Sends:
        def of(self, *_):
            sock.sendto(b"x", ("127.0.0.1", 9))
            return Calls(ipv4=UdpCounters().sent().ipv4, ipv6=1_000_000_000)

    sending = Sending(Sends())
    assert sending.unseen(5, 7) == 0
    sending.close()
