# SPDX-License-Identifier: Apache-2.0
"""Flows: who sends what to whom, and with which outcome."""

import enum
import errno
from collections.abc import Callable
from typing import Final, NamedTuple

from tracer.model import protocols
from tracer.model.address import Address, has_zone
from tracer.model.process import Holder, Process

ERROR_NOT_OBSERVED: Final = -1


class EventKind(enum.IntEnum):
    """``enum event_kind``, bpf/event.h."""

    SEND = 1
    CONNECT = 2
    CONNECTED = 3
    CONNECT_FAILED = 4
    ACCEPT = 5
    CLOSE = 6
    EXISTING = 7
    FORWARD = 8
    VOLUME = 9
    RECEIVE = 10


class Via(enum.IntEnum):
    """``enum via``: how a datagram reached the network layer."""

    SOCKET = 1
    RAW = 2
    PACKET = 3
    KERNEL = 4
    DEVICE = 5


# ``outcome`` of an event without an error; that of an attempt is told by a later event
_OUTCOMES: Final = {
    EventKind.SEND: "sent",
    EventKind.CONNECT: None,
    EventKind.CONNECTED: "connected",
    EventKind.ACCEPT: "accepted",
    EventKind.CLOSE: "closed",
    EventKind.EXISTING: None,
    EventKind.FORWARD: "forwarded",
    EventKind.VOLUME: None,
    EventKind.RECEIVE: None,
}

HOLDS_DEVICE: Final = "holds the device"  # a process's role


class Bound(enum.IntFlag):
    """``enum bound``: what a socket is bound to."""

    DEVICE = 1 << 0
    ADDRESS = 1 << 1


class NatEnd(enum.IntFlag):
    """``enum nat``: which ends of a packet NAT has changed."""

    SRC = 1 << 0
    DST = 1 << 1


class Endpoint(NamedTuple):
    """An address with a port; each is None where it is not known or not bound yet. ``zone`` is the
    name of the interface that a link-local address belongs to, None for any other address."""

    addr: Address | None
    port: int | None
    zone: str | None = None

    @property
    def host(self) -> str | None:
        """Returns the address with its zone, as ``fe80::5%eth0``."""
        if self.addr is None:
            return None
        return f"{self.addr}%{self.zone}" if self.zone else str(self.addr)

    def in_zone(self, zone: str | None) -> "Endpoint":
        """Returns it with the zone, if its address is one that needs one."""
        return self._replace(zone=zone) if self.addr and has_zone(self.addr.packed) else self

    def __str__(self) -> str:
        return self.shown(lambda _: None)

    def shown(self, name_of: Callable[[str], str | None], proto: str = "udp") -> str:
        """Formats it, with the address's name if it has one, and with a port if ``proto`` has
        ports."""
        addr = self.host or "*"
        port = "*" if self.port is None else self.port
        name = name_of(str(self.addr)) if self.addr else None
        if proto not in protocols.WITH_PORTS:
            return name or addr
        return f"[{addr}]:{port}" if ":" in addr and not name else f"{name or addr}:{port}"


class Icmp(NamedTuple):
    """Type and code of an ICMP or ICMPv6 message."""

    type: int
    code: int


def destination(
    dst: Endpoint,
    nat_dst: Endpoint | None,
    proto: str,
    name_of: Callable[[str], str | None] = lambda _: None,
) -> str:
    """Formats a destination, and behind it what NAT made of it."""
    shown = dst.shown(name_of, proto)
    return f"{shown} → {nat_dst.shown(name_of, proto)}" if nat_dst else shown


class SocketDetails(NamedTuple):
    """What netlink reported of a flow's socket when the flow began. ``interface`` is the device
    that the socket is bound to, ``cgroup`` the cgroup that it was made in."""

    inode: int | None
    state: str
    uid: int | None
    cgroup: str | None
    interface: str | None


