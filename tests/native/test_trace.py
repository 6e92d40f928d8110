# SPDX-License-Identifier: Apache-2.0
"""Real traffic against the log that it leaves."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.native.conftest import (
    add_link,
    assert_same,
    generate,
    generate_end,
    generate_start,
    ip,
    wait_for,
)

WATCHED = "127.0.0.5"
SO_COOKIE = 57  # include/uapi/asm-generic/socket.h


@pytest.mark.native
@pytest.mark.parametrize(
    ("dst", "arguments"),
    [
        (WATCHED, ("sendto", WATCHED, "count=23")),
        (WATCHED, ("send", WATCHED)),
        (WATCHED, ("sendmmsg", WATCHED)),
        (WATCHED, ("zero_bytes", WATCHED)),
        (WATCHED, ("mapped", WATCHED)),
        (WATCHED, ("thread", WATCHED)),
        (WATCHED, ("gso", WATCHED)),
        (WATCHED, ("fragments", WATCHED)),
        (WATCHED, ("connect", WATCHED, "port=9")),
        ("::1", ("sendto", "::1", "count=3")),
        ("::1", ("connect", "::1", "port=9")),
        ("127.0.0.0/8", ("two_destinations", WATCHED, "other=127.0.0.6")),
    ],
    ids=lambda value: "-".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_events_are_what_was_sent(start, dst, arguments):
    tracer = start("--dst", dst)
    truth = generate(*arguments)
    assert_same(tracer.finish(), truth)


def test_an_event_says_who_and_through_which_socket(start, best_probe):
    tracer = start("--dst", WATCHED)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.sendto(b"from this process", (WATCHED, 9999))
        port = sock.getsockname()[1]
        cookie = int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8), sys.byteorder)
    run = tracer.finish()
    (event,) = run.events
    assert event["process"]["exe"] == os.path.realpath(sys.executable)
    arguments = Path("/proc/self/cmdline").read_bytes().decode().split("\0")[:-1]
    assert event["process"]["args"] == arguments
    assert event["process"]["user"] == "root"
    assert event["process"]["ppid"] == os.getppid()
    assert event["src"] == {"addr": "127.0.0.1", "port": port, "zone": None}
    netns = Path("/proc/self/ns/net").stat().st_ino
    assert (event["socket"]["cookie"], event["socket"]["netns"]) == (cookie, netns)
    assert event["via"] == "socket"
    assert run.lines[0]["probe"] == best_probe


def test_a_send_without_destination(start, best_probe):
    """No address was named: none is shown, and a filter on addresses does not match."""
    if best_probe == "tracepoint":
        pytest.skip("a send that fails in its system call is not seen by the tracepoint probe")
    everywhere = start("--dst", "0.0.0.0/0", "--dst", "::/0", "--sport", "40077")
    tracer = start("--sport", "40077", "--udp")
    truth = generate("no_destination", WATCHED, "port=40077")
    assert_same(tracer.finish(), truth)
    assert everywhere.finish().events == []


@pytest.mark.native
def test_ten_processes_at_once(start):
    tracer = start("--dst", WATCHED)
    senders = [generate_start("sendto", WATCHED, "count=23") for _ in range(10)]
    truth = [line for sender in senders for line in generate_end(sender)]
    run = tracer.finish()
    assert_same(run, truth)
    assert len({event["process"]["pid"] for event in run.events}) == 10


@pytest.mark.native
@pytest.mark.parametrize(
    "arguments",
    [
        ("sendto", "10.0.0.5", "count=23"),
        ("send", "10.0.0.5"),
        ("gso", "10.0.0.5"),
        ("fragments", "10.0.0.5"),
        ("fragments", "fd00::5"),
        ("sendto", "fd00::5", "count=5"),
        ("connect", "10.0.0.5", "port=9"),
    ],
    ids="-".join,
)
def test_from_another_network_namespace(start, namespaces, arguments):
    """The first datagrams wait for their neighbour's address, and are sent by an interrupt."""
    tracer = start("--dst", "10.0.0.5", "--dst", "fd00::5")
    truth = generate(*arguments, netns=namespaces.near)
    run = tracer.finish()
    assert_same(run, truth)
    inode = Path(f"/run/netns/{namespaces.near}").stat().st_ino
    assert {event["socket"]["netns"] for event in run.events} == {inode}
    assert {event["process"]["comm"] for event in run.events} == {truth[0]["comm"]}


@pytest.mark.native
def test_a_neighbour_that_never_answers(start, namespaces):
    """Nothing reaches a device, and yet this is the question: who sends there?"""
    tracer = start("--dst", "10.0.0.77")
    truth = generate("sendto", "10.0.0.77", "count=3", netns=namespaces.near)
    assert_same(tracer.finish(), truth)


