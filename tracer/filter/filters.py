# SPDX-License-Identifier: Apache-2.0
"""Decides in Python what the user asked to see. :mod:`tracer.filter.maps` turns the same filter
into entries of the kernel's filter maps, which decide the same."""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Final, NamedTuple

from tracer.filter import zones
from tracer.model.address import Address, Network
from tracer.model.flow import Endpoint, EventKind, Flow, Nat, Via, outcome
from tracer.model.process import File, Process, text


class Filters(NamedTuple):
    """The user's filter. An empty part lets everything pass; parts are joined
    by *and*, the values of one part by *or*, and an excluded address never passes."""

    dst: tuple[Network, ...] = ()
    not_dst: tuple[Network, ...] = ()
    src: tuple[Network, ...] = ()
    dport: frozenset[int] = frozenset()
    sport: frozenset[int] = frozenset()
    port: frozenset[int] = frozenset()  # of either end; excludes the use of dport and sport
    pid: frozenset[int] = frozenset()
    comm: frozenset[bytes] = frozenset()  # at most 15 bytes each
    uid: frozenset[int] = frozenset()
    netns: frozenset[int] = frozenset()
    version: frozenset[int] = frozenset({4, 6})
    proto: frozenset[str] = frozenset()  # names (tracer.model.protocols)
    failed: bool = False
    accept: bool = False
    follow: bool = False  # also the descendants of ``pid``
    summary: bool = False  # excludes nothing: events are only counted, by flow
    forward: bool = False  # also packets that this machine hands on for others
    # These are decided in Python only, once for each flow, by what is known of its process.
    exe: frozenset[str] = frozenset()
    exe_file: frozenset[File] = frozenset()  # the same programs, whatever their path
    exe_elsewhere: frozenset[str] = frozenset()  # those of ``exe`` with no file for the tracer
    cgroup: frozenset[str] = frozenset()
    container: frozenset[str] = frozenset()  # how ids begin
    unit: frozenset[str] = frozenset()

    def matches(self, flow: Flow, error: int = 0) -> bool:
        """Says whether an event passes, as the kernel decides by the map entries
        (bpf/filter.bpf.c). ``error`` is an errno, 0 or ERROR_NOT_OBSERVED."""
        if self.failed and outcome(flow.kind, error) != "failed":
            return False
        if flow.kind is EventKind.ACCEPT and not self.accept:
            return False
        return (
            self.may_match(flow)
            and self.process_matches(flow.process)
            and bool(self.selects_flow(flow))
        )

    def may_match(self, flow: Flow) -> bool:
        """Says whether the flow may pass: nothing that is known of it excludes it. A process is
        taken to be there, even if it is not known."""
        return (
            self._addresses_match(flow)
            and (not self.netns or flow.netns in self.netns)
            and (flow.process is None or self.process_matches(flow.process))
            and self.selects_flow(flow) is not False
        )

    def with_pids(self, pids: frozenset[int]) -> "Filters":
        """Returns the filter with the processes that are left of those it asks for: if all have
        ended, none matches."""
        return self._replace(pid=pids or _NO_PID)

    @property
    def by_cgroup(self) -> bool:
        """Says whether any part in use is decided by a process's cgroup."""
        return bool(self.cgroup or self.container or self.unit)

    @property
    def of_processes(self) -> bool:
        """Says whether any part in use is decided by who sent."""
        return self.in_kernel_by_process or self.by_process

    @property
    def in_kernel_by_process(self) -> bool:
        """Says whether any part in use is decided by the kernel, by who sent."""
        return bool(self.pid or self.comm or self.uid)

    @property
    def by_process(self) -> bool:
        """Says whether any part in use is decided by :meth:`selects` only."""
        return bool(self.exe) or self.by_cgroup

    @property
    def by_source(self) -> bool:
        """Says whether any part in use is decided by a flow's own end, or network namespace."""
        return bool(self.src or self.sport or self.port or self.netns)

    @property
    def zones(self) -> list[str]:
        """Returns the zones that addresses are asked for with."""
        asked = map(zones.of, (*self.dst, *self.not_dst, *self.src))
        return sorted({zone for zone in asked if zone is not None})

    def selects_flow(self, flow: Flow) -> bool | None:
        """Decides what the kernel does not: by process and by zone; what is received, wholly by its
        process. None if what that takes is not known."""
        by_kernel = flow.via is Via.KERNEL or (flow.origin is not None and flow.process is None)
        selected = not self.by_process if by_kernel else self.selects(flow.process)
        if selected is False and flow.is_closed_by_another:
            selected = None  # its opener may be what is asked for
        zones_pass = self.selects_zones(flow.src, flow.dst, flow.oif)
        return _all(
            (selected, zones_pass, self._selects_origin(flow), self._selects_receiver(flow))
        )

    def _selects_receiver(self, flow: Flow) -> bool | None:
        """Says whether what was received is for a process and namespace that is asked for."""
        if flow.kind is not EventKind.RECEIVE:
            return True
        in_netns = not self.netns or (flow.netns in self.netns if flow.netns else None)
        known = flow.process is not None or not self.in_kernel_by_process
        return _all((in_netns, self.process_matches(flow.process) if known else None))

    def _selects_origin(self, flow: Flow) -> bool | None:
        """Leaves out a forwarded packet that has an event where it was sent; None if that is not
        known. It has none if only what NAT made of it here is asked for."""
        if flow.origin is None or not self._addresses_match(flow._replace(nat=Nat())):
            return True
        return None if flow.origin.sent_here is None else not flow.origin.sent_here

    def selects_zones(self, src: Endpoint, dst: Endpoint, oif: int | None) -> bool | None:
        """Says whether two ends that pass otherwise are in zones that are asked for; None if one of
        these is not known. ``oif`` is the number of their interface."""
        return _all(
            (
                zones.passes(dst, oif, self.dst, self.not_dst),
                zones.passes(src, oif, self.src),
            )
        )

    def selects(self, process: Process | None) -> bool | None:
        """Says whether a process is selected by program, cgroup, container and unit; None if
        these are not known."""
        if not self.by_process:
            return True
        if process is None:
            return None
        parts: Iterable[tuple[frozenset[str], str | None, Callable[[str], bool]]] = (
            (self.cgroup, process.cgroup, lambda path: _is_below(path, self.cgroup)),
            (self.container, process.cgroup, lambda _: _has_id(process, self.container)),
            (self.unit, process.cgroup, lambda _: not self.unit.isdisjoint(process.units)),
        )
        verdicts = [known and passes(known) for wanted, known, passes in parts if wanted]
        if self.exe:
            verdicts.append(self._selects_program(process))
        return _all(verdicts)

    def _selects_program(self, process: Process) -> bool | None:
        """Decides by the file, then by the path: not where that leads to another file for the
        tracer, since a user may mount any file there. None where a removed one had the path."""
        if process.exe_file in self.exe_file:
            return True
        if process.exe is None:
            return None
        path = process.exe.removesuffix(" (deleted)")
        if path not in self.exe:
            return False
        if process.exe_here is not False or path in self.exe_elsewhere:
            return True
        return False if path == process.exe else None

    def passes_dst(self, addr: Address | None, hop: Address | None = None) -> bool:
        """Says whether a remote address passes ``dst`` and ``not_dst``, zones left aside. Of a
        source route, its end or the next stop (``hop``) must be included, and none excluded; so it
        is with what NAT made of an address."""
        refused = [net for net in self.not_dst if zones.of(net) is None]
        included = not self.dst or _in_any(addr, self.dst) or _in_any(hop, self.dst)
        return included and not (_in_any(addr, refused) or _in_any(hop, refused))

    def passes_src(self, addr: Address | None) -> bool:
        """Says whether a local address passes ``src``, zones left aside."""
        return not self.src or _in_any(addr, self.src)

    def passes_proto(self, proto: str) -> bool:
        """Says whether a protocol passes."""
        return not self.proto or proto in self.proto

    @property
    def of_flows(self) -> "Filters":
        """The part that is decided once for each flow; :meth:`passes_outcome` decides the rest."""
        return self._replace(failed=False, proto=frozenset())

    def passes_outcome(self, proto: str, failed: bool) -> bool:
        """Says whether an event of a protocol passes that has failed, or has not."""
        return (failed or not self.failed) and self.passes_proto(proto)

    def passes_ports(self, dport: int | None, sport: int | None) -> bool:
        """Says whether the ports pass; None counts as 0."""
        return self._ports_pass({dport or 0}, {sport or 0})

    def _ports_pass(self, to: set[int], source: set[int]) -> bool:
        """Says the same where an end may have two."""
        return (
            (not self.dport or not self.dport.isdisjoint(to))
            and (not self.sport or not self.sport.isdisjoint(source))
            and (not self.port or not self.port.isdisjoint(to | source))
        )

    def _addresses_match(self, flow: Flow) -> bool:
        nat = flow.nat
        return (
            self.passes_dst(flow.dst.addr, nat.dst.addr if nat.dst else flow.hop)
            and (self.passes_src(flow.src.addr) or self.passes_src(nat.src and nat.src.addr))
            and self._ports_match(flow)
            and (flow.dst.addr is None or flow.dst.addr.version in self.version)
            and self.passes_proto(flow.proto)
        )

    def _ports_match(self, flow: Flow) -> bool:
        """Says whether the ports pass, each as the sender has named it or as NAT made it."""
        nat = flow.nat
        return self._ports_pass(_ports(flow.dst, nat.dst), _ports(flow.src, nat.src))

    def process_matches(self, process: Process | None) -> bool:
        """Says whether a process passes what the kernel decides by: pid, user and name."""
        if process is None:
            return not (self.pid or self.comm or self.uid)
        return (
            (not self.pid or process.pid in self.pid)
            and (not self.uid or process.uid in self.uid)
            and (not self.comm or process.comm in map(text, self.comm))
        )

    def describe(self) -> dict[str, Any]:
        """Returns the parts in use, for people and the log's first line."""
        return {
            name: _plain(name, getattr(self, name))
            for name in self._fields
            if name not in _DERIVED and getattr(self, name) != getattr(NO_FILTERS, name)
        }


