# SPDX-License-Identifier: Apache-2.0
"""A filter as SQL: decides of a row what :mod:`tracer.filter.filters` decides of a log's line.

What a row does not tell may match or not: a condition is 0 (no), 1 (not known) or 2 (yes), of which
*and* is the least.
"""

import functools
from collections.abc import Callable, Collection, Iterable, Iterator
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from typing import Final

from tracer.errors import UsageError
from tracer.filter.filters import Filters
from tracer.model.address import Network
from tracer.model.process import text
from tracer.output.clickhouse import quoted
from tracer.report.fleet.tables import Tables
from tracer.report.times import Period

_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_NOTHING: Final = IPv6Network("::/128")  # stands for null
_REMOVED: Final = " (deleted)"
NO, UNKNOWN, YES = "0", "1", "2"
HAS_PROCESS: Final = "isNotNull(uid)"
HAS_NAT_DST: Final = "(isNotNull(nat_dst) OR isNotNull(nat_dport))"
HAS_NAT_SRC: Final = "(isNotNull(nat_src) OR isNotNull(nat_sport))"
IS_WHOLE: Final = "proto != ''"  # else the server has taken no value of the line
IS_FORWARDED: Final = "event = 'forward'"  # and `via` is a device's name


def check(filters: Filters, users: Collection[str]) -> None:
    """Raises UsageError for what a server's tables do not tell. ``users`` are as typed."""
    if filters.netns:
        raise UsageError(
            "--netns cannot be asked of a server", "leave it out, or ask the host's log"
        )
    if filters.cgroup:
        raise UsageError("--cgroup cannot be asked of a server", "ask by --unit or --container")
    if filters.zones:
        raise UsageError("zones (%) cannot be asked of a server", "give the address without it")
    named = [user for user in users if not user.isdecimal()]
    if named:
        raise UsageError(
            f"each host has numbers of its own for its users, and --uid {named[0]} is a name",
            "give a number, or see --by user",
        )


def certain(tables: Tables, filters: Filters, period: Period) -> str:
    """Returns the condition that each row fulfils or not."""
    return " AND ".join(_each_certain(tables, filters, period)) or "1"


def of_process(tables: Tables, filters: Filters) -> str:
    """Returns the condition by who sent: 0, 1 or 2."""
    return _least(_each_of_process(tables, filters))


def is_marked(tables: Tables) -> str:
    """Says whether a program's path leads to another file for the tracer."""
    return _process_is(tables, "position(more, '\"exe_here\":false') > 0")


def _each_certain(tables: Tables, filters: Filters, period: Period) -> Iterator[str]:
    yield IS_WHOLE
    yield from within(tables, period)
    if filters.failed:
        yield "outcome = 'failed'"
    if filters.proto:
        yield f"proto IN ({_list(filters.proto)})"
    yield from _addresses(tables, filters)
    yield from _ports(filters)
    if filters.version == {4}:
        yield _any((_in(tables, "dst", _MAPPED), *_no_dst(tables)))
    if filters.version == {6}:
        yield f"NOT ({_in(tables, 'dst', _MAPPED)})"


def within(tables: Tables, period: Period) -> Iterator[str]:
    """Yields the conditions by time."""
    if period.since:
        yield f"time >= {tables.time(period.since)}"
    if period.until:
        yield f"time <= {tables.time(period.until)}"


def _addresses(tables: Tables, filters: Filters) -> Iterator[str]:
    """What NAT has made of an end counts, too, else the next stop of a source route; but not of an
    address that needs a zone."""
    if filters.dst:
        far = f"{_has_no_zone('dst')} AND {_far(tables, filters.dst)}"
        yield _any((_in_any(tables, "dst", filters.dst), far))
    if filters.not_dst:
        yield f"NOT {_in_any(tables, 'dst', filters.not_dst)}"
        yield f"NOT {_far(tables, filters.not_dst)}"
    if filters.src:
        nat = _in_any(tables, "assumeNotNull(nat_src)", filters.src)
        far = f"isNotNull(nat_src) AND {_has_no_zone('src')} AND {nat}"
        yield _any((_in_any(tables, "src", filters.src), far))


def _far(tables: Tables, networks: Iterable[Network]) -> str:
    """Asks for what a destination has become."""
    networks = tuple(networks)
    nat = _in_any(tables, "assumeNotNull(nat_dst)", networks)
    hop = _in_any(tables, tables.address("visitParamExtractString(more, 'hop')"), networks)
    has_hop = "position(more, '\"hop\":') > 0"
    return _any((f"isNotNull(nat_dst) AND {nat}", f"NOT {HAS_NAT_DST} AND {has_hop} AND {hop}"))


def _has_no_zone(column: str) -> str:
    """Says whether an address is not one of a link: tracer.model.address.has_zone()."""
    return f"NOT match(toString({column}), '^(fe[89ab]|ff.[12])')"


def _no_dst(tables: Tables) -> Iterator[str]:
    yield tables.between("dst", "::", "::")


def _in_any(tables: Tables, column: str, networks: Iterable[Network]) -> str:
    return _any(_in(tables, column, net) for net in networks)


