# SPDX-License-Identifier: Apache-2.0
"""One run of ``sockwatch sockets``: what is open now, and who holds it."""

import atexit
import gc
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple, TextIO

from tracer.host import cgroup, netns, procfs
from tracer.host.fd_holders import Holders
from tracer.host.netlink import addresses, details
from tracer.host.netlink.addresses import InterfaceAddress
from tracer.host.resolver import Names
from tracer.inventory import dump
from tracer.inventory.selection import Selection
from tracer.model.event import Holder
from tracer.model.socket import UNSPECIFIED, Held, Listed, Processes, Socket
from tracer.output.stdout import Screen, fail
from tracer.sockets.render import Begun, SocketLines, SocketTable
from tracer.warn import say

_BATCH: Final = 1 << 16  # sockets held at once; the first are read while holders are looked for
_PATIENCE: Final = 2.0  # seconds that the names of a batch may take


class Options(NamedTuple):
    """What the user asked for, besides which sockets."""

    source: dump.Source
    json: bool
    header: bool
    extended: bool
    memory: bool
    info: bool
    exposed: bool
    all_netns: bool
    resolve: bool


def list_sockets(
    selection: Selection, options: Options, held_by: Callable[[], Holders], out: TextIO
) -> None:
    """Writes a line for each socket to ``out``; ``held_by`` waits for the holders. Raises
    SockwatchError."""
    gc.disable()  # a listing ends soon and makes no cycles: a fifth of its time
    atexit.register(gc.freeze)  # nor is what is left looked through at the end
    if selection.filters.by_cgroup and cgroup.is_private():
        say(cgroup.PRIVATE)
    names = Names() if options.resolve else None
    sink = sink_of(options, Screen(out, fail), names)
    found = selected(selection, options, say)
    join = None
    while begun := _begin(itertools.islice(found, _BATCH), sink, names):
        join = join or Join(selection, held_by())
        sink.write(list(join.lines(begun)))
    if join is None:
        sink.write([])  # a table has its header
    else:
        _say_unknown(join)


def _begin(
    batch: Iterable[Listed], sink: SocketLines | SocketTable, names: Names | None
) -> list[tuple[int | None, Begun]]:
    """Of each the inode, by which its holders are found, and its line so far: that is all that is
    kept of so many."""
    if names:
        batch = list(batch)
        names.wait(_addresses(batch), _PATIENCE)
    return [(listed.socket.inode, sink.begin(listed)) for listed in batch]


def _say_unknown(join: "Join") -> None:
    """Of a choice by process that has left nothing, what it may have left out wrongly."""
    number = join.unknown or (0 if join.taken else join.left_out)
    if number:
        hint = ": run it as root" if os.geteuid() else ""
        say(f"{number} of the sockets may be held by processes that cannot be looked into{hint}")


def _addresses(batch: Iterable[Listed]) -> set[str]:
    ends = itertools.chain.from_iterable((one.socket.src, one.socket.dst) for one in batch)
    return {addr for addr in ends if addr is not None and addr not in UNSPECIFIED}


def sink_of(options: Options, screen: Screen, names: Names | None) -> SocketLines | SocketTable:
    """As the user wants to see it."""
    name_of = names.of if names else None
    if options.json:
        return SocketLines(screen.write, name_of)
    return SocketTable(
        screen.write,
        header=options.header,
        numbers=options.extended,
        user_of=procfs.user_name,
        name_of=name_of,
    )


def selected(
    selection: Selection, options: Options, complain: Callable[[str], None]
) -> Iterator[Listed]:
    """What is selected, but for the choice by process; ``complain`` is told what could not be
    looked into. Raises SockwatchError."""
    where = dump.places(selection.filters.netns, options.all_netns)
    extensions = details.MEMORY * options.memory | details.TCP_INFO * options.info
    extra = _extra_of(options, several=len(where) > 1)
    for sock in dump.sockets(selection, where, options.source, complain, extensions):
        listed = Listed(sock, extra(sock) if extra else {})
        if not options.exposed or listed.extra["reachable"]:
            yield listed


