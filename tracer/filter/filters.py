# SPDX-License-Identifier: Apache-2.0
"""Filters: parsed once from what the user typed, then both a decision in Python and
the entries of the kernel's filter maps, which decide the same."""

import functools
import os
import pwd
import re
import shutil
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Final, NamedTuple

from tracer.errors import UsageError
from tracer.model.event import IPV4_MAPPED, Address, Flow, Process, outcome, text
from tracer.model.record import COMM_LEN, EventKind, FilterPart, Via

Network = IPv4Network | IPv6Network

PRESENT: Final = struct.pack("=I", 1)
PID_MAX: Final = 1 << 22  # PID_MAX_LIMIT, include/linux/threads.h; inodes of namespaces are larger
NAMED_NETNS: Final = Path("/run/netns")
_PORTS: Final = 65_536


class Filters(NamedTuple):
    """What the user asked to see. An empty part lets everything pass; parts are joined
    by *and*, the values of one part by *or*, and an excluded address never passes."""

    dst: tuple[Network, ...] = ()
    not_dst: tuple[Network, ...] = ()
    src: tuple[Network, ...] = ()
    dport: frozenset[int] = frozenset()
    sport: frozenset[int] = frozenset()
    pid: frozenset[int] = frozenset()
    comm: frozenset[bytes] = frozenset()  # at most 15 bytes each
    uid: frozenset[int] = frozenset()
    netns: frozenset[int] = frozenset()
    version: frozenset[int] = frozenset({4, 6})
    proto: frozenset[str] = frozenset({"udp", "tcp"})
    failed: bool = False
    accept: bool = False
    follow: bool = False  # the descendants of ``pid``, too
    summary: bool = False  # leaves nothing out: events are only counted, by flow
    # These are decided here only: by what is known of a process, once for each flow.
    exe: frozenset[str] = frozenset()
    cgroup: frozenset[str] = frozenset()
    container: frozenset[str] = frozenset()  # the beginnings of ids
    unit: frozenset[str] = frozenset()

    def matches(self, flow: Flow, error: int = 0) -> bool:
        """What the kernel decides from the same entries (bpf/sockwatch.bpf.c). ``error`` is
        an errno, 0 or ERROR_NOT_OBSERVED."""
        if self.failed and outcome(flow.kind, error) != "failed":
            return False
        if flow.kind is EventKind.ACCEPT and not self.accept:
            return False
        return self.may_match(flow) and bool(self.selects_flow(flow))

    def may_match(self, flow: Flow) -> bool:
        """Is there nothing known that speaks against it?"""
        return (
            self._addresses_match(flow)
            and self._process_matches(flow)
            and self.selects_flow(flow) is not False
        )

    @property
    def by_cgroup(self) -> bool:
        """Is there anything that a process's cgroup decides?"""
        return bool(self.cgroup or self.container or self.unit)

    @property
    def by_process(self) -> bool:
        """Is there anything that only :meth:`selects` decides?"""
        return bool(self.exe) or self.by_cgroup

    def selects_flow(self, flow: Flow) -> bool | None:
        """By its process; None where that is not known."""
        if flow.via is Via.KERNEL:
            return not self.by_process
        return self.selects(flow.process)

    def selects(self, process: Process | None) -> bool | None:
        """By program, cgroup, container and unit; None where that is not known of it."""
        if not self.by_process:
            return True
        if process is None:
            return None
        parts: Iterable[tuple[frozenset[str], str | None, Callable[[str], bool]]] = (
            (self.exe, process.exe, lambda exe: exe.removesuffix(" (deleted)") in self.exe),
            (self.cgroup, process.cgroup, lambda path: _is_below(path, self.cgroup)),
            (self.container, process.cgroup, lambda _: _has_id(process, self.container)),
            (self.unit, process.cgroup, lambda _: not self.unit.isdisjoint(process.units)),
        )
        verdicts = [known and passes(known) for wanted, known, passes in parts if wanted]
        return False if False in verdicts else None if None in verdicts else True

    def passes_dst(self, addr: Address | None) -> bool:
        """By ``dst`` and ``not_dst``."""
        return (not self.dst or _in_any(addr, self.dst)) and not _in_any(addr, self.not_dst)

    def passes_src(self, addr: Address | None) -> bool:
        """By ``src``."""
        return not self.src or _in_any(addr, self.src)

    def _addresses_match(self, flow: Flow) -> bool:
        return (
            self.passes_dst(flow.dst.addr)
            and self.passes_src(flow.src.addr)
            and (not self.dport or (flow.dst.port or 0) in self.dport)
            and (not self.sport or (flow.src.port or 0) in self.sport)
            and (flow.dst.addr is None or flow.dst.addr.version in self.version)
            and flow.proto.removesuffix("lite") in self.proto
        )

    def _process_matches(self, flow: Flow) -> bool:
        process = flow.process
        if self.netns and flow.netns not in self.netns:
            return False
        if process is None:
            return not (self.pid or self.comm or self.uid)
        return (
            (not self.pid or process.pid in self.pid)
            and (not self.uid or process.uid in self.uid)
            and (not self.comm or process.comm in map(text, self.comm))
        )

    def map_entries(self) -> dict[str, list[tuple[bytes, bytes]]]:
        """Map name to (key, value) pairs, as bpf/sockwatch.bpf.c reads them."""
        return {
            "filter_parts": [(bytes(4), struct.pack("=I", self._parts()))],
            "dst_prefixes": list(_prefix_entries(self.dst, self.not_dst)),
            "src_prefixes": list(_prefix_entries(self.src, ())),
            "dports": list(_port_entries(self.dport)),
            "sports": list(_port_entries(self.sport)),
            "pids": [(struct.pack("=I", pid), PRESENT) for pid in self.pid],
            "uids": [(struct.pack("=I", uid), PRESENT) for uid in self.uid],
            "netnses": [(struct.pack("=I", inode), PRESENT) for inode in self.netns],
            "comms": [(_comm_key(comm), PRESENT) for comm in self.comm],
        }

    def describe(self) -> dict[str, Any]:
        """The parts in use, for people and the log's first line."""
        return {
            name: _plain(name, getattr(self, name))
            for name in self._fields
            if getattr(self, name) != getattr(NO_FILTERS, name)
        }

    def _parts(self) -> FilterPart:
        in_use = {
            FilterPart.DST: self.dst or self.not_dst,
            FilterPart.SRC: self.src,
            FilterPart.DPORT: self.dport,
            FilterPart.SPORT: self.sport,
            FilterPart.PID: self.pid,
            FilterPart.UID: self.uid,
            FilterPart.COMM: self.comm,
            FilterPart.NETNS: self.netns,
            FilterPart.NO_IPV4: 4 not in self.version,
            FilterPart.NO_IPV6: 6 not in self.version,
            FilterPart.NO_UDP: "udp" not in self.proto,
            FilterPart.NO_TCP: "tcp" not in self.proto,
            FilterPart.FAILED: self.failed,
            FilterPart.ACCEPT: self.accept,
            FilterPart.FOLLOW: self.follow,
            FilterPart.SUMMARY: self.summary,
        }
        parts = FilterPart(0)
        for part, used in in_use.items():
            if used:
                parts |= part
        return parts


