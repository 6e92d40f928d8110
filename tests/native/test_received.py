# SPDX-License-Identifier: Apache-2.0
"""What sockets other than TCP's receive: every byte is told once, with whose it is."""

import contextlib
import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cases import PEER
from tests.native.conftest import DEADLINE, ip, sockwatch, stopped, wait_for
from tests.native.test_bypasses import entered
from tests.native.test_volumes import report

WATCHED, NEAR = "127.0.0.50", "127.0.0.1"
SIZES = (0, 1, 1000, 1472)
SOL_UDP, UDP_SEGMENT, UDP_GRO = 17, 103, 104  # include/uapi/linux/udp.h
# a UDP socket of a process of its own; says its port
LISTENER = """
import socket, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.1", 0))
print(sock.getsockname()[1], flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def bound(family, *addrs):
    """A UDP socket bound to each address."""
    with contextlib.ExitStack() as cleanup:
        found = []
        for addr in addrs:
            found.append(cleanup.enter_context(socket.socket(family, socket.SOCK_DGRAM)))
            found[-1].bind((addr, 0))
        yield found


def send(sender, to, sizes=SIZES):
    for size in sizes:
        sender.sendto(bytes(size), to)


def received(lines, proto="udp"):
    return sum(line["bytes_received"] for line in lines if line["proto"] == proto)


def test_a_process_that_only_receives(start, probe):
    tracer = start("--dst", WATCHED, "--probe", probe)
    with bound(socket.AF_INET, NEAR, WATCHED) as (listens, far):
        send(far, listens.getsockname())
        wait_for(lambda: '"receive"' in tracer.log.read_text())
        send(far, listens.getsockname(), (7,))
        run, port = tracer.finish(), far.getsockname()[1]
    ours = [line for line in run.receives if line["process"]["pid"] == os.getpid()]
    assert received(ours) == sum(SIZES) + 7
    assert sum(line["count"] for line in ours) == len(SIZES) + 1 == run.stop["matched"]
    (flow,) = {(line["src"]["addr"], line["dst"]["addr"], line["dst"]["port"]) for line in ours}
    assert flow == (NEAR, WATCHED, port)
    assert ours[0]["socket"]["netns"] == Path("/proc/self/ns/net").stat().st_ino
    assert ours[0]["bytes"] == 0
    assert run.events == []
    (row,) = run.answer
    assert row.split()[-5:-2] == [str(len(SIZES) + 1), "0", str(sum(SIZES) + 7)]
    (found,) = report(run, "--by", "process")
    assert (found["bytes"], found["bytes_received"]) == (0, sum(SIZES) + 7)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_what_comes_back(start, namespaces, probe, family):
    """Of the flow that sent; in fragments, too, which the kernel joins."""
    near, far = ("10.0.0.1", PEER) if family == socket.AF_INET else ("fd00::1", "fd00::5")
    with contextlib.ExitStack() as cleanup:
        with entered(namespaces.near):
            (ours,) = cleanup.enter_context(bound(family, near))
        with entered(namespaces.far):
            (theirs,) = cleanup.enter_context(bound(family, far))
        tracer = start("--dst", far, "--probe", probe, "--volumes", "0.2")
        ours.sendto(b"asked", theirs.getsockname())
        wait_for(lambda: '"send"' in tracer.log.read_text())
        send(theirs, ours.getsockname(), (*SIZES, 5000))
        wait_for(lambda: '"volume"' in tracer.log.read_text())
        send(theirs, ours.getsockname(), (11,))
        run = tracer.finish()
    (sent,) = run.events
    assert run.receives == []
    assert received(run.volumes) == sum(SIZES) + 5000 + 11
    assert {line["process"]["pid"] for line in run.volumes} == {os.getpid()}
    assert {line["count"] for line in run.volumes} == {0}
    assert {(line["src"]["addr"], line["src"]["port"]) for line in run.volumes} == {
        (sent["src"]["addr"], sent["src"]["port"])
    }
    assert run.stop["matched"] == 1
    (row,) = report(run, "--by", "process")
    assert (row["bytes"], row["bytes_received"]) == (5, sum(SIZES) + 5000 + 11)


def test_one_that_answers_later(start, probe):
    """It is told of by what it sends from then on."""
    tracer = start("--dst", WATCHED, "--probe", probe, "--volumes", "0.1")
    with bound(socket.AF_INET, NEAR, WATCHED) as (ours, theirs):
        send(theirs, ours.getsockname(), (100,))
        wait_for(lambda: '"receive"' in tracer.log.read_text())
        ours.sendto(b"answer", theirs.getsockname())
        wait_for(lambda: '"send"' in tracer.log.read_text())
        send(theirs, ours.getsockname(), (20,))
        run = tracer.finish()
    assert (received(run.receives), received(run.volumes)) == (100, 20)
    (row,) = report(run, "--by", "process")
    assert (row["bytes"], row["bytes_received"]) == (6, 120)


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_RAW])
def test_echo_replies(start, namespaces, probe, kind):
    """By a socket for ping, and by a raw one."""
    ip("netns", "exec", namespaces.near, "sysctl", "-q", "net.ipv4.ping_group_range=0 0")
    with entered(namespaces.near):
        sock = socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP)
    tracer = start("--dst", PEER, "--probe", probe)
    with sock:
        sock.settimeout(DEADLINE)
        for number in range(3):
            sock.sendto(echo_request(number, 56), (PEER, 0))
            sock.recv(2000)
        run = tracer.finish()
    assert [line["bytes"] for line in run.events] == [56] * 3
    assert received([*run.volumes, *run.receives], "icmp") == 3 * 56
    assert {line["process"]["pid"] for line in run.volumes} == {os.getpid()}


def echo_request(number, size):
    head = struct.pack("!BBHHH", 8, 0, 0, 7, number) + bytes(size)
    total = sum(struct.unpack(f"!{len(head) // 2}H", head))
    total = (total & 0xFFFF) + (total >> 16)
    return head[:2] + struct.pack("!H", ~total & 0xFFFF) + head[4:]


def test_a_raw_socket_that_only_receives(start, namespaces, probe):
    with entered(namespaces.near):
        ours = socket.socket(socket.AF_INET, socket.SOCK_RAW, 253)
    with entered(namespaces.far):
        theirs = socket.socket(socket.AF_INET, socket.SOCK_RAW, 253)
    tracer = start("--dst", PEER, "--probe", probe)
    with ours, theirs:
        theirs.sendto(bytes(123), ("10.0.0.1", 0))
        wait_for(lambda: '"receive"' in tracer.log.read_text())
        run = tracer.finish()
    (line,) = run.receives
    assert (line["proto"], line["bytes_received"], line["via"]) == ("253", 123, "raw")


@pytest.mark.parametrize("joins", [False, True])
def test_segments(start, namespaces, probe, joins):
    """A send that is cut into datagrams, which a socket may ask for together (UDP_GRO): payload
    only."""
    with contextlib.ExitStack() as cleanup:
        with entered(namespaces.near):
            (ours,) = cleanup.enter_context(bound(socket.AF_INET, "10.0.0.1"))
        with entered(namespaces.far):
            (theirs,) = cleanup.enter_context(bound(socket.AF_INET, PEER))
        ours.setsockopt(SOL_UDP, UDP_GRO, int(joins))
        theirs.setsockopt(SOL_UDP, UDP_SEGMENT, 1000)
        tracer = start("--dst", PEER, "--probe", probe)
        theirs.sendto(bytes(9500), ours.getsockname())
        wait_for(lambda: '"receive"' in tracer.log.read_text())
        run = tracer.finish()
    assert received(run.receives) == 9500


def test_sctp(start, probe):
    """What is below its own header: the chunks."""
    try:
        server = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)
    except OSError as error:
        pytest.skip(f"this kernel has no SCTP: {error}")
    with server, socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP) as ours:
        server.bind((WATCHED, 0))
        server.listen()
        tracer = start("--dst", WATCHED, "--probe", probe)
        ours.bind((NEAR, 0))
        ours.connect(server.getsockname())
        theirs, _ = server.accept()
        theirs.sendall(bytes(20_000))
        left = 20_000
        while left:
            left -= len(ours.recv(left))
        theirs.close()
        run = tracer.finish()
    moved = [line for line in run.volumes if line["process"]["pid"] == os.getpid()]
    assert 20_000 < received(moved, "sctp") < 22_000


@pytest.fixture
def listener():
    process = subprocess.Popen(
        [sys.executable, "-c", LISTENER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    port = int(process.stdout.readline())
    yield process.pid, port
    process.communicate(timeout=DEADLINE)


@pytest.mark.parametrize(("option", "shown"), [("own", True), ("other", False)])
def test_by_process(start, listener, option, shown):
    """The filter is decided by who holds the socket."""
    pid, port = listener
    tracer = start("--dst", WATCHED, "--pid", str(pid if option == "own" else os.getpid()))
    with bound(socket.AF_INET, WATCHED) as (far,):
        far.sendto(bytes(300), (NEAR, port))
        time.sleep(2)
        run = tracer.finish()
    assert received(run.receives) == 300 * shown
    assert (run.stop["matched"], run.stop["undecided"]) == (int(shown), 0)


def test_a_socket_of_two_processes(start, probe):
    """The log names both."""
    with bound(socket.AF_INET, NEAR, WATCHED) as (listens, far):
        argv = [sys.executable, "-c", "import sys; sys.stdin.read()"]
        child = subprocess.Popen(argv, stdin=subprocess.PIPE, pass_fds=[listens.fileno()])
        tracer = start("--dst", WATCHED, "--probe", probe)
        send(far, listens.getsockname(), (300,))
        wait_for(lambda: '"receive"' in tracer.log.read_text())
        run = tracer.finish()
        child.communicate(timeout=DEADLINE)
    (line,) = run.receives
    assert {one["pid"] for one in line["process"]["holders"]} == {os.getpid(), child.pid}


def test_each_member_of_a_group_has_its_own(start, namespaces, probe):
    group = struct.pack("=4s4s", socket.inet_aton("239.1.2.3"), socket.inet_aton("10.0.0.1"))
    with contextlib.ExitStack() as cleanup:
        with entered(namespaces.near):
            members = [cleanup.enter_context(udp_at(9000)) for _ in range(2)]
        for member in members:
            member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        with entered(namespaces.far):
            (theirs,) = cleanup.enter_context(bound(socket.AF_INET, PEER))
            interface = socket.inet_aton(PEER)
            theirs.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
        tracer = start("--dst", PEER, "--probe", probe)
        theirs.sendto(bytes(50), ("239.1.2.3", 9000))
        wait_for(lambda: tracer.log.read_text().count('"receive"') == 2)
        run = tracer.finish()
    assert [line["bytes_received"] for line in run.receives] == [50, 50]
    assert len({line["socket"]["cookie"] for line in run.receives}) == 2


def udp_at(port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("", port))
    return sock


PORTS, AT_ONCE = 20_000, 100  # more ports than there is room for flows


def test_a_sender_with_many_ports(start, namespaces):
    """What does not fit is counted and said, and takes no room of what is sent meanwhile."""
    with contextlib.ExitStack() as cleanup:
        with entered(namespaces.near):
            listens, sends = cleanup.enter_context(bound(socket.AF_INET, "10.0.0.1", "10.0.0.1"))
        with entered(namespaces.far):
            far = cleanup.enter_context(socket.socket(socket.AF_INET, socket.SOCK_RAW, 17))
        listens.settimeout(DEADLINE)
        tracer = start("--dst", PEER, "--strict", "-q", "-b", "1", "--log-max-size", "0")
        with stopped(tracer):
            for first in range(1024, 1024 + PORTS, AT_ONCE):
                for port in range(first, first + AT_ONCE):
                    far.sendto(datagram(port, listens.getsockname()[1]), ("10.0.0.1", 0))
                assert all(listens.recv(100) == b"came" for _ in range(AT_ONCE))
                sends.sendto(bytes(first % 97), (PEER, first))
        wait_for(lambda: '"received_lost"' in tracer.log.read_text())
        run = tracer.finish()
    sent = {line["dst"]["port"]: line["bytes"] for line in run.events}
    assert sent == {port: port % 97 for port in range(1024, 1024 + PORTS, AT_ONCE)}
    assert [line["count"] for line in run.events] == [1] * len(sent)
    missed = run.stop["received_lost"]
    assert run.stop["lost"] == 0 < missed
    assert sum(line["count"] for line in run.receives) == PORTS - missed == 16_384
    assert received(run.receives) == 4 * (PORTS - missed)
    assert sum(line["received_lost"] for line in run.lines if line["event"] == "lost") == missed
    assert f"received packets not counted {missed:,}" in run.err
    assert run.status == 3


def datagram(sport, dport):
    """With UDP's header, and no checksum."""
    return struct.pack("!4H", sport, dport, 12, 0) + b"came"