_NO_PID: Final = frozenset({0})
_DERIVED: Final = ("exe_file", "exe_elsewhere")  # from ``exe``, when the filter was made
NO_FILTERS: Final = Filters()


def _all(verdicts: Collection[bool | str | None]) -> bool | None:
    return False if False in verdicts else None if None in verdicts else True


def _ports(*ends: Endpoint | None) -> set[int]:
    """Returns the ports of ends that are known; 0: of one that has none."""
    return {end.port or 0 for end in ends if end}


def _is_below(path: str, cgroups: Iterable[str]) -> bool:
    return any(f"{path}/".startswith(f"{cgroup}/") for cgroup in cgroups)


def _has_id(process: Process, beginnings: Iterable[str]) -> bool:
    return process.container is not None and process.container.id.startswith(tuple(beginnings))


def _in_any(addr: Address | None, networks: Iterable[Network]) -> bool:
    return addr is not None and any(addr in network for network in networks)


def _plain(name: str, value: Any) -> Any:
    """Converts a part's value to one that JSON can hold, in a stable order."""
    if isinstance(value, bool):
        return value
    if name in ("dport", "sport", "port"):
        return list(_ranges(value))
    if name == "comm":
        return sorted(map(text, value))
    return sorted(value) if isinstance(value, frozenset) else [_bare(net) for net in value]


def _bare(net: Network) -> str:
    """Formats a network; a single host without its prefix length."""
    return str(net.network_address if net.prefixlen == net.max_prefixlen else net)


def _ranges(numbers: Iterable[int]) -> Iterator[str]:
    """Yields runs of neighbours, as ``8000-8100``."""
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
