# SPDX-License-Identifier: Apache-2.0
"""What the kernel counts of UDP."""

import socket

import pytest

from tracer.host import snmp
from tracer.host.snmp import UdpCounters

SNMP = """\
Tcp: ActiveOpens OutSegs
Tcp: 5 6
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors
Udp: 1 2 3 40 5
UdpLite: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors
UdpLite: 1 2 3 7 5
"""
SNMP6 = """\
Ip6OutRequests                  \t9
Udp6InDatagrams                 \t8
Udp6OutDatagrams                \t300
UdpLite6OutDatagrams            \t20
"""


def test_the_files_are_decoded():
    assert snmp.of_snmp(SNMP) == 47
    assert snmp.of_snmp6(SNMP6) == 320


@pytest.mark.parametrize(
    ("family", "address", "ipv4", "ipv6"),
    [
        (socket.AF_INET, "127.0.0.1", 5, 0),
        (socket.AF_INET6, "::1", 0, 5),
        (socket.AF_INET6, "::ffff:127.0.0.1", 5, 0),
    ],
)
def test_what_is_sent_is_counted(family, address, ipv4, ipv6):
    counters = UdpCounters()
    before = counters.sent()
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        for _ in range(5):
            sock.sendto(b"x", (address, 9))
    after = counters.sent()
    counters.close()
    assert after.ipv4 - before.ipv4 >= ipv4
    assert after.ipv6 - before.ipv6 >= ipv6
