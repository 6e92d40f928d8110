# SPDX-License-Identifier: Apache-2.0
"""Turns the filter into entries of the kernel's maps, which decide as :class:`Filters` does."""

import enum
import struct
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from tracer.filter import zones
from tracer.filter.filters import Filters
from tracer.model import protocols
from tracer.model.address import IPV4_MAPPED, Network
from tracer.model.process import COMM_LEN

PRESENT: Final = struct.pack("=I", 1)


class FilterPart(enum.IntFlag):
    """``enum filter_part``, bpf/event.h: which parts of the filter are in use."""

    DST = 1 << 0
    SRC = 1 << 1
    DPORT = 1 << 2
    SPORT = 1 << 3
    PID = 1 << 4
    UID = 1 << 5
    COMM = 1 << 6
    NETNS = 1 << 7
    NO_IPV4 = 1 << 8
    NO_IPV6 = 1 << 9
    PROTO = 1 << 10
    FAILED = 1 << 12
    ACCEPT = 1 << 13
    FOLLOW = 1 << 14
    SUMMARY = 1 << 15
    ADOPT = 1 << 16
    EITHER_PORT = 1 << 17


class Verdict(enum.IntEnum):
    """``enum verdict``, bpf/event.h: what becomes of an address below a prefix."""

    NOT_INCLUDED = 0
    INCLUDED = 1
    EXCLUDED = 2


def entries(filters: Filters) -> dict[str, list[tuple[bytes, bytes]]]:
    """Returns the (key, value) pairs of each map, as bpf/filter.bpf.c reads them."""
    return {
        "filter_parts": [parts(filters)],
        "dst_prefixes": list(_prefix_entries(filters.dst, filters.not_dst)),
        "src_prefixes": list(_prefix_entries(filters.src, ())),
        "dports": list(_bitmap(filters.dport or filters.port)),
        "sports": list(_bitmap(filters.sport or filters.port)),
        "protos": list(_bitmap(map(protocols.number, filters.proto))),
        "pids": [(struct.pack("=I", pid), PRESENT) for pid in filters.pid],
        "uids": [(struct.pack("=I", uid), PRESENT) for uid in filters.uid],
        "netnses": [(struct.pack("=I", inode), PRESENT) for inode in filters.netns],
        "comms": [(_comm_key(comm), PRESENT) for comm in filters.comm],
    }


def parts(filters: Filters, *, adopt: bool = True) -> tuple[bytes, bytes]:
    """Returns the entry that says which parts are in use. ``adopt``: not all descendants that were
    there at the start are in the map of pids yet."""
    in_use = _parts(filters) if adopt else _parts(filters) & ~FilterPart.ADOPT
    return bytes(4), struct.pack("=I", in_use)


def _parts(filters: Filters) -> FilterPart:
    in_use = {
        FilterPart.DST: filters.dst or filters.not_dst,
        FilterPart.SRC: filters.src,
        FilterPart.DPORT: filters.dport or filters.port,
        FilterPart.SPORT: filters.sport or filters.port,
        FilterPart.EITHER_PORT: filters.port,
        FilterPart.PID: filters.pid,
        FilterPart.UID: filters.uid,
        FilterPart.COMM: filters.comm,
        FilterPart.NETNS: filters.netns,
        FilterPart.NO_IPV4: 4 not in filters.version,
        FilterPart.NO_IPV6: 6 not in filters.version,
        FilterPart.PROTO: filters.proto,
        FilterPart.FAILED: filters.failed,
        FilterPart.ACCEPT: filters.accept,
        FilterPart.FOLLOW: filters.follow,
        FilterPart.SUMMARY: filters.summary,
        FilterPart.ADOPT: filters.follow,
    }
    parts = FilterPart(0)
    for part, used in in_use.items():
        if used:
            parts |= part
    return parts


def _prefix_entries(
    included: tuple[Network, ...], excluded: tuple[Network, ...]
) -> Iterator[tuple[bytes, bytes]]:
    """Yields an entry for each prefix: the verdict for what lies directly below it.

    The trie finds the longest matching prefix only, so its verdict must already include all
    shorter ones. Each family is walked in order, with a stack of the enclosing prefixes. Zones are
    left aside: an address passes if it does so in any.
    """
    included = tuple(map(zones.without, included))
    excluded = tuple(net for net in excluded if zones.of(net) is None)
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
            yield _prefix_key(net), struct.pack("=I", _verdict(wanted, refused))


def _verdict(wanted: bool, refused: bool) -> Verdict:
    if refused:
        return Verdict.EXCLUDED
    return Verdict.INCLUDED if wanted else Verdict.NOT_INCLUDED


def _encloses(outer: Network, inner: Network) -> bool:
    return inner.subnet_of(outer)  # type: ignore[arg-type]  # both are of one family


def _prefix_key(net: Network) -> bytes:
    """Returns a ``struct prefix``; its length is in bits of the 16-byte form."""
    raw = net.network_address.packed
    mapped = IPV4_MAPPED + raw if net.version == 4 else raw
    length = net.prefixlen + 96 if net.version == 4 else net.prefixlen
    return struct.pack("=I16s", length, mapped)


def _bitmap(numbers: Iterable[int]) -> Iterator[tuple[bytes, bytes]]:
    """Yields the words of 64 bits of a bitmap that are not zero."""
    words: dict[int, int] = {}
    for number in numbers:
        words[number // 64] = words.get(number // 64, 0) | 1 << number % 64
    for index, word in words.items():
        yield struct.pack("=I", index), struct.pack("=Q", word)


def _comm_key(comm: bytes) -> bytes:
    return struct.pack(f"={COMM_LEN}s", comm)
