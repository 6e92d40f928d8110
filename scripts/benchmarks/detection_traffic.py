# SPDX-License-Identifier: Apache-2.0
"""What one process of scripts/benchmarks/detection.py moves, which says so by its own count; bytes
are payload."""

import os
import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import detection_ways as ways
import detection_wire as wire
from detection_wire import PEER, PORT, Request

from tests.generator import Ring, ip_packet, udp_packet

MB: Final = 1 << 20
SECONDS: Final = 2.0  # for what is no burst
_ECHO: Final = struct.Struct("!BBHHH")  # RFC 792

Moved = dict[str, Any]


class MissingError(Exception):
    """What this kernel does not have."""


def moved(sent: int, received: int) -> Moved:
    """By this process."""
    with open("/proc/self/comm") as comm:
        return {"pid": os.getpid(), "comm": comm.read().strip(), "sent": sent, "received": received}


def stream(
    asked: Request,
    address: str = PEER,
    protocol: int = 0,
    send: Callable[[socket.socket, int, float], None] = wire.send_stream,
    receive: Callable[[socket.socket, int], int] = wire.receive_stream,
) -> tuple[int, int]:
    """One connection, until the peer closes it; bytes sent and received."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_STREAM, protocol)
    except OSError as error:
        raise MissingError("SCTP" if protocol else "this address family") from error
    with sock:
        wire.be_patient(sock)
        sock.connect((address, PORT))
        sock.sendall(asked.pack())
        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(send, sock, asked.up, asked.seconds)
            received = receive(sock, asked.down)
            sending.result()
        assert sock.recv(1) == b"", "the peer gave too much"
    return wire.REQUEST_SIZE + asked.up, received


def datagrams(
    up: int,
    down: int,
    address: str = PEER,
    port: int = PORT,
    size: int = wire.DATAGRAM,
    receive: Callable[[socket.socket, int], int] = ways.receive_datagrams,
) -> tuple[int, int]:
    """UDP, both ways at once."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        wire.be_patient(sock)
        ways.make_room(sock, down)
        asked = Request(0, down, SECONDS).pack() if down else b""
        if asked:
            sock.sendto(asked, (address, port))
        with ThreadPoolExecutor(1) as pool:
            give = (sock, up, SECONDS, (address, port), size)
            sending = pool.submit(wire.send_datagrams, *give)
            received = receive(sock, down)
            sending.result()
    return len(asked) + up, received


def one_stream(up: int, down: int, **how: Any) -> Callable[[float], list[Moved]]:
    """A scenario of one connection, in two seconds."""

    def run(scale: float) -> list[Moved]:
        asked = Request(int(up * scale), int(down * scale), SECONDS)
        return [moved(*stream(asked, **how))]

    return run


def some_datagrams(up: int, down: int, **how: Any) -> Callable[[float], list[Moved]]:
    """A scenario of UDP, in two seconds."""
    return lambda scale: [moved(*datagrams(int(up * scale), int(down * scale), **how))]


def by_ring(up: int, down: int) -> Callable[[float], list[Moved]]:
    """A scenario of one connection, by io_uring."""

    def run(scale: float) -> list[Moved]:
        try:
            Ring()
        except OSError as error:
            raise MissingError("io_uring") from error
        how: dict[str, Any] = {"send": ways.send_by_ring, "receive": ways.receive_by_ring}
        return one_stream(up, down, **how)(scale)

    return run


def echoes(scale: float) -> list[Moved]:
    """Pings by a raw socket, one after the other."""
    payload, sent, received = bytes(1000), 0, 0
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
        wire.be_patient(sock)
        own = os.getpid() & 0xFFFF
        for number, size in enumerate(wire.paced(int(MB * scale), len(payload), SECONDS)):
            head = _ECHO.pack(8, 0, _checksum(8, own, number), own, number & 0xFFFF)
            sock.sendto(head + payload[:size], (PEER, 0))
            sent += size
            answer = sock.recv(wire.CHUNK)
            assert answer[20] == 0, "no echo reply"
            received += len(answer) - 20 - _ECHO.size
    return [moved(sent, received)]


def _checksum(kind: int, own: int, number: int) -> int:
    """Of a message whose payload is zeros."""
    total = (kind << 8) + own + (number & 0xFFFF)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def raw_packets(scale: float) -> list[Moved]:
    """Of a protocol that nobody has heard of."""
    total = int(MB * scale)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, wire.IPPROTO_TEST) as sock:
        wire.send_datagrams(sock, total, SECONDS, (PEER, 0))
    return [moved(total, 0)]


def frames(scale: float) -> list[Moved]:
    """UDP, made by a packet socket."""
    total = int(MB * scale)
    macs = bytes.fromhex((wire.PEER_MAC + wire.CLIENT_MAC).replace(":", ""))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind(("near", 0))
        for size in wire.paced(total, wire.DATAGRAM, SECONDS):
            datagram = udp_packet(bytes(size), 4321, PORT)
            sock.send(macs + b"\x08\x00" + ip_packet(wire.CLIENT, PEER, datagram))
    return [moved(total, 0)]


def many_datagrams(scale: float) -> list[Moved]:
    """sendmmsg(2)."""
    total = int(4 * MB * scale) // wire.DATAGRAM * wire.DATAGRAM
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((PEER, PORT))
        ways.send_many(sock, total, SECONDS)
    return [moved(total, 0)]