# hides the root of cgroup v2 from a command, in a mount namespace of its own
HIDING = 'for at in $(findmnt -nlt cgroup2 -o TARGET); do umount -l $at; done; exec "$@"'
HIDDEN = ("unshare", "-m", "sh", "-c", HIDING, "sh")


def test_without_the_root_cgroup(start, probe):
    """What is read from UDP sockets is seen where they read it; else it is said that it is not."""
    options = "--dst", WATCHED, "--probe", probe, "--volumes", "0.1"
    tracer = start(*options, command=[*HIDDEN, *sockwatch()])
    with bound(socket.AF_INET, NEAR, WATCHED) as (ours, theirs):
        send(theirs, ours.getsockname())
        ours.recv(1, socket.MSG_PEEK)
        assert [len(ours.recv(5000)) for _ in SIZES] == list(SIZES)
        time.sleep(2)
        run = tracer.finish()
    said = next(line for line in run.lines if line["event"] == "start")["blind_spots"]
    if probe == "tracepoint":
        assert "what sockets other than TCP's receive" in said
        assert run.receives == []
        return
    assert "what sockets other than TCP's and UDP's receive" in said
    assert received(run.receives) == sum(SIZES)
    assert sum(line["count"] for line in run.receives) == len(SIZES)
    assert {line["process"]["pid"] for line in run.receives} == {os.getpid()}


