# SPDX-License-Identifier: Apache-2.0
"""What cannot be read of a packet, and who sends what waits for a neighbour."""

import pytest

from tests.bypass_cases import nft
from tests.cases import HERE, PEER, SILENT
from tests.native.conftest import MAC, add_link, assert_same, generate, ip, wait_for
from tests.native.test_bypasses import holder, run

UNREADABLE = {
    "over a page": ("packet_unreadable",),
    "ring": ("packet_ring",),
    "many tags": ("packet_many_tags",),
}


@pytest.mark.parametrize("way", UNREADABLE)
def test_headers_that_cannot_be_read_are_counted(start, namespaces, probe, way):
    """The memory where they should be has an earlier packet's."""
    tracer = start("--probe", probe, "--dst", HERE)
    readable = generate("packet_frame", HERE, "port=9999", netns=namespaces.near)
    for _ in range(3):
        generate(*UNREADABLE[way], HERE, "port=9998", netns=namespaces.near)
    run = tracer.finish()
    assert_same(run, readable)
    assert run.stop["unread"] == 3
    assert sum(line["unread"] for line in run.lines if line["event"] == "lost") == 3
    assert "not recorded: headers not read" in run.err


@pytest.mark.parametrize(
    ("options", "unread"),
    [
        ((), 2),
        (("--dport", "9999"), 2),
        (("--udp",), 2),
        (("--tcp",), 0),
        (("--src", "127.0.0.9"), 2),
    ],
)
def test_fragments_without_a_first_one_may_match(start, namespaces, options, unread):
    """Neither their ports nor their source are looked at."""
    tracer = start("--dst", HERE, *options)
    generate("packet_lone_fragments", HERE, "port=9998", netns=namespaces.near)
    generate("packet_lone_fragments", "127.0.0.77", "port=9998", netns=namespaces.near)
    run = tracer.finish()
    assert (run.events, run.stop["unread"]) == ([], unread)


@pytest.mark.parametrize(
    ("options", "unread"),
    [
        (("--comm", "generator"), 1),
        (("--comm", "another"), 0),
        (("--uid", "0"), 1),
        (("--uid", "1"), 0),
        (("--tcp",), 1),  # a packet socket may send that, too
        (("--proto", "icmp"), 1),
    ],
)
def test_only_what_may_match_counts_as_unread(start, namespaces, options, unread):
    tracer = start("--dst", HERE, *options)
    generate("packet_unreadable", HERE, "port=9998", netns=namespaces.near)
    assert tracer.finish().stop["unread"] == unread


def test_who_sets_a_neighbours_address_does_not_send(start, namespaces, probe):
    """What waited is sent in the system call of ip, and counted for its sender, once."""
    tracer = start("--probe", probe, "--dst", SILENT)
    sent = generate("sendto", SILENT, "count=5", netns=namespaces.near)
    ip("-n", namespaces.near, "neigh", "replace", SILENT, "lladdr", MAC, "dev", "near",
       "nud", "permanent")  # fmt: skip
    assert_same(tracer.finish(), sent)


def test_a_stacked_device_that_waits_for_the_neighbour(start, namespaces, probe):
    """An ipvlan hands its packets to the network layer again: counted once."""
    near = namespaces.near
    add_link(near, "above", "link", "near", "type", "ipvlan", "mode", "l3")
    for arguments in (
        ("link", "set", "above", "up"),
        ("addr", "add", "10.9.0.1/24", "dev", "above"),
        ("route", "add", "10.9.0.0/24", "dev", "near", "metric", "500"),
    ):
        ip("-n", near, *arguments)
    tracer = start("--probe", probe, "--dst", "10.9.0.5")
    sent = generate("sendto", "10.9.0.5", "count=3", netns=near)
    ip("-n", near, "neigh", "replace", "10.9.0.5", "lladdr", MAC, "dev", "near", "nud", "permanent")
    assert_same(tracer.finish(), sent)