def _in(tables: Tables, column: str, net: Network) -> str:
    """Asks for a network, in which IPv4 is not IPv6, and null is no address."""
    if isinstance(net, IPv4Network):
        first = int(_MAPPED.network_address) + int(net.network_address)
        whole = IPv6Network((first, 96 + net.prefixlen))
        return _between(tables, column, whole)
    found = [_between(tables, column, net)]
    found += [
        f"NOT ({_between(tables, column, other)})"
        for other in (_MAPPED, _NOTHING)
        if net != _MAPPED and net.overlaps(other)
    ]
    return " AND ".join(found)


def _between(tables: Tables, column: str, net: IPv6Network) -> str:
    ends = (net.network_address, net.broadcast_address)
    return tables.between(column, *(str(IPv6Address(int(end))) for end in ends))


def _ports(filters: Filters) -> Iterator[str]:
    dst = [("dport", "1"), ("nat_dport", HAS_NAT_DST)]
    src = [("sport", "1"), ("nat_sport", HAS_NAT_SRC)]
    for asked, ends in ((filters.dport, dst), (filters.sport, src), (filters.port, dst + src)):
        if asked:
            yield _any(
                f"{there} AND ({_in_ranges(f'ifNull({column}, 0)', asked)})"
                for column, there in ends
            )


def _in_ranges(number: str, asked: Iterable[int]) -> str:
    return _any(f"{number} BETWEEN {first} AND {last}" for first, last in ranges(asked))


def _each_of_process(tables: Tables, filters: Filters) -> Iterator[str]:
    if filters.pid:
        yield _known(f"ifNull(pid, 0) IN ({_numbers(filters.pid)}) AND isNotNull(pid)")
    if filters.uid:
        yield _known(f"ifNull(uid, 0) IN ({_numbers(filters.uid)})")
    if filters.comm:
        yield _known(f"comm IN ({_list(map(text, filters.comm))})")
    if filters.by_process:
        by_kernel = f"if({IS_FORWARDED}, NOT {HAS_PROCESS}, via = 'kernel')"
        parts = _least(_each_selected(tables, filters))
        yield f"multiIf({by_kernel}, {NO}, NOT {HAS_PROCESS}, {UNKNOWN}, {parts})"


def _known(condition: str) -> str:
    return f"multiIf(NOT {HAS_PROCESS}, {UNKNOWN}, {condition}, {YES}, {NO})"


def _each_selected(tables: Tables, filters: Filters) -> Iterator[str]:
    if filters.exe:
        yield _program(tables, filters)
    if filters.unit:
        inner = _any(
            f"position(concat(cgroup, '/'), {_text(f'/{name}/')}) > 0"
            for name in sorted(filters.unit)
        )
        yield (
            f"multiIf(unit IN ({_list(filters.unit)}), {YES}, "
            f"{_process_is(tables, inner)}, {UNKNOWN}, {_no_cgroup(tables)})"
        )
    if filters.container:
        begins = _any(
            f"substring(container, 1, {len(one.encode())}) = {_text(one)}"
            for one in sorted(filters.container)
        )
        yield f"multiIf(container != '', if({begins}, {YES}, {NO}), {_no_cgroup(tables)})"


def _no_cgroup(tables: Tables) -> str:
    """Decides where there is no such unit or container: is it known where the process is?"""
    is_known = f"unit != '' OR container != '' OR {_process_is(tables, 'notEmpty(cgroup)')}"
    return f"{is_known}, {NO}, {UNKNOWN}"


def _program(tables: Tables, filters: Filters) -> str:
    """Decides as :meth:`Filters.selects` does."""
    size = len(_REMOVED)
    is_removed = f"substring(exe, -{size}) = '{_REMOVED}'"
    path = f"if({is_removed}, substring(exe, 1, length(exe) - {size}), toString(exe))"
    elsewhere = f"{path} IN ({_list(filters.exe_elsewhere)})" if filters.exe_elsewhere else "0"
    return (
        f"multiIf(exe = '', {UNKNOWN}, NOT ({path} IN ({_list(filters.exe)})), {NO}, "
        f"NOT {is_marked(tables)} OR {elsewhere}, {YES}, {is_removed}, {UNKNOWN}, {NO})"
    )


def _process_is(tables: Tables, condition: str) -> str:
    """Says whether the line about a process fulfils a condition."""
    return (
        "(toString(host), toString(run), ifNull(process_id, 0)) GLOBAL IN "
        f"(SELECT toString(host), toString(run), id FROM {tables.processes} WHERE {condition})"
    )


def _least(conditions: Iterable[str]) -> str:
    found = list(conditions)
    if not found:
        return YES
    least: Callable[[str, str], str] = "least({}, {})".format
    return functools.reduce(least, found)


def _any(conditions: Iterable[str]) -> str:
    return "(" + " OR ".join(f"({one})" for one in conditions) + ")"


def _list(texts: Iterable[str]) -> str:
    return ", ".join(map(_text, sorted(texts)))


def _numbers(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))


def _text(value: str) -> str:
    """Writes a text; what is no UTF-8 in it as the log does."""
    return quoted(value.encode(errors="surrogateescape").decode(errors="backslashreplace"))


def ranges(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yields the first and the last of neighbours."""
    first = last = None
    for number in sorted(numbers):
        if first is None or last is None:
            first = number
        elif number != last + 1:
            yield first, last
            first = number
        last = number
    if first is not None and last is not None:
        yield first, last
