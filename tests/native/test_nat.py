# SPDX-License-Identifier: Apache-2.0
"""What NAT changes matches as its sender has named it, and as its packet has it."""

import pytest

from tests.cases import expected
from tests.native.conftest import assert_same, generate, ip
from tracer.kernel import btf, loader, probes
from tracer.kernel.loader import Request
from tracer.kernel.probes import PROBES
from tracer.kernel.session import FILTER_ENTRIES

NAMED, WIRE, PORT, WIRE_PORT = "10.7.0.9", "10.0.0.5", 9000, 9001
LISTENER = "10.7.0.8"  # goes to 127.0.0.1, where somebody listens


@pytest.fixture
def near(namespaces):
    ip("-n", namespaces.near, "route", "add", "10.7.0.0/24", "via", WIRE)
    for rule in (
        "add table ip t",
        "add chain ip t out { type nat hook output priority -100 ; }",
        f"add rule ip t out ip daddr {NAMED} udp dport {PORT} dnat to {WIRE}:{WIRE_PORT}",
        f"add rule ip t out ip daddr {NAMED} tcp dport {PORT} dnat to {WIRE}:{WIRE_PORT}",
        f"add rule ip t out ip daddr {LISTENER} tcp dport {PORT} redirect to :{WIRE_PORT}",
    ):
        ip("netns", "exec", namespaces.near, "nft", rule)
    return namespaces.near


@pytest.mark.parametrize(
    ("options", "matches"),
    [
        (("--dst", NAMED), True),
        (("--dst", WIRE), True),
        (("--dst", "10.7.0.10"), False),
        (("--dst", NAMED, "--not-dst", WIRE), False),
        (("--dst", WIRE, "--not-dst", NAMED), False),
        (("--dst", f"10.0.0.0/8:{PORT}"), True),
        (("--dst", f"10.0.0.0/8:{WIRE_PORT}"), True),
        (("--dst", "10.0.0.0/8", "--port", str(WIRE_PORT)), True),
        (("--dst", f"{WIRE}:9002"), False),
    ],
)
def test_a_datagram_matches_as_named_and_as_sent(start, near, probe, options, matches):
    tracer = start("--probe", probe, *options)
    sent = generate("nat_dst", NAMED, f"port={PORT}", f"to={WIRE}", netns=near)
    run = tracer.finish()
    if matches:
        assert_same(run, sent)
    else:
        assert run.events == []


@pytest.mark.parametrize("dst", [LISTENER, "127.0.0.1"])
def test_a_connection_matches_as_named_and_as_sent(start, near, probe, dst):
    """Also if it is known only by its first packet."""
    tracer = start("--probe", probe, "--dst", dst)
    sent = generate("tcp_redirected", LISTENER, f"port={PORT}", "to=127.0.0.1", netns=near)
    if dst != LISTENER:  # its attempt is reported with that packet
        sent[0] = {**sent[1], "event": "connect", "outcome": None, "bound": True}
    run = tracer.finish()
    assert_same(run, expected(probe, sent))
    assert "10.7.0.8:9000 → 127.0.0.1:9001" in run.answer[0]


def test_a_refused_connection_that_matches_as_sent(start, near, probe):
    """Nobody listens at the other end of the link."""
    tracer = start("--probe", probe, "--dst", WIRE)
    sent = generate("tcp_refused", NAMED, f"port={PORT}", netns=near)
    assert_same(tracer.finish(), sent)


def test_a_kernel_that_does_not_describe_its_connection_tracking(monkeypatch, best_probe):
    """It is traced all the same, and the user is told."""
    monkeypatch.setattr(btf, "has_struct", lambda *_: False)
    probe = next(probe for probe in PROBES if probe.name == best_probe)
    attached = loader.load(Request((probe,), {}, 16, FILTER_ENTRIES))
    blind_spots = attached.probe.blind_spots
    attached.close()
    assert probes.NAT_BLIND_SPOT in blind_spots