@pytest.mark.parametrize("dst", [SILENT, "fd00::77"])
def test_fragments_that_wait_for_their_neighbour(start, namespaces, probe, dst):
    """Of a datagram whose header does not say how long it is."""
    tracer = start("--probe", probe, "--dst", dst)
    sent = generate("raw_udplite", dst, netns=namespaces.near)
    ip("-n", namespaces.near, "neigh", "replace", dst, "lladdr", MAC, "dev", "near",
       "nud", "permanent")  # fmt: skip
    assert_same(tracer.finish(), sent)


QUEUE = "queue num 3"


@pytest.mark.parametrize(
    "sends", [("sendto",), ("ping",), ("ping", "via=raw"), ("raw_tcp", "port=9999")], ids="-".join
)
def test_a_packet_that_another_process_lets_go(start, namespaces, probe, sends):
    """The reader of a netfilter queue hands it to the device, in a system call of its own. Whose it
    is can be told only where the call that sent it is seen."""
    kind, *options = sends
    ip("netns", "exec", namespaces.near, "sysctl", "-q", "net.ipv4.ping_group_range=0 0")
    run(namespaces.near, nft("output", f"ip daddr {PEER} {QUEUE}"))
    with holder(namespaces.near, "queue_that_accepts", "3") as reader:
        tracer = start("--probe", probe, "--dst", PEER)
        sent = generate(kind, PEER, "count=3", *options, netns=namespaces.near)
        wait_for(lambda: tracer.log.read_text().count('"send"') == 3)
        events = tracer.finish().events
    assert len(events) == 3
    pids = {event["process"] and event["process"]["pid"] for event in events}
    assert reader.pid not in pids
    sees_call = kind == "sendto" and probe != "tracepoint"
    assert pids == ({sent[0]["pid"]} if sees_call else {None})


def test_a_datagram_without_its_last_fragment(start, namespaces, probe):
    """What has come of it is reported, without a result."""
    tracer = start("--probe", probe, "--dst", PEER)
    sent = generate("raw_first_fragment", PEER, netns=namespaces.near)
    run = tracer.finish()
    assert_same(run, sent)
    assert run.stop["unfinished"] == 1


def test_what_the_kernel_answers_is_nobodys(start, namespaces, probe):
    """It is counted if it matches, and no event."""
    near = namespaces.near
    asked = "127.0.0.9"  # the answers' destination
    ip("netns", "exec", near, "sysctl", "-q", "net.ipv4.ping_group_range=0 0")
    replies = start("--probe", probe, "--dst", asked, "--no-accept")
    others = start("--probe", probe, "--dst", asked, "--proto", "icmp")
    of_a_process = start("--probe", probe, "--dst", asked, "--no-accept", "--comm", "generator")
    elsewhere = start("--probe", probe, "--dst", "127.0.0.10")
    for case in ("answered_ping", "reset", "unreachable", "answered_connection", "late_ack"):
        generate(case, HERE, f"src={asked}", netns=near)
    found = [tracer.finish() for tracer in (replies, others, of_a_process, elsewhere)]
    assert [run.events for run in found] == [[], [], [], []]
    # an echo reply, a reset, an ICMP error, a SYN-ACK, a listening socket's reset
    assert [run.stop["kernel_replies"] for run in found] == [5, 2, 0, 0]
    assert [run.stop["lost"] for run in found] == [0, 0, 0, 0]


def test_what_answers_in_fragments_counts_once(start, namespaces, probe):
    tracer = start("--probe", probe, "--dst", "10.0.0.1")
    ip("netns", "exec", namespaces.near, "sysctl", "-q", "net.ipv4.ping_group_range=0 0")
    generate("answered_ping", PEER, "src=10.0.0.1", "size=5000", netns=namespaces.near)
    run = tracer.finish()
    assert run.events == []
    assert run.stop["kernel_replies"] == 1
