# SPDX-License-Identifier: Apache-2.0
"""Details of a flow (the process from /proc, the socket and the route from netlink) are looked up
once, at its first event. If a process or socket is gone by then, they are null."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Final

from tracer.clock import boot_now
from tracer.errors import SockwatchError
from tracer.host import cgroup, exe_view, fd_holders, netns, procfs
from tracer.host.fd_holders import Holders
from tracer.host.netlink import details, routes, sock_diag
from tracer.inventory import dump
from tracer.kernel.abi import FlowRecord
from tracer.model import protocols
from tracer.model.address import address
from tracer.model.flow import (
    HOLDS_DEVICE,
    Bound,
    Endpoint,
    EventKind,
    Flow,
    Icmp,
    Nat,
    NatEnd,
    Opener,
    RouteKey,
    SocketDetails,
    Via,
)
from tracer.model.process import Process, text
from tracer.model.socket import ALL_STATES, PROTOCOLS, Socket
from tracer.trace import acceptor, origin
from tracer.trace.origin import Origins
from tracer.trace.process_table import ProcessTable
from tracer.trace.receivers import Receiver, Receivers
from tracer.trace.sighting import pid_here

_OVER: Final = (EventKind.CONNECT_FAILED, EventKind.CLOSE)  # the socket is gone by then
_RECENT: Final = 1_000_000_000  # nanoseconds that a scan tells who holds listening sockets
_REST: Final = 4  # pause between scans of all descriptors, in multiples of a scan's time


def flow_from_record(fields: FlowRecord, process: Process | None) -> Flow:
    """Makes a flow of the kernel's record and the process that user space found."""
    via, proto = Via(fields.via), protocols.name(fields.proto)
    nat = NatEnd(fields.nat)
    return Flow(
        kind=EventKind(fields.kind),
        proto=proto,
        via=via,
        process=process,
        src=Endpoint(address(fields.saddr), fields.sport or None),
        dst=Endpoint(address(fields.daddr), fields.dport or None),
        cookie=fields.cookie or None,
        netns=fields.netns,
        interface=(text(fields.comm) or None) if via is Via.KERNEL else None,
        hop=None if NatEnd.DST in nat else address(fields.hop),
        nat=Nat(
            Endpoint(address(fields.nat_saddr), fields.nat_sport) if NatEnd.SRC in nat else None,
            Endpoint(address(fields.hop), fields.nat_dport) if NatEnd.DST in nat else None,
        ),
        opener=_opener(fields),
        closed=bool(fields.closed),
        oif=fields.oif or None,
        icmp=_icmp(fields, proto),
    )


def _icmp(fields: FlowRecord, proto: str) -> Icmp | None:
    if proto not in protocols.ICMP or fields.kind == EventKind.RECEIVE:
        return None  # what is received counts together, whatever its types
    return Icmp(fields.icmp_type, fields.icmp_code)


def _opener(fields: FlowRecord) -> Opener | None:
    if not fields.opener_start_time:
        return None
    return Opener(pid_here(fields.opener_pid), procfs.cut_to_tick(fields.opener_start_time))


