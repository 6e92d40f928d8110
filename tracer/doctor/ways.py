# SPDX-License-Identifier: Apache-2.0
"""Ways to send to an address. Each is known by a port of its own; without ports, by its protocol
and how it was sent.

They run in a network namespace that leads nowhere (:mod:`tracer.doctor.place`).
"""

import contextlib
import errno
import socket
import struct
from collections.abc import Callable
from typing import Final, NamedTuple

from tracer.kernel.abi import FlowRecord
from tracer.model.flow import Via

NEAR: Final = "10.0.0.1"
FAR: Final = "10.0.0.5"
FAR_IPV6: Final = "fd00::5"
SILENT: Final = "10.0.0.77"  # on the same network, but nobody is there
DEVICE: Final = "near"
LISTENING: Final = 40_000  # a port of FAR and FAR_IPV6 that takes connections
_FIRST_PORT: Final = 40_001

_UDP_CORK: Final = 1  # include/uapi/linux/udp.h
_UDP_SEGMENT: Final = 103
_SOL_PACKET: Final = 263
_PACKET_QDISC_BYPASS: Final = 20  # include/uapi/linux/if_packet.h
_ETH_P_IP: Final = 0x0800

_SOCK_DCCP: Final = 6  # include/linux/net.h
_DCCP: Final = 33  # of IP, include/uapi/linux/in.h
_EXPERIMENT: Final = 253  # of IP, RFC 3692: nobody else's
_ECHO, _ECHO_IPV6 = 8, 128  # types of ICMP and ICMPv6

_FAILS: Final = "UDP that fails in its system call never reaches a device"
_PAST: Final = "it goes past the queue; the witness of 'sockwatch prove' counts it"
_TRACEPOINT: Final = frozenset({"tracepoint"})


class Way(NamedTuple):
    """A way to send, to a port. ``blind`` are the probes that cannot see it, because of ``why``.
    ``known_by`` are protocol and via of its events, where these have no ports."""

    name: str
    send: Callable[[int], None]
    blind: frozenset[str] = frozenset()
    why: str = ""
    known_by: tuple[int, Via] | None = None

    def has_sent(self, flow: FlowRecord) -> bool:
        """Says whether this is a flow of this way."""
        if self.known_by:
            return (flow.proto, flow.via) == self.known_by
        return PORTS[self.name] in (flow.dport, flow.sport)


def _udp(addr: str = FAR) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in addr else socket.AF_INET, socket.SOCK_DGRAM)


def _sendto(addr: str) -> Callable[[int], None]:
    def send(port: int) -> None:
        with _udp(addr) as sock:
            sock.sendto(b"doctor", (addr, port))

    return send


def _connected(port: int) -> None:
    with _udp() as sock:
        sock.connect((FAR, port))
        sock.send(b"doctor")


def _mapped(port: int) -> None:
    with _udp(FAR_IPV6) as sock:
        sock.sendto(b"doctor", (f"::ffff:{FAR}", port))


def _segmented(port: int) -> None:
    with _udp() as sock:
        sock.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, 100)
        sock.sendto(bytes(950), (FAR, port))


def _corked(port: int) -> None:
    with _udp() as sock:
        sock.connect((FAR, port))
        sock.setsockopt(socket.IPPROTO_UDP, _UDP_CORK, 1)
        sock.send(b"held ")
        sock.send(b"back")
        sock.setsockopt(socket.IPPROTO_UDP, _UDP_CORK, 0)


def _fragmented(port: int) -> None:
    with _udp() as sock:
        sock.sendto(bytes(4000), (FAR, port))


def _failing(port: int) -> None:
    with _udp() as sock:
        _expect(errno.EMSGSIZE, lambda: sock.sendto(bytes(65_535), (FAR, port)))