@pytest.mark.parametrize(
    "make",
    [
        ("link", "near", "name", "upper", "type", "vlan", "id", "7"),
        ("link", "near", "name", "upper", "type", "macvlan", "mode", "bridge"),
    ],
    ids=["vlan", "macvlan"],
)
def test_stacked_devices_count_once(start, namespaces, make):
    add_link(namespaces.near, *make)
    ip("-n", namespaces.near, "addr", "add", "10.7.0.1/24", "dev", "upper")
    ip("-n", namespaces.near, "link", "set", "upper", "up")
    neighbour = ("10.7.0.5", "lladdr", "02:00:00:00:00:05", "dev", "upper")
    ip("-n", namespaces.near, "neigh", "add", *neighbour)
    tracer = start("--dst", "10.7.0.5")
    truth = generate("sendto", "10.7.0.5", "count=4", netns=namespaces.near)
    assert_same(tracer.finish(), truth)


def test_a_bridges_ports_do_not_count_again(start, namespaces):
    near = namespaces.near
    add_link(near, "name", "upper", "type", "bridge")
    for arguments in (
        ("link", "set", "near", "master", "upper"),
        ("addr", "flush", "dev", "near"),
        ("addr", "add", "10.7.0.1/24", "dev", "upper"),
        ("link", "set", "upper", "up"),
        ("neigh", "add", "10.7.0.5", "lladdr", "02:00:00:00:00:05", "dev", "upper"),
    ):
        ip("-n", near, *arguments)
    tracer = start("--dst", "10.7.0.5")
    truth = generate("sendto", "10.7.0.5", "count=4", netns=near)
    assert_same(tracer.finish(), truth)


def test_forwarded_packets_are_nobodys(start, namespaces):
    """Counted where they were sent, not again on the machine that passes them on."""
    near, far = namespaces.near, namespaces.far
    ip("netns", "exec", far, "sysctl", "-q", "net.ipv4.ip_forward=1")
    ip("-n", near, "route", "add", "10.9.0.0/24", "via", "10.0.0.5")
    ip("-n", far, "link", "add", "onward", "type", "veth", "peer", "sink")
    ip("-n", far, "addr", "add", "10.9.0.1/24", "dev", "onward")
    for device in ("onward", "sink"):
        ip("-n", far, "link", "set", device, "up")
    neighbour = ("10.9.0.5", "lladdr", "02:00:00:00:00:09", "dev", "onward")
    ip("-n", far, "neigh", "add", *neighbour)
    tracer = start("--dst", "10.9.0.5")
    truth = generate("sendto", "10.9.0.5", "count=4", netns=near)
    passed = ip("-n", far, "-s", "-j", "link", "show", "dev", "onward")
    assert_same(tracer.finish(), truth)
    assert '"packets":0' not in passed.partition('"tx"')[2], "nothing was forwarded"


def test_a_tunnels_packets_are_the_kernels(start, namespaces):
    """The outer packet still carries the sender's socket, which did not send it."""
    near = namespaces.near
    vxlan = ("type", "vxlan", "id", "9", "remote", "10.0.0.5", "dstport", "4789", "dev", "near")
    add_link(near, "tunnel", *vxlan)
    ip("-n", near, "addr", "add", "10.8.0.1/24", "dev", "tunnel")
    ip("-n", near, "link", "set", "tunnel", "up")
    ip("-n", near, "neigh", "add", "10.8.0.5", "lladdr", "02:00:00:00:00:08", "dev", "tunnel")
    inner, outer = start("--dst", "10.8.0.5"), start("--dst", "10.0.0.5", "-P", "4789")
    truth = generate("sendto", "10.8.0.5", "count=4", netns=near)
    assert_same(inner.finish(), truth)
    events = [e for e in outer.finish().events if e["bytes"] < 100]  # not its multicast
    assert len(events) >= 4
    assert all(event["process"] is None and event["via"] == "kernel" for event in events)


def test_nothing_stays_attached_after_kill(start):
    def programs() -> set[int]:
        shown = json.loads(subprocess.check_output(["bpftool", "--json", "prog", "show"]))
        return {program["id"] for program in shown}

    before = programs()
    tracer = start("--dst", WATCHED)
    attached = programs() - before
    assert attached
    tracer.process.kill()
    tracer.process.wait()
    wait_for(lambda: not attached & programs())


# always sends
FLOOD = """
import socket, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(60_000):
    sock.sendto(b"x", ("127.0.0.5", 9))
    time.sleep(0.001)
"""


def test_nothing_is_told_of_from_before_all_was_attached(start, probe):
    flood = subprocess.Popen([sys.executable, "-c", FLOOD])
    try:
        tracer = start("--dst", WATCHED, "--probe", probe)
        wait_for(lambda: tracer.log.read_text().count("\n") > 10)
        run = tracer.finish()
    finally:
        flood.kill()
        flood.wait()
    begins = run.lines[0]["time"]
    assert all(line["time"] >= begins for line in run.events)
    assert run.stop["matched"] == sum(line["count"] for line in run.events)
