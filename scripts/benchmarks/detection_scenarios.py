# SPDX-License-Identifier: Apache-2.0
"""The client of scripts/benchmarks/detection.py: one scenario, in a process of its own.

    detection_scenarios.py NAME SCALE

prints as JSON what its processes moved, by their own count: ``{"moved": [{"pid", "comm", "sent",
"received"}…]}``, bytes of payload; or ``{"missing": "not in this kernel: SCTP"}``.
"""

import ctypes
import json
import os
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable
from typing import Final, NamedTuple

import detection_traffic as traffic
import detection_ways as ways
import detection_wire as wire
from detection_traffic import MB, SECONDS, MissingError, Moved, moved, one_stream, some_datagrams
from detection_wire import DNS, IPPROTO_SCTP, LOOPBACK, PEER, PEER6, QUIC, Request

from tests.generator import libc

KB: Final = 1 << 10
BULK: Final = 8 * MB
UDP: Final = 4 * MB
_CLONE_NEWNS, _CLONE_NEWPID = 0x20000, 0x20000000
_MS_REC_PRIVATE = (1 << 14) | (1 << 18)
UP, DOWN, BOTH = ("sent",), ("received",), ("sent", "received")


class Scenario(NamedTuple):
    """What it is called, which ways it moves bytes (``sent``, ``received``), to which address, and
    in which namespace its processes are."""

    title: str
    moves: tuple[str, ...]
    run: Callable[[float], list[Moved]]
    address: str = PEER
    place: str = "client"


def short_processes(scale: float) -> list[Moved]:
    """Twenty programs, one after the other."""
    found = []
    for _ in range(20):
        argv = [sys.executable, __file__, "one", str(scale)]
        done = subprocess.run(argv, stdout=subprocess.PIPE, check=True)
        found += json.loads(done.stdout)["moved"]
    return found


def one_of_many(scale: float) -> list[Moved]:
    """Connects, sends and ends."""
    return [moved(*traffic.stream(Request(int(256 * KB * scale), 0, 0)))]


def burst(scale: float) -> list[Moved]:
    """Thirty processes that begin at the same time."""
    ready, go = os.pipe()

    def work() -> Moved:
        os.close(go)
        os.read(ready, 1)
        return one_of_many(scale)[0]

    children = [begin(work) for _ in range(30)]
    os.close(go)
    return [end(child) for child in children]


class Child(NamedTuple):
    """A forked process, and where it says what it has moved."""

    pid: int
    out: int


def begin(work: Callable[[], Moved]) -> Child:
    """Runs in a child."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writer, json.dumps(work()).encode())
        except Exception:  # noqa: BLE001  the parent learns of it by the empty pipe
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writer)
    return Child(pid, reader)


def end(child: Child) -> Moved:
    """What it has moved, with the pid that it has out here."""
    with open(child.out) as pipe:
        found = json.load(pipe)
    os.waitpid(child.pid, 0)
    return {**found, "pid": child.pid}


def sixty_connections(scale: float) -> list[Moved]:
    """By one process."""
    asked = Request(int(64 * KB * scale), 0, 0)
    both = [traffic.stream(asked) for _ in wire.paced(60, 1, SECONDS)]
    return [moved(sum(sent for sent, _ in both), sum(received for _, received in both))]


def drip(scale: float) -> list[Moved]:
    """Twelve seconds for what takes a millisecond."""
    total, seconds = int(MB * scale), 12.0
    small = 16 * KB

    def send(sock: socket.socket, up: int, over: float) -> None:
        for size in wire.paced(up, small, over):
            sock.sendall(wire.ZEROS[:size])

    return [moved(*traffic.stream(Request(total, 0, seconds), send=send))]


def contained(scale: float) -> list[Moved]:
    """In pid and mount namespaces of its own, too."""
    if libc.unshare(_CLONE_NEWNS | _CLONE_NEWPID):
        raise OSError(ctypes.get_errno(), "unshare")
    libc.mount(None, b"/", None, _MS_REC_PRIVATE, None)
    asked = Request(int(BULK * scale), 0, SECONDS)

    def work() -> Moved:
        libc.mount(b"proc", b"/proc", b"proc", 0, None)
        found = moved(*traffic.stream(asked))
        assert found["pid"] == 1
        return found

    return [end(begin(work))]


def at_loopback(scale: float) -> list[Moved]:
    """The peer is in the same namespace."""
    return one_stream(0, BULK, address=LOOPBACK)(scale)


# in the order of the public benchmark
SCENARIOS: Final = {
    "tcp-down": Scenario("TCP download", DOWN, one_stream(0, BULK)),
    "tcp-up": Scenario("TCP upload", UP, one_stream(BULK, 0)),
    "tcp-both": Scenario("TCP both ways at once", BOTH, one_stream(BULK, BULK)),
    "udp-both": Scenario("UDP both ways at once", BOTH, some_datagrams(UDP, UDP)),
    "icmp": Scenario("ICMP echo flood", BOTH, traffic.echoes),
    "udp-443": Scenario("UDP to port 443", UP, some_datagrams(UDP, 0, port=QUIC)),
    "tcp-ipv6": Scenario("TCP download, IPv6", DOWN, one_stream(0, BULK, address=PEER6), PEER6),
    "sctp": Scenario("SCTP both ways at once", BOTH, one_stream(UDP, UDP, protocol=IPPROTO_SCTP)),
    "udp-53": Scenario("UDP to port 53", UP, some_datagrams(MB // 2, 0, port=DNS, size=64)),
    "raw": Scenario("raw socket, protocol 253", UP, traffic.raw_packets),
    "short": Scenario("20 short processes", UP, short_processes),
    "packet": Scenario("packet socket", UP, traffic.frames),
    "uring-up": Scenario("io_uring upload", UP, traffic.by_ring(BULK, 0)),
    "sendfile": Scenario("sendfile upload", UP, one_stream(BULK, 0, send=ways.send_file)),
    "sendmmsg": Scenario("sendmmsg, UDP", UP, traffic.many_datagrams),
    "loopback": Scenario("TCP download, loopback", DOWN, at_loopback, LOOPBACK),
    "container": Scenario("container, TCP upload", UP, contained, place="box"),
    "drip": Scenario("slow drip upload", UP, drip),
    "sixty": Scenario("60 connections", UP, sixty_connections),
    "burst": Scenario("30 connections at once", UP, burst),
    "uring-down": Scenario("io_uring download", DOWN, traffic.by_ring(0, BULK)),
    "splice": Scenario("splice download", DOWN, one_stream(0, BULK, receive=ways.receive_spliced)),
    "recvmmsg": Scenario("recvmmsg, UDP", DOWN, some_datagrams(0, UDP, receive=ways.receive_many)),
    "udp-ipv6": Scenario("UDP download, IPv6", DOWN, some_datagrams(0, UDP, address=PEER6), PEER6),
}  # fmt: skip


def main() -> None:
    """Runs one."""
    name, scale = sys.argv[1], float(sys.argv[2])
    with open("/proc/self/comm", "w") as comm:
        comm.write(name)
    run = one_of_many if name == "one" else SCENARIOS[name].run
    try:
        print(json.dumps({"moved": run(scale)}))
    except MissingError as error:
        print(json.dumps({"missing": f"not in this kernel: {error}"}))


if __name__ == "__main__":
    main()