class Join:
    """From the inodes of sockets to the processes that hold them, each looked at once."""

    def __init__(self, selection: Selection, found: Holders) -> None:
        self.taken = False  # has any been?
        # how many may have holders that cannot be looked into: of those taken, and of the others
        self.unknown = 0
        self.left_out = 0
        self._selection = selection
        self._unreadable = found.unreadable
        self._by_inode = found.by_inode
        self._known: dict[int, Holder] = {}

    def lines(self, begun: Iterable[tuple[int | None, Begun]]) -> Iterator[tuple[Begun, Processes]]:
        """Each with its processes, but for those whose processes nobody asked for."""
        for inode, line in begun:
            processes = self.holders(inode)
            takes = self._selection.takes_holders(processes)
            if takes:
                self.taken = True
                if processes is None:
                    self.unknown += 1
                yield line, processes
            elif takes is None:
                self.left_out += 1

    def holders(self, inode: int | None) -> Processes:
        """None where a process that could not be looked into may be one."""
        flat = self._by_inode.get(inode) if inode else None
        if flat is None:
            return None if inode and self._unreadable else ()
        if len(flat) == 2:  # nearly always: worth its own line
            return (Held(self._holder(flat[0]), flat[1]),)
        held = zip(flat[::2], flat[1::2], strict=True)
        return tuple(Held(self._holder(pid), fd) for pid, fd in held)

    def _holder(self, pid: int) -> Holder:
        known = self._known.get(pid)
        if known is None:
            known = self._known[pid] = procfs.holder(pid)
        return known


def _extra_of(options: Options, several: bool) -> Callable[[Socket], dict[str, Any]] | None:
    """What is told of a socket beyond its row; None if nothing was asked for."""
    parts: list[Callable[[Socket], dict[str, Any]]] = []
    if options.extended or several:
        parts.append(lambda sock: {"netns": sock.netns})
    if options.extended:
        parts.append(_extended)
    if options.memory:
        parts.append(lambda sock: {"memory": details.memory(sock.details)})
    if options.info:
        parts.append(lambda sock: {"tcp": details.tcp_info(sock.details)})
    if options.exposed:
        exposure = _Exposure()
        parts.append(lambda sock: {"reachable": exposure.of(sock)})
    if not parts:
        return None
    return lambda sock: {name: value for part in parts for name, value in part(sock).items()}


def _extended(sock: Socket) -> dict[str, Any]:
    number = details.cgroup_id(sock.details)
    return {
        "cgroup": None if number is None else cgroup.path(number),
        "mark": details.mark(sock.details),
        "v6only": details.v6only(sock.details) if sock.version == 6 and sock.details else None,
        "interface": netns.interface(sock.ifindex),
    }


class _Exposure:
    """On which addresses of this machine another one reaches a listening socket.

    What a firewall or a router does is not looked at. Where it is not known whether an IPv6
    wildcard takes IPv4 too (procfs does not say), it is taken to.
    """

    def __init__(self) -> None:
        self._netns = 0
        self._addresses: list[InterfaceAddress] = []

    def of(self, sock: Socket) -> list[dict[str, str | None]]:
        """``addr`` and ``interface`` of each; none for a socket that does not listen."""
        listens = sock.state == "LISTEN" or (sock.proto == "udp" and sock.dst is None)
        if not listens or not sock.sport:
            return []
        if sock.netns != self._netns:
            self._netns, self._addresses = sock.netns, addresses.of_interfaces()
        return [
            {"addr": addr, "interface": interface}
            for addr, interface, ifindex in self._candidates(sock)
            if sock.ifindex in (0, ifindex)
        ]

    def _candidates(self, sock: Socket) -> list[InterfaceAddress]:
        if sock.src not in UNSPECIFIED:
            own = [entry for entry in self._addresses if entry.addr == sock.src]
            found = own or [InterfaceAddress(sock.src, None, sock.ifindex)]
        else:
            only = sock.version == 4 or details.v6only(sock.details)
            versions = {sock.version} if only else {4, 6}
            found = [entry for entry in self._addresses if entry.ip.version in versions]
        return [entry for entry in found if not entry.ip.is_loopback]