NO_FILTERS: Final = Filters()


def _is_below(path: str, cgroups: Iterable[str]) -> bool:
    return any(f"{path}/".startswith(f"{cgroup}/") for cgroup in cgroups)


def _has_id(process: Process, beginnings: Iterable[str]) -> bool:
    return process.container is not None and process.container.id.startswith(tuple(beginnings))


def _in_any(addr: Address | None, networks: Iterable[Network]) -> bool:
    return addr is not None and any(addr in network for network in networks)


def _prefix_entries(
    included: tuple[Network, ...], excluded: tuple[Network, ...]
) -> Iterator[tuple[bytes, bytes]]:
    """An entry for each prefix with the verdict for what lies directly below it.

    The trie answers with the longest prefix only, so a verdict already takes account of
    all the shorter ones: each family is walked in order, with a stack of what encloses.
    """
    for family in (IPv4Network("0.0.0.0/0"), IPv6Network("::/0")):
        asked = {net for net in (*included, *excluded) if net.version == family.version}
        includes, excludes = set(included), set(excluded)
        enclosing: list[tuple[Network, bool, bool]] = []
        for net in sorted({*asked, family}, key=lambda net: (net.network_address, net.prefixlen)):
            while enclosing and not _encloses(enclosing[-1][0], net):
                enclosing.pop()
            above = enclosing[-1][1:] if enclosing else (not included, False)
            wanted, refused = above[0] or net in includes, above[1] or net in excludes
            enclosing.append((net, wanted, refused))
            yield _prefix_key(net), struct.pack("=I", wanted and not refused)


def _encloses(outer: Network, inner: Network) -> bool:
    return inner.subnet_of(outer)  # type: ignore[arg-type]  # both are of one family


def _prefix_key(net: Network) -> bytes:
    """``struct prefix``: its length in bits of the 16-byte form."""
    raw = net.network_address.packed
    mapped = IPV4_MAPPED + raw if net.version == 4 else raw
    length = net.prefixlen + 96 if net.version == 4 else net.prefixlen
    return struct.pack("=I16s", length, mapped)