class Enricher:
    """Makes flows of the kernel's records."""

    def __init__(self, processes: ProcessTable, *, find_acceptors: bool = False) -> None:
        """``find_acceptors``: no hook tells who accepts a connection."""
        self.skip_lookups = False  # too many events to ask netlink about each new flow
        self._processes = processes
        self._own = netns.own()
        self._find_acceptors = find_acceptors
        self._found = self._last = Holders({}, 0)
        self._looked = 0  # CLOCK_BOOTTIME, nanoseconds
        self._next_look = 0
        self._origins = Origins()
        self._sockets = Receivers()

    @property
    def may_scan_descriptors(self) -> bool:
        """Whether enough time has passed since the last scan of all processes' descriptors."""
        return boot_now() >= self._next_look

    def flow(self, fields: FlowRecord, time: int) -> Flow:
        """Returns a record's flow with all that can be found out; ``time`` is its event's."""
        flow = flow_from_record(fields, self._processes.of(fields))
        if fields.iif:
            return self._with_origin(flow, fields)
        if flow.kind is EventKind.RECEIVE:
            return flow
        if flow.via is Via.KERNEL:
            return _with_zones(flow, flow.interface if flow.interface != "lo" else None)
        has_details = not self.skip_lookups and flow.via in (Via.SOCKET, Via.RAW)
        if not (has_details or _needs_zone(flow)):
            return flow
        with contextlib.suppress(OSError), self._inside(fields):
            if _needs_zone(flow):  # however busy we are: a filter may ask for it
                flow = _with_zones(flow, netns.interface(fields.oif))
            if has_details:
                sock = self._socket(fields, flow, time)
                if self._find_acceptors and flow.kind is EventKind.ACCEPT:
                    flow = flow._replace(process=self._acceptor(flow, sock, time))
                key = RouteKey(fields.oif, fields.mark, fields.sock_uid, Bound(fields.bound))
                flow = _with_route(self._with_socket(flow, sock) if sock else flow, key)
        return flow

    def _with_origin(self, flow: Flow, fields: FlowRecord) -> Flow:
        """Adds where a forwarded packet came from, and who holds the tun or tap that it was written
        into, if only one process does."""
        came = origin.UNKNOWN
        with contextlib.suppress(OSError), self._origins.place(fields.netns):
            came = self._origins.find(fields, skip_lookups=self.skip_lookups)
            flow = _with_zones(flow, netns.interface(fields.oif))
        if flow.kind is EventKind.FORWARD:
            (holder,) = came.holders if len(came.holders) == 1 else (None,)
            process = holder and self._processes.now(holder)
            role = HOLDS_DEVICE if process else None
            return flow._replace(origin=came.origin, process=process or None, role=role)
        holds = flow.process is not None and flow.process.pid in came.holders
        return flow._replace(role=HOLDS_DEVICE if holds else None)

    def complete(self, flow: Flow, sock: Socket) -> Flow:
        """Adds what netlink and /proc know about a listed socket, and the route. The caller is in
        the flow's network namespace."""
        flow = self._with_socket(flow, sock)
        key = _route_key(sock)
        return _with_route(flow, key) if key else flow

    def receivers(self, flow: Flow, time: int) -> list[Flow]:
        """Returns the flow of what a socket has received with each process that holds the socket,
        and with its network namespace; with no process if it is gone, or there is no time to look.
        What a hook has named stays."""
        if flow.process:
            return [flow]
        found = self._sockets.get(flow)
        if not found and not self.skip_lookups and self.may_scan_descriptors:
            found = self._find_socket(flow, time)
        return found.of(flow) if found else [flow]

    def _find_socket(self, flow: Flow, time: int) -> Receiver | None:
        """Looks for a socket in all network namespaces. Its time counts as a scan's."""
        started, found = boot_now(), None
        with contextlib.suppress(OSError, SockwatchError), _receiving_socket(flow) as sock:
            if sock and self.look_at_holders(time):
                found = self._receiver(flow, sock, time)
                self._sockets.add(flow, found)
        ended = boot_now()
        self._next_look = max(self._next_look, ended + _REST * (ended - started))
        return found

    def _receiver(self, flow: Flow, sock: Socket, time: int) -> Receiver:
        zone = netns.interface(flow.oif) if flow.oif else None
        processes = map(self._processes.now, self.pids(sock))
        # one that has begun later may have it from its parent
        held = [process for process in processes if process and process.start_time <= time]
        flow = self._with_socket(flow._replace(netns=sock.netns), sock)
        return Receiver(sock.netns, flow.details, flow.holders, zone, tuple(held))

    def _with_socket(self, flow: Flow, sock: Socket) -> Flow:
        number = details.cgroup_id(sock.details)
        pids = self.pids(sock)
        return flow._replace(
            cookie=sock.cookie,
            details=SocketDetails(
                inode=sock.inode,
                state=sock.state,
                uid=sock.uid,
                cgroup=None if number is None else cgroup.path(number),
                interface=netns.interface(sock.ifindex),
            ),
            holders=tuple(map(exe_view.holder, pids)) if len(pids) > 1 else None,
        )

    def look_at_holders(self, since: int) -> bool:
        """Scans which processes hold which sockets, unless a scan began after ``since``
        (CLOCK_BOOTTIME, nanoseconds). Returns False if it is too soon to scan again."""
        if self._looked > since:
            return True
        started = boot_now()
        if started < self._next_look:
            self._found = Holders({}, 0)
            return False
        self._found = self._last = fd_holders.find()
        self._looked = started
        ended = boot_now()
        self._next_look = ended + _REST * (ended - started)
        return True

    @contextlib.contextmanager
    def _inside(self, fields: FlowRecord) -> Iterator[None]:
        """Enters the flow's network namespace. Raises OSError."""
        if fields.netns == self._own:
            yield
            return
        if not fields.pid:
            with self._origins.place(fields.netns):
                yield
            return
        path = netns.path_of(fields.netns, fields.pid)
        with netns.inside(path, fields.netns):
            yield

    def _socket(self, fields: FlowRecord, flow: Flow, time: int) -> Socket | None:
        if flow.kind in _OVER or flow.proto not in PROTOCOLS or not fields.sport:
            return None
        if flow.via is not Via.SOCKET:
            return None  # a raw socket's ends may be a UDP or TCP socket's, too
        with sock_diag.connect() as diag:
            sock = _of_ends(diag, fields, flow)
            if sock is None and _may_be_found_by_port(flow):
                sock = _of_cookie(diag, flow, flow.proto, flow.src.port or 0, flow.netns)
        if sock is None:
            return None
        looked = self.look_at_holders(time)
        if flow.cookie:
            return sock
        # only the addresses agree: it is the flow's socket if this process holds it
        return sock if looked and fields.pid in self.pids(sock) else None

    def _acceptor(self, flow: Flow, accepted: Socket | None, time: int) -> Process | None:
        """Returns who accepted a connection, as its first thread, since no scan knows which one it
        was. Between two scans, what the last one says of listening sockets has to do."""
        if not self.look_at_holders(time) and boot_now() - self._looked > _RECENT:
            return None
        with sock_diag.connect() as diag:
            return acceptor.find(diag, flow, accepted, self._last, self._processes.now, time)

    def pids(self, sock: Socket) -> tuple[int, ...]:
        """Returns the processes that held the socket at the last scan."""
        return acceptor.holders(sock, self._found)