class RouteKey(NamedTuple):
    """What the kernel chooses a route by, besides both ends. ``oif`` is the index of the interface
    that the packet left by; without a packet, that the socket is bound to; 0: neither. ``uid`` is
    the socket's owner."""

    oif: int
    mark: int
    uid: int
    bound: Bound


class Route(NamedTuple):
    """The route that the kernel takes; ``source`` is the local address."""

    interface: str
    gateway: Address | None
    source: Address | None


class Nat(NamedTuple):
    """What NAT made of a flow's ends, as its packets have them; None: it has left that end as it
    was, or that is not known."""

    src: Endpoint | None = None
    dst: Endpoint | None = None


class Moved(NamedTuple):
    """Payload in bytes that a TCP connection has sent and received."""

    sent: int
    received: int


class Opener(NamedTuple):
    """The process that connected or accepted what a ``close`` event ends. ``start_time`` is as in
    :class:`tracer.model.process.Process`."""

    pid: int | None
    start_time: int


class Neighbour(NamedTuple):
    """Who is on the same link: the IP address and the Ethernet address (as text), each None where
    it is not known."""

    addr: Address | None
    mac: str | None


class Origin(NamedTuple):
    """Where a packet came from that this machine hands on: by which device, and from whom.
    ``sent_here``: by a veth from another network namespace of this machine, where it was seen;
    None: that is not known."""

    device: str | None = None
    neighbour: Neighbour | None = None
    sent_here: bool | None = None

    def __str__(self) -> str:
        who = self.neighbour and (self.neighbour.addr or self.neighbour.mac)
        return f"{self.device or 'unknown'} from {who}" if who else self.device or "unknown"


class Flow(NamedTuple):
    """What all events with the same bytes in ``struct flow`` have in common. What could not be
    found out is None."""

    kind: EventKind
    proto: str
    via: Via
    process: Process | None
    src: Endpoint
    dst: Endpoint
    cookie: int | None
    netns: int
    interface: str | None
    oif: int | None = None  # index of the interface that it leaves by, or its socket is bound to
    details: SocketDetails | None = None
    holders: tuple[Holder, ...] | None = None
    route: Route | None = None
    hop: Address | None = None  # on a source route, the next stop before ``dst``
    opener: Opener | None = None  # of a ``close`` event
    closed: bool = False  # a ``close`` event: ``process`` closed it
    icmp: Icmp | None = None
    nat: Nat = Nat()
    origin: Origin | None = None  # of a ``forward`` event
    role: str | None = None  # of ``process``, if it did not send by a socket
    before: Moved | None = None  # of an existing connection: what it had moved by then

    @property
    def is_closed_by_another(self) -> bool:
        """Whether this is a ``close`` by another process than connected or accepted."""
        if not self.opener or not self.process:
            return False
        return self.opener != (self.process.pid, self.process.start_time)

    @property
    def shows_answers(self) -> bool:
        """Whether what comes back is known by a socket and this destination. With NAT, it may come
        from another address."""
        return self.via in (Via.SOCKET, Via.RAW) and not self.nat.dst

    @property
    def addresses(self) -> tuple[str, ...]:
        """Returns the addresses of both ends as text, also of those that NAT has made."""
        ends = (self.src, self.dst, *self.nat)
        return tuple(str(end.addr) for end in ends if end and end.addr)

    @property
    def sender(self) -> str:
        """Returns the process's name; without a process, in brackets, the device, and whom it got
        a forwarded packet from, or ``unknown``."""
        if self.process:
            return self.process.comm
        return f"[{self.origin or self.interface or 'unknown'}]"


def error_name(error: int) -> str | None:
    """Returns ``ECONNREFUSED`` for 111; None for success or an unknown result."""
    return errno.errorcode.get(error, str(error)) if error > 0 else None


def outcome(kind: EventKind, error: int) -> str | None:
    """Returns the log's ``outcome`` for an event."""
    if error > 0 or kind is EventKind.CONNECT_FAILED:
        return "failed"
    return None if error == ERROR_NOT_OBSERVED else _OUTCOMES[kind]
