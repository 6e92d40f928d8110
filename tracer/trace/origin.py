# SPDX-License-Identifier: Apache-2.0
"""Finds out where packets came from that this machine hands on: by which device, from which
neighbour, and which process holds a tun or tap. Looked up once for each flow."""

import contextlib
import socket
import time
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from tracer.filter.parse import netns_inode
from tracer.host import netns, open_files, tun
from tracer.host.netlink import devices, neighbours
from tracer.host.netlink.devices import Link
from tracer.host.open_files import Device
from tracer.kernel.abi import FlowRecord
from tracer.model.address import Address, address
from tracer.model.flow import Neighbour, Origin

# Devices whose other end is one in a network namespace of this machine.
_JOINED: Final = frozenset({"veth", "netkit"})
# Devices that are on another one, which a packet has come by.
_ABOVE: Final = frozenset({"vlan", "macvlan", "macsec"})
# Devices that have ports, which a packet has come by: not known where they are gone.
_OF_PORTS: Final = frozenset({"bridge", "bond", "team", "vrf", "openvswitch"})
_MAC: Final = 6  # bytes of an Ethernet address
_AGE: Final = 1.0  # seconds that what was listed counts as known
_SOON: Final = 0.05  # the same of what was not in the list
_MAX_GONE: Final = 4096  # devices of a namespace that are remembered once they are gone

Links = dict[int, Link]


class Came(NamedTuple):
    """The origin, and the processes that hold the device which the packet has come by."""

    origin: Origin
    holders: Collection[int] = ()


UNKNOWN: Final = Came(Origin())


class Origins:
    """Looks origins up. The caller of :meth:`find` is in :meth:`place`."""

    def __init__(self) -> None:
        self._links: dict[int, tuple[float, Links]] = {}  # by namespace, and when they were listed
        self._own = netns.own()
        self._paths: dict[int, tuple[float, str | None]] = {}  # to namespaces, and when looked for
        self._devices: list[Device] = []
        self._devices_until = 0.0

    @contextlib.contextmanager
    def place(self, inode: int) -> Iterator[None]:
        """Enters a network namespace, which nobody may be known to be in. Raises OSError."""
        if inode == self._own:
            yield
            return
        path = self._path_of(inode)
        if path is None:
            raise FileNotFoundError(f"nothing leads to the network namespace {inode}")
        with netns.inside(path, inode):
            yield

    def _path_of(self, inode: int) -> str | None:
        looked, path = self._paths.get(inode, (0.0, None))
        if path and netns_inode(path) == inode:
            return path
        if time.monotonic() - looked >= _AGE:
            path = netns.all_namespaces().paths.get(inode)  # takes milliseconds
            self._paths[inode] = time.monotonic(), path
        return path

    def find(self, fields: FlowRecord, *, skip_lookups: bool) -> Came:
        """Returns where the packets of a record came from. ``skip_lookups``: does not look for the
        neighbour unless that decides. Raises OSError."""
        with devices.connect() as sock:
            links = self._links_of(sock, fields.netns, fields.iif)
            by = list(_came_by(links, fields.iif))
            neighbour = None
            if len(by) > 1 or not skip_lookups:
                neighbour, mac = _neighbour(sock, links, fields)
                by = _narrowed(sock, by, links.get(fields.iif), mac)
        device = links.get(fields.iif)
        origin = Origin(device and device.name, neighbour, _sent_here(by))
        return Came(origin, self._holders(by, fields.netns))

    def _links_of(self, sock: socket.socket, inode: int, ifindex: int) -> Links:
        """Lists the devices now and then; remembers those that are gone, whose numbers are not
        given again (dev_new_index(), net/core/dev.c)."""
        listed, known = self._links.get(inode, (0.0, {}))
        now = time.monotonic()
        if now - listed >= (_AGE if ifindex in known else _SOON):
            found = {link.ifindex: link for link in devices.links(sock)}
            known = found if len(known) > len(found) + _MAX_GONE else known | found
            self._links[inode] = now, known
        return known

    def _holders(self, by: list[Link], inode: int) -> list[int]:
        if len(by) != 1 or by[0].kind != "tun":
            return []
        now = time.monotonic()
        if now >= self._devices_until:
            self._devices = open_files.find().devices
            self._devices_until = time.monotonic() + _AGE
        return tun.holders(self._devices, by[0].name, inode)


def _came_by(links: Links, ifindex: int, depth: int = 8) -> Iterator[Link]:
    """Yields the devices that a packet may have come by before it came by this one."""
    link = links.get(ifindex)
    if link is None or not depth:
        return
    ports = [one.ifindex for one in links.values() if one.master == ifindex]
    if link.kind in _ABOVE and link.lower:
        ports.append(link.lower)
    for port in ports:
        yield from _came_by(links, port, depth - 1)
    if not ports:
        yield link


def _narrowed(
    sock: socket.socket, by: list[Link], device: Link | None, mac: bytes | None
) -> list[Link]:
    """Leaves only the port of a bridge by which the neighbour comes, if that is known."""
    if len(by) < 2 or device is None or mac is None:
        return by
    bridge = device.ifindex if device.kind == "bridge" else device.master
    port = neighbours.bridge_port(sock, bridge, mac) if bridge else None
    return [one for one in by if one.ifindex == port] or by


def _sent_here(by: list[Link]) -> bool | None:
    kinds = {link.kind for link in by}
    if not kinds or kinds & _OF_PORTS:
        return None
    return True if kinds <= _JOINED else None if kinds & _JOINED else False


def _neighbour(
    sock: socket.socket, links: Links, fields: FlowRecord
) -> tuple[Neighbour | None, bytes | None]:
    """Returns the neighbour that sent the packet, and its Ethernet address. A bridged frame shows
    that; whoever sent a routed one is known only if the source is on the link."""
    src, device = address(fields.saddr), links.get(fields.iif)
    if src is None or device is None:
        return None, None
    mac = fields.thread[:_MAC]
    if device.master and device.master == _master(links, fields.oif) and any(mac):
        return Neighbour(_address(sock, device.master, mac, src), mac.hex(":")), mac
    found = neighbours.ethernet_address(sock, fields.iif, src)
    return (Neighbour(src, found.hex(":")), found) if found else (None, None)


def _master(links: Links, ifindex: int) -> int:
    return links[ifindex].master if ifindex in links else 0


def _address(sock: socket.socket, ifindex: int, mac: bytes, src: Address) -> Address | None:
    """Returns the address of the neighbour with that Ethernet address: the packet's source, if it
    has that; else the only one that it has."""
    found = neighbours.addresses(sock, ifindex, mac)
    return src if src in found else found[0] if len(found) == 1 else None
