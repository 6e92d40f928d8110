# SPDX-License-Identifier: Apache-2.0
"""What a way past the hooks means for a filter; tests/native/test_bypasses.py makes real ones."""

import ast
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from tests.cases import PROBE_NAMES
from tracer.filter.filters import NO_FILTERS, Filters
from tracer.inventory.bypasses import bypass, seen
from tracer.inventory.bypasses.bypass import Way, diff, judge, single
from tracer.model.process import Holder

FOLDER = Path(bypass.__file__).parent
QEMU, SCAPY = Holder(4321, "qemu-system-x86", None), Holder(99, "scapy", None)
DST = Filters(dst=(ip_network("10.0.0.5"),))
PACKET = Way("packet_socket", "packet socket", (SCAPY,), 7)
TO_DST = single((ip_address("10.0.0.5"),))
TO_OTHER = single((ip_address("10.0.0.9"),))


def concerns(way, filters):
    return judge(way, filters, "fexit").concerns


@pytest.mark.parametrize(
    ("way", "place", "sentence"),
    [
        (Way("vhost_net", "/dev/vhost-net", (QEMU,)), None,
         "qemu-system-x86 (pid 4321) holds /dev/vhost-net"),
        (Way("qdisc_bypass", "packet socket with QDISC_BYPASS", (SCAPY,)), None,
         "packet socket with QDISC_BYPASS: scapy (pid 99)"),
        (PACKET._replace(owners=(SCAPY, Holder(5, None, None))), "blue",
         "packet socket in network namespace blue: scapy (pid 99), ? (pid 5)"),
        (Way("af_xdp", "2 AF_XDP sockets", None), None,
         "2 AF_XDP sockets (whose is not known)"),
        (Way("bridge", "bridge br with 2 ports"), None, "bridge br with 2 ports"),
    ],
)  # fmt: skip
def test_sentence(way, place, sentence):
    assert judge(way, NO_FILTERS, "fexit", place).sentence == sentence


@pytest.mark.parametrize(
    ("changes", "filters", "expected"),
    [
        ({}, DST, None),
        ({}, NO_FILTERS, None),
        ({}, DST._replace(netns=frozenset({7})), None),
        ({}, DST._replace(netns=frozenset({8})), False),
        ({"netns": None}, DST._replace(netns=frozenset({8})), None),
        ({}, DST._replace(pid=frozenset({99})), None),
        ({}, DST._replace(pid=frozenset({98})), False),
        ({}, DST._replace(pid=frozenset({98}), follow=True), None),  # it may be a descendant
        ({"owners": None}, DST._replace(pid=frozenset({98})), None),
        ({"owners": ()}, DST._replace(pid=frozenset({98})), None),  # the kernel, but for whom
        ({}, DST._replace(comm=frozenset({b"scapy"})), None),
        ({}, DST._replace(comm=frozenset({b"curl"})), False),
        ({"owners": (Holder(99, None, None),)}, DST._replace(comm=frozenset({b"curl"})), None),
        ({"proto": "sctp"}, DST, None),  # no protocol was asked for
        ({"proto": "sctp"}, DST._replace(proto=frozenset({"udp"})), False),
        ({"proto": "udp"}, DST._replace(proto=frozenset({"udp"})), None),
        ({"to": TO_DST}, DST, True),
        ({"to": TO_OTHER}, DST, False),
        ({"to": TO_OTHER, "only": False}, DST, None),
        ({"to": TO_DST, "only": False}, DST, True),
        ({"to": (*TO_OTHER, *TO_DST)}, DST, True),
        ({"to": ()}, DST, False),
        ({"to": (ip_network("10.0.0.0/8"),)}, DST, True),
        ({"to": (ip_network("0.0.0.0/0"),)}, DST, True),
        ({"to": (ip_network("::/0"),)}, DST, False),
        ({"to": TO_DST}, NO_FILTERS, True),
        ({"to": TO_DST}, Filters(not_dst=(ip_network("10.0.0.0/24"),)), False),
        ({"to": TO_DST}, Filters(not_dst=(ip_network("10.0.0.9"), ip_network("fd00::/8"))), True),
        ({"to": TO_DST}, Filters(version=frozenset({6})), False),
        ({"to": TO_DST}, DST._replace(netns=frozenset({8})), False),
        ({"kind": "source_nat", "owners": ()}, DST, False),
        ({"kind": "source_nat", "owners": ()}, DST._replace(sport=frozenset({53})), None),
    ],
)
def test_whether_it_concerns_the_filter(changes, filters, expected):
    assert concerns(PACKET._replace(**changes), filters) is expected


@pytest.mark.parametrize(
    ("kind", "probe", "expected"),
    [("af_xdp", "fexit", None), ("packet_socket", "fexit", True), ("ipsec", "fexit", True),
     ("ipsec", "kprobe", True), ("ipsec", "tracepoint", False), ("udp_tunnel", "tracepoint", True)],
)  # fmt: skip
def test_whether_it_is_seen(kind, probe, expected):
    judged = judge(PACKET._replace(kind=kind), DST, probe)
    assert judged.seen is expected
    assert judged.is_open is (expected is not True)


@pytest.mark.parametrize("kind", sorted(seen.FORWARDED))
@pytest.mark.parametrize("probe", PROBE_NAMES)
def test_forwarded_packets_are_seen_where_they_are_watched(kind, probe):
    way = PACKET._replace(kind=kind)
    assert judge(way, DST, probe).seen is False
    assert judge(way, DST._replace(forward=True), probe).seen is True


def test_what_does_not_concern_is_not_open():
    assert not judge(PACKET, DST._replace(netns=frozenset({8})), "fexit").is_open


def test_what_came_and_went():
    one, two = (judge(PACKET, DST, "fexit"), judge(PACKET._replace(netns=8), DST, "fexit"))
    assert diff([one], [two]) == ([two], [one])
    assert diff([one, two], [two, one]) == ([], [])
    assert diff([one], [one, one]) == ([one], [])  # another that is just alike
    assert diff([one, one], [one]) == ([], [one])


def test_every_kind_is_judged():
    """A kind that is yielded has a line in SEEN, and none there is forgotten."""
    yielded = set()
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and node.value in seen.SEEN:
                yielded |= {node.value} if path.name not in ("seen.py", "bypass.py") else set()
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Way", "Kind"):
                first = node.args[0]
                assert not isinstance(first, ast.Constant) or first.value in seen.SEEN, first.value
    assert yielded == set(seen.SEEN)


def test_every_probe_is_known():
    for probes in filter(None, seen.SEEN.values()):
        assert probes <= set(PROBE_NAMES)
