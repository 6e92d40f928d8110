# SPDX-License-Identifier: Apache-2.0
"""Says whether one filter lets pass all that another asks for: whether a trace's log can answer a
question. It may say no where yes is true, never the other way round."""

from collections.abc import Collection, Iterator, Mapping
from ipaddress import ip_network
from typing import Any, Final, TypeVar

from tracer.filter import zones
from tracer.filter.contradictions import is_inside
from tracer.filter.filters import Filters
from tracer.model.address import Network
from tracer.model.process import text

T = TypeVar("T")

_NETWORKS: Final = ("dst", "not_dst", "src")
_PORTS: Final = ("dport", "sport", "port")
_FLAGS: Final = ("failed", "accept", "follow", "summary", "forward")
_NUMBERS: Final = ("pid", "uid", "netns", "version")
_SETS: Final = ("pid", "uid", "netns", "proto", "exe", "unit")
_OTHERS: Final = ("comm", "cgroup", "container")
KNOWN: Final = frozenset((*_NETWORKS, *_PORTS, *_FLAGS, *_NUMBERS, *_SETS, *_OTHERS))
_NO_NETNS: Final = 0  # no namespace's inode


def of_description(parts: Mapping[str, Any]) -> Filters:
    """Returns the filter that :meth:`Filters.describe` has described; ``netns`` may be empty: none
    is left. Raises ValueError or TypeError for what it does not write."""
    return Filters(**{name: _value(name, value) for name, value in parts.items()})


def _value(name: str, value: Any) -> Any:
    if name not in KNOWN:
        raise ValueError("a part that this version does not know")
    if name in _FLAGS:
        return _checked(value, bool)
    values = _checked(value, list)
    if name in _NUMBERS:
        return frozenset(_checked(one, int) for one in values) or frozenset({_NO_NETNS})
    words = [_checked(one, str) for one in values]
    if name in _NETWORKS:
        return tuple(map(ip_network, words))
    if name in _PORTS:
        return frozenset(port for word in words for port in _range(word))
    return frozenset(word.encode() for word in words) if name == "comm" else frozenset(words)


def _checked(value: Any, kind: type[T]) -> T:
    if type(value) is not kind:
        raise TypeError(f"not a {kind.__name__}")
    return value


def _range(word: str) -> range:
    first, _, last = word.partition("-")
    found = range(int(first), int(last or first) + 1)
    if not found or found[0] < 0 or found[-1] > 0xFFFF:
        raise ValueError("not ports")
    return found


def left_out(trace: Filters, asked: Filters) -> list[str]:
    """Names the parts of ``trace`` that may leave out what ``asked`` asks for; empty: it lets all
    of that pass. Whether connections from elsewhere are (``accept``) is not looked at."""
    names = [*_of_addresses(trace, asked)]
    names += [name for name in _PORTS if not _has_ports(name, trace, asked)]
    names += [name for name in _SETS if not _has(getattr(trace, name), getattr(asked, name))]
    return [*names, *_of_others(trace, asked)]


def _of_addresses(trace: Filters, asked: Filters) -> Iterator[str]:
    versions = _versions(asked)
    dst = [net for net in asked.dst if net.version in versions]
    src = [net for net in asked.src if net.version in versions]
    if not versions <= trace.version:
        yield "version"
    if not _are_inside(dst, trace.dst):
        yield "dst"
    if not _are_inside(src, trace.src):
        yield "src"
    if any(_takes_away(net, dst, asked) for net in trace.not_dst if net.version in versions):
        yield "not_dst"


def _of_others(trace: Filters, asked: Filters) -> Iterator[str]:
    if not _has(trace.comm, [text(comm).encode() for comm in asked.comm]):  # as it is described
        yield "comm"
    if not _all_begin(asked.cgroup, trace.cgroup, "/"):
        yield "cgroup"
    if not _all_begin(asked.container, trace.container, ""):
        yield "container"
    if trace.failed and not asked.failed:
        yield "failed"


def _versions(asked: Filters) -> set[int]:
    """Returns the IP versions of what is asked for."""
    found = set(asked.version)
    for networks in (asked.dst, asked.src):
        if networks:
            found &= {net.version for net in networks}
    return found


def _are_inside(networks: Collection[Network], whole: tuple[Network, ...]) -> bool:
    return not whole or (bool(networks) and all(is_inside(net, whole) for net in networks))


def _takes_away(excluded: Network, dst: Collection[Network], asked: Filters) -> bool:
    """Says whether an excluded network has something in it that is asked for."""
    if is_inside(excluded, asked.not_dst):
        return False
    return not dst or any(_overlap(excluded, net) for net in dst)


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and zones.without(one).overlaps(zones.without(other))


def _has_ports(name: str, trace: Filters, asked: Filters) -> bool:
    """Ports of either end are also there where those of one end are asked for."""
    whole = getattr(trace, name)
    sure = [getattr(asked, name)]
    if name == "port":
        sure += [asked.dport, asked.sport]
    return any(_has(whole, part) for part in sure)


def _has(whole: Collection[T], part: Collection[T]) -> bool:
    return not whole or (bool(part) and set(part) <= set(whole))


def _all_begin(part: Collection[str], whole: Collection[str], end: str) -> bool:
    """Says whether each begins as one of the others; followed by ``end``, or equal to it."""
    if not whole:
        return True
    begins = tuple(f"{one}{end}" for one in whole)
    return bool(part) and all(f"{one}{end}".startswith(begins) for one in part)