def _of_ends(diag: socket.socket, fields: FlowRecord, flow: Flow) -> Socket | None:
    """Finds a socket by its ends. Its peer is what the process has named, also with NAT; but what a
    program of its cgroup has made of that."""
    local, remotes = (fields.saddr, fields.sport), [(fields.daddr, fields.dport)]
    if flow.nat.dst:
        remotes.append((fields.hop, fields.nat_dport))
    found = (
        sock_diag.find(diag, flow.proto, local, remote, fields.oif, flow.cookie, fields.netns)
        for remote in remotes
    )
    return next((sock for sock in found if sock), None)


def _may_be_found_by_port(flow: Flow) -> bool:
    """A TCP socket that its ends do not lead to is gone; to look through all takes a millisecond.
    So is another one, if its process is."""
    if flow.proto == "tcp" or not flow.cookie:
        return False
    return flow.process is not None and flow.process.args is not None


def _of_cookie(diag: socket.socket, flow: Flow, kind: str, port: int, inode: int) -> Socket | None:
    """Finds a socket that its ends do not lead to, by cookie, on its local port (0: on any), in the
    caller's network namespace."""
    for version in (6, 4):
        for sock in sock_diag.dump(diag, kind, version, ALL_STATES, inode, sport=port):
            if sock.cookie == flow.cookie:
                return sock
    return None


@contextlib.contextmanager
def _receiving_socket(flow: Flow) -> Iterator[Socket | None]:
    """Finds the socket that has received this; the caller is in its network namespace meanwhile.
    Raises OSError and SockwatchError."""
    kind = flow.proto if flow.via is Via.SOCKET else "raw"
    port = flow.src.port or 0 if flow.via is Via.SOCKET else 0
    if kind not in sock_diag.LISTED:
        yield None
        return

    def here(inode: int) -> Socket | None:
        with sock_diag.connect() as diag:
            return _of_cookie(diag, flow, kind, port, inode)

    with contextlib.closing(dump.visit(dump.namespaces(frozenset(), _quiet), _quiet)) as visit:
        yield next(filter(None, map(here, visit)), None)


def _quiet(_: str) -> None:
    """Takes a warning that nobody needs."""


def _needs_zone(flow: Flow) -> bool:
    """Says whether the interface of a link-local address is known by its number only."""
    return flow.oif is not None and _with_zones(flow, "") is not flow


def _with_zones(flow: Flow, zone: str | None) -> Flow:
    """Names the zone of addresses on the link that the packet leaves by: the end of a source route,
    and a destination that NAT has replaced, are on another one."""
    src = flow.src.in_zone(zone)
    dst = flow.dst if flow.hop or flow.nat.dst else flow.dst.in_zone(zone)
    return flow if src is flow.src and dst is flow.dst else flow._replace(src=src, dst=dst)


def _route_key(sock: Socket) -> RouteKey | None:
    """Returns what the route of a listed socket depends on; None if that was not listed: procfs
    has no marks and no devices, and netlink has no marks without CAP_NET_ADMIN."""
    mark = details.mark(sock.details)
    if mark is None or sock.uid is None:
        return None
    bound = Bound.ADDRESS | (Bound.DEVICE if sock.ifindex else Bound(0))
    return RouteKey(sock.ifindex, mark, sock.uid, bound)


def _with_route(flow: Flow, key: RouteKey) -> Flow:
    if flow.dst.addr is None:
        return flow
    # raw_sendmsg() has no ports, nor has ip_route_me_harder(), which looks again after NAT
    proto = flow.proto if flow.via is Via.SOCKET and not flow.nat.dst else None
    dst = flow.nat.dst or (flow.dst._replace(addr=flow.hop) if flow.hop else flow.dst)
    try:
        route = routes.get(proto, flow.src, dst, key)
    except OSError:  # there is no route
        return flow
    if route and not flow.src.addr:
        src = Endpoint(route.source, flow.src.port)
        flow = flow._replace(src=src.in_zone(route.interface))
    return flow._replace(route=route)