def _port_entries(ports: frozenset[int]) -> Iterator[tuple[bytes, bytes]]:
    """A 1024-word bitmap, the words that are not zero."""
    words: dict[int, int] = {}
    for port in ports:
        words[port // 64] = words.get(port // 64, 0) | 1 << port % 64
    for index, word in words.items():
        yield struct.pack("=I", index), struct.pack("=Q", word)


def _comm_key(comm: bytes) -> bytes:
    return struct.pack(f"={COMM_LEN}s", comm)


def _plain(name: str, value: Any) -> Any:
    """As JSON can hold it, in a stable order."""
    if isinstance(value, bool):
        return value
    if name in ("dport", "sport"):
        return list(_ranges(value))
    if name == "comm":
        return sorted(map(text, value))
    return sorted(value) if isinstance(value, frozenset) else [_bare(net) for net in value]


def _bare(net: Network) -> str:
    """A host without its prefix length."""
    return str(net.network_address if net.prefixlen == net.max_prefixlen else net)


def _ranges(numbers: Iterable[int]) -> Iterator[str]:
    """Runs of neighbours, as ``8000-8100``."""
    start = last = None
    for number in sorted(numbers):
        if last is not None and number != last + 1:
            yield _range(start, last)
            start = number
        start, last = number if start is None else start, number
    if last is not None:
        yield _range(start, last)


def _range(first: int | None, last: int) -> str:
    return f"{last}" if first == last else f"{first}-{last}"


def parse_networks(value: str) -> tuple[Network, ...]:
    """An address, a CIDR or a host name (all its addresses). Raises UsageError."""
    try:
        return (_unmapped(ip_network(value, strict=False)),)
    except ValueError:
        pass
    if "/" in value or not value:
        raise UsageError(f"'{value}' is not an address", "give an address, a CIDR or a host name")
    try:
        found = socket.getaddrinfo(value, None, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not a valid name"
        raise UsageError(
            f"'{value}' cannot be resolved ({reason})", "give an address, a CIDR or a host name"
        ) from None
    addresses = dict.fromkeys(str(sockaddr[0]).partition("%")[0] for *_, sockaddr in found)
    return tuple(_unmapped(ip_network(addr)) for addr in addresses)


def _unmapped(net: Network) -> Network:
    """IPv4-mapped IPv6 prefixes are IPv4."""
    if net.version == 6 and net.prefixlen >= 96 and net.network_address.packed[:12] == IPV4_MAPPED:
        return IPv4Network((net.network_address.packed[12:], net.prefixlen - 96))
    return net


def parse_ports(value: str) -> frozenset[int]:
    """A list of ports and ranges, as ``53,8000-8100``. Raises UsageError."""
    ports: set[int] = set()
    for part in value.split(","):
        first, dash, last = part.strip().partition("-")
        low, high = _number(first), _number(last if dash else first)
        if low is None or high is None or not low <= high < _PORTS:
            raise _bad_port(part)
        ports.update(range(low, high + 1))
    return frozenset(ports)


def _number(value: str) -> int | None:
    return int(value) if re.fullmatch("[0-9]{1,10}", value) else None


def _bad_port(part: str) -> UsageError:
    return UsageError(f"'{part}' is not a port", "give ports from 0 to 65535 as 53,8000-8100")


def parse_user(value: str) -> int:
    """A user id from a name or a number. Raises UsageError."""
    number = _number(value)
    if number is not None and number < 1 << 32:
        return number
    try:
        return pwd.getpwnam(value).pw_uid
    except (KeyError, ValueError):
        raise UsageError(f"there is no user '{value}'", "give a name or a number") from None


def parse_comm(value: str) -> bytes:
    """A process name as the kernel keeps it: its first 15 bytes."""
    return os.fsencode(value)[: COMM_LEN - 1]


def parse_exe(value: str) -> str:
    """A program's path as the kernel has it, without symbolic links; a bare name is looked for in
    PATH. Raises UsageError."""
    path = value if "/" in value else shutil.which(value)
    if path is None:
        raise UsageError(f"there is no program '{value}' in PATH", "give its path")
    return os.path.realpath(path)


def parse_cgroup(value: str) -> str:
    """A cgroup's path, as /proc/PID/cgroup has it or below /sys/fs/cgroup."""
    path = re.sub(r"^/sys/fs/cgroup(/unified|/systemd)?(?=/|$)", "", value.rstrip("/"))
    return path if path.startswith("/") or not path else f"/{path}"


def parse_container(value: str) -> str:
    """A container's id or its beginning. Raises UsageError."""
    if not re.fullmatch(r"[0-9a-f]{4,64}", value):
        raise UsageError(f"'{value}' is not a container's id", "give 4 to 64 of its hex digits")
    return value


def parse_unit(value: str) -> str:
    """A systemd unit's name; ``.service`` may be left out."""
    return value if "." in value else f"{value}.service"


def parse_netns(value: str) -> int:
    """The inode of a network namespace given as a name (``ip netns``), a path, a pid or
    the inode itself. Raises UsageError."""
    number = _number(value)
    if number is not None and PID_MAX < number < 1 << 32:
        return number
    candidates = [Path(value) if "/" in value else NAMED_NETNS / value]
    if number is not None:
        candidates.append(Path(f"/proc/{number}/ns/net"))
    for path in candidates:
        inode = netns_inode(path)
        if inode is not None:
            return inode
    raise UsageError(
        f"there is no network namespace '{value}'",
        "give a name from 'ip netns', a path, a pid or an inode number",
    )


def netns_inode(path: str | Path) -> int | None:
    """Of the network namespace that it leads to; None if there is none, or none that we may see:
    a name in /run/netns may be a plain file, where the mount upon it is not ours to see."""
    try:
        found = os.stat(path)  # noqa: PTH116 (a thousand of them)
    except OSError:
        return None
    return found.st_ino if found.st_dev == _nsfs() else None


@functools.cache
def _nsfs() -> int:
    return Path("/proc/self/ns/net").stat().st_dev
