# SPDX-License-Identifier: Apache-2.0
"""What the kernel is asked about a route, and which of its answers counts."""

import errno
from ipaddress import ip_address

import pytest

from tracer.host.netlink import routes
from tracer.host.netlink.routes import _Answer
from tracer.model.flow import Bound, Endpoint, RouteKey

FREE, ADDRESS, DEVICE = Bound(0), Bound.ADDRESS, Bound.DEVICE
SRC, DST = ip_address("10.0.0.1"), ip_address("10.9.9.9")
SRC6, DST6 = ip_address("fd00::1"), ip_address("fd99::9")
LINK_LOCAL = ip_address("fe80::9")
FIRST, SECOND = (_Answer(3, ip_address(f"10.0.0.{last}"), SRC, 254) for last in (2, 3))
ELSEWHERE = _Answer(4, None, SRC, 254)
ON_LINK = _Answer(3, None, SRC, 0)


@pytest.mark.parametrize(
    ("src", "dst", "oif", "bound", "first"),
    [
        (SRC, DST, 3, FREE, (None, 0)),
        (SRC, DST, 3, ADDRESS, (SRC, 0)),
        (SRC, DST, 3, DEVICE, (None, 3)),
        (SRC, DST, 0, ADDRESS, (SRC, 0)),
        (None, DST, 0, FREE, (None, 0)),
        (SRC6, DST6, 3, FREE, (SRC6, 0)),
        (SRC6, LINK_LOCAL, 3, FREE, (SRC6, 3)),
    ],
)
def test_first_the_question_that_the_socket_asks(src, dst, oif, bound, first):
    questions = routes._questions(src, dst, RouteKey(oif, 0, 0, bound))
    assert questions[0] == first
    assert len(set(questions)) == len(questions)
    assert (src, oif) in questions


@pytest.mark.parametrize(
    ("answers", "oif", "chosen"),
    [
        ([FIRST, SECOND], 0, FIRST),  # nothing to compare with: it is not asked further
        ([FIRST, SECOND], 3, FIRST),
        ([ELSEWHERE, FIRST], 3, FIRST),
        ([ELSEWHERE, FIRST, FIRST], 3, FIRST),
        ([ELSEWHERE, FIRST, SECOND], 3, None),  # either may be it
        ([ELSEWHERE, FIRST, ON_LINK], 3, FIRST),
        ([ELSEWHERE, ON_LINK], 3, ON_LINK),
        ([OSError(), FIRST], 3, FIRST),
        ([ELSEWHERE, ELSEWHERE], 3, None),
        ([OSError(), OSError()], 3, None),
    ],
)
def test_the_answer_that_the_packet_bears_out(answers, oif, chosen):
    def ask(question):
        answer = answers[question]
        if isinstance(answer, OSError):
            raise answer
        return answer

    assert routes._chosen(ask, 0, range(1, len(answers)), oif) == chosen


def test_no_route():
    def ask(_):
        raise OSError(errno.ENETUNREACH, "unreachable")

    with pytest.raises(OSError, match="unreachable"):
        routes._chosen(ask, 0, [], 0)


@pytest.mark.parametrize("dst", ["239.9.9.9", "ff0e::9", "fe80::9"])
def test_a_device_that_only_the_socket_knows(dst):
    key = RouteKey(0, 0, 0, FREE)
    assert routes.get("udp", Endpoint(None, 1), Endpoint(ip_address(dst), 2), key) is None


@pytest.mark.parametrize("proto", ["udp", "tcp", "udplite", None])
@pytest.mark.parametrize(("addr", "source"), [("127.0.0.5", "127.0.0.1"), ("::1", "::1")])
def test_this_kernel_understands_it(proto, addr, source):
    """With everything in it."""
    src, dst = (Endpoint(ip_address(one), 7000) for one in (source, addr))
    key = RouteKey(1, 7, 65_534, Bound.ADDRESS | Bound.DEVICE)
    route = routes.get(proto, src, dst, key)
    assert (route.interface, route.gateway, str(route.source)) == ("lo", None, source)
