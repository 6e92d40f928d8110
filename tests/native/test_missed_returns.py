# SPDX-License-Identifier: Apache-2.0
"""Where the kernel misses returns of the kprobe probe, for there are more calls at once than
kretprobe instances, or passes over hooks."""

import ctypes
import socket
import sys
import threading
from pathlib import Path

import pytest

from tests.cases import CASES, HERE, Case
from tests.native.conftest import DEADLINE, assert_same, generate, ip, wait_for

THREADS = 60  # there are max(10, 2 * CPUs) instances, kernel/kprobes.c
SENDS = 6  # of each thread; its socket has room for two or three
SENDTO = "44 "  # the system call's number on x86-64
CLONE_NEWNET = 0x40000000
PASSED_OVER = (
    "sendto", "ipv6", "silent_neighbour", "reuseport", "mapped", "thread", "io_uring", "gso",
    "cork", "more", "splice",
)  # fmt: skip


def named(way: str) -> Case:
    return next(case for case in CASES if case.id == way)


def enter(namespace: Path) -> None:
    with namespace.open() as opened:
        assert ctypes.CDLL(None).setns(opened.fileno(), CLONE_NEWNET) == 0


@pytest.fixture
def cramped(namespaces):
    """Sockets with little room, whose datagrams wait for a neighbour that never answers."""
    neighbours = "net.ipv4.neigh.near"
    settings = (f"{neighbours}.mcast_solicit=600", f"{neighbours}.unres_qlen_bytes=100000000")
    ip("netns", "exec", namespaces.near, "sysctl", "-q", *settings)
    own = Path(f"/proc/self/task/{threading.get_native_id()}/ns/net").open()  # noqa: SIM115
    enter(Path(f"/run/netns/{namespaces.near}"))
    made = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(THREADS)]
    assert ctypes.CDLL(None).setns(own.fileno(), CLONE_NEWNET) == 0
    own.close()
    for sock in made:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
    yield made
    for sock in made:
        sock.close()


def send_all(sock: socket.socket) -> None:
    for _ in range(SENDS):
        sock.sendto(b"x" * 1000, ("10.0.0.77", 9999))


def is_sending(thread: threading.Thread) -> bool:
    return Path(f"/proc/self/task/{thread.native_id}/syscall").read_text().startswith(SENDTO)


def test_no_event_is_lost(start, refusals, cramped):
    """All threads wait inside udp_sendmsg() at once, until their sockets get more room."""
    if refusals["kprobe"]:
        pytest.skip(f"this kernel refuses kprobes: {refusals['kprobe']}")
    tracer = start("--probe", "kprobe", "--dst", "10.0.0.77")
    threads = [threading.Thread(target=send_all, args=(sock,)) for sock in cramped]
    for thread in threads:
        thread.start()
    wait_for(lambda: all(map(is_sending, threads)))
    for sock in cramped:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    for thread in threads:
        thread.join(DEADLINE)
    run = tracer.finish()
    assert len(run.events) == SENDS * THREADS
    missed = [event for event in run.events if event["outcome"] is None]
    assert 0 < len(missed) == run.stop["unfinished"]
    assert {event["outcome"] for event in run.events} == {"sent", None}
    assert run.stop["lost"] == 0


def test_a_call_that_waits_long_is_told_once(start, refusals, cramped):
    """After five seconds its return counts as missed; then it goes on, and its packet comes."""
    if refusals["kprobe"]:
        pytest.skip(f"this kernel refuses kprobes: {refusals['kprobe']}")
    tracer = start("--probe", "kprobe", "--dst", "10.0.0.77")
    thread = threading.Thread(target=send_all, args=(cramped[0],))
    thread.start()
    wait_for(lambda: '"outcome":null' in tracer.log.read_text())
    cramped[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    thread.join(DEADLINE)
    run = tracer.finish()
    assert sorted(str(event["outcome"]) for event in run.events) == [
        "None",
        *["sent"] * (SENDS - 1),
    ]


@pytest.mark.parametrize("probe", ["fexit", "kprobe"])
def test_datagrams_whose_hooks_were_passed_over(start, refusals, namespaces, probe):
    """Their packets are reported instead."""
    if refusals[probe]:
        pytest.skip(f"this kernel refuses {probe}: {refusals[probe]}")
    cases = list(map(named, PASSED_OVER))
    watched = [word for dst in {case.dst for case in cases} for word in ("--dst", dst)]
    tracer = start("--probe", probe, "--udp", *watched,
                   command=[sys.executable, "-m", "tests.hooks_missed"])  # fmt: skip
    sent = []
    for case in cases:
        options = [f"{name}={value}" for name, value in case.options.items()]
        sent += generate(case.name, case.dst, "port=9999", *options, netns=namespaces.near)
    assert_same(tracer.finish(), sent)


def test_a_connection_whose_attempt_was_passed_over(start, refusals, namespaces):
    if refusals["kprobe"]:
        pytest.skip(f"this kernel refuses kprobes: {refusals['kprobe']}")
    tracer = start("--probe", "kprobe", "--dst", HERE,
                   command=[sys.executable, "-m", "tests.hooks_missed"])  # fmt: skip
    made = generate("tcp_connection", HERE, "port=9999", netns=namespaces.near)
    assert_same(tracer.finish(), made)