def _raw(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as sock:
        sock.sendto(_datagram(port), (FAR, 0))


def _raw_with_header(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
        sock.sendto(_packet(port), (FAR, 0))


def _frame(port: int) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((DEVICE, _ETH_P_IP))
        sock.send(bytes(12) + _ETH_P_IP.to_bytes(2) + _packet(port))


def _frame_past_the_queue(port: int) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 1)
        sock.bind((DEVICE, _ETH_P_IP))
        sock.send(bytes(12) + _ETH_P_IP.to_bytes(2) + _packet(port))


def _refused(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        _expect(errno.ECONNREFUSED, lambda: sock.connect((FAR, port)))


def _taken(addr: str) -> Callable[[int], None]:
    def send(port: int) -> None:
        family = socket.AF_INET6 if ":" in addr else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.bind(("", port))  # where it comes from tells it from the others
            # no TIME-WAIT: the next probe's connection comes from there, too
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
            sock.connect((addr, LISTENING))
            sock.send(b"doctor")

    return send


def _connection(kind: int, proto: int) -> Callable[[int], None]:
    """Of SCTP or DCCP, where nobody listens."""

    def send(port: int) -> None:
        with socket.socket(socket.AF_INET, kind, proto) as sock:
            _expect(errno.ECONNREFUSED, lambda: sock.connect((FAR, port)))

    return send


def _echo(kind: int, proto: int, addr: str = FAR) -> Callable[[int], None]:
    """Pings, by a ping socket or a raw one."""
    family = socket.AF_INET6 if ":" in addr else socket.AF_INET
    asked = _ECHO_IPV6 if ":" in addr else _ECHO

    def send(_port: int) -> None:
        with socket.socket(family, kind, proto) as sock:
            sock.sendto(struct.pack("!BBHHH", asked, 0, 0, 1, 1) + b"doctor", (addr, 0))

    return send


def _raw_tcp(port: int) -> None:
    """As a scanner does."""
    syn = struct.pack("!HHIIBBHHH", 4321, port, 1, 0, 0x50, 2, 1024, 0, 0)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as sock:
        sock.sendto(syn, (FAR, 0))


def _raw_other(_port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, _EXPERIMENT) as sock:
        sock.sendto(b"doctor", (FAR, 0))


def _expect(number: int, send: Callable[[], object]) -> None:
    try:
        send()
    except OSError as error:
        if error.errno != number:
            raise
    else:
        raise OSError(0, f"it should have failed with {errno.errorcode[number]}")


def _datagram(port: int) -> bytes:
    return struct.pack("!HHHH", 4321, port, 14, 0) + b"doctor"


def _packet(port: int) -> bytes:
    """Returns an IPv4 packet; the kernel fills the checksum in for a raw socket, and nobody looks
    at that of a frame."""
    datagram = _datagram(port)
    ends = socket.inet_aton(NEAR) + socket.inet_aton(FAR)
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 1, 0, 64, 17, 0) + ends + datagram


WAYS: Final = (
    Way("UDP", _sendto(FAR)),
    Way("UDP, connected", _connected),
    Way("UDP over IPv6", _sendto(FAR_IPV6)),
    Way("UDP to an IPv4-mapped address", _mapped),
    Way("UDP to this machine itself", _sendto(NEAR)),
    Way("UDP to a neighbour that never answers", _sendto(SILENT)),
    Way("UDP, segmented (GSO)", _segmented),
    Way("UDP, corked", _corked),
    Way("UDP, in fragments", _fragmented),
    Way("UDP that fails", _failing, _TRACEPOINT, _FAILS),
    Way("raw socket", _raw),
    Way("raw socket with its own header", _raw_with_header),
    Way("packet socket", _frame),
    Way("packet socket past the queue", _frame_past_the_queue, _TRACEPOINT, _PAST),
    Way("TCP, refused", _refused),
    Way("TCP", _taken(FAR)),
    Way("TCP over IPv6", _taken(FAR_IPV6)),
    Way("TCP by a raw socket", _raw_tcp),
    Way("ping socket", _echo(socket.SOCK_DGRAM, socket.IPPROTO_ICMP),
        known_by=(socket.IPPROTO_ICMP, Via.SOCKET)),
    Way("ping socket over IPv6", _echo(socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6, FAR_IPV6),
        known_by=(socket.IPPROTO_ICMPV6, Via.SOCKET)),
    Way("ping by a raw socket", _echo(socket.SOCK_RAW, socket.IPPROTO_ICMP),
        known_by=(socket.IPPROTO_ICMP, Via.RAW)),
    Way("SCTP", _connection(socket.SOCK_STREAM, socket.IPPROTO_SCTP)),
    Way("DCCP", _connection(_SOCK_DCCP, _DCCP)),
    Way("another protocol, by a raw socket", _raw_other, known_by=(_EXPERIMENT, Via.RAW)),
)  # fmt: skip
PORTS: Final = {way.name: _FIRST_PORT + at for at, way in enumerate(WAYS)}


def send_all() -> dict[str, str | None]:
    """Sends in each way; returns why the kernel refused it, None where it did not."""
    return {way.name: _refusal(way) for way in WAYS}


def _refusal(way: Way) -> str | None:
    try:
        way.send(PORTS[way.name])
    except OSError as error:
        return str(error.strerror)
    return None


def flood(count: int) -> None:
    """Sends so many datagrams to a socket of our own, which nobody watches."""
    with _udp() as sink, _udp() as sock:
        sink.bind(("127.0.0.1", 0))
        sock.connect(sink.getsockname())
        for _ in range(count):
            sock.send(b"doctor")
            with contextlib.suppress(BlockingIOError):
                sink.recv(16, socket.MSG_DONTWAIT)