@pytest.mark.parametrize("before", [(), HIDDEN], ids=["root cgroup", "none"])
def test_nothing_comes_back(start, probe, before):
    """The answer and the report say 0 where that is counted, and else that it is not known."""
    tracer = start("--dst", WATCHED, "--probe", probe, command=[*before, *sockwatch()])
    with bound(socket.AF_INET, NEAR, WATCHED) as (ours, theirs):
        ours.sendto(b"asked", theirs.getsockname())
        wait_for(lambda: '"send"' in tracer.log.read_text())
        run = tracer.finish()
    counted = {(): "all", HIDDEN: "none" if probe == "tracepoint" else "udp"}[before]
    expected = None if counted == "none" else 0
    assert run.lines[0]["received_of"] == counted
    (row,) = run.answer
    assert row.split()[-3] == ("?" if expected is None else "0")
    assert [one["bytes_received"] for one in report(run, "--by", "process")] == [expected]


def test_what_does_not_match_is_not_counted(start):
    """Nor is what failures only, or TCP only, are asked for with."""
    runs = [
        start("--dst", WATCHED, *more)
        for more in (("-P", "1"), ("--src", "127.0.0.9"), ("--proto", "icmp"), ("--tcp",), ("-x",))
    ]
    with bound(socket.AF_INET, NEAR, WATCHED) as (listens, far):
        send(far, listens.getsockname())
        time.sleep(2)
        assert [run.finish().receives for run in runs] == [[]] * len(runs)
