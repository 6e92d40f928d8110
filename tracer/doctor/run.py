# SPDX-License-Identifier: Apache-2.0
"""Sends in every way, and looks at what each probe saw of it."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from tracer.clock import boot_now
from tracer.doctor.place import Place, made
from tracer.doctor.ways import WAYS
from tracer.errors import ProbeError
from tracer.filter import maps, parse
from tracer.filter.filters import NO_FILTERS
from tracer.kernel import abi, session, syscall
from tracer.kernel.abi import FlowRecord
from tracer.kernel.probes import Probe
from tracer.kernel.session import Session

_RING_PAGES: Final = 256
_ALL: Final = 1 << 20  # more events than there are
_DATAGRAMS: Final = 5_000  # of which the cost is the mean


class Seen(NamedTuple):
    """What one probe saw. ``refused`` is why the kernel does not take it, None if it does; then
    come the ways that were seen, those of them whose process was known, those that the kernel does
    not have (and why), seconds to attach, and nanoseconds for a datagram that nobody watches (None:
    not measured)."""

    probe: str
    refused: str | None
    seen: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset()
    lacks: dict[str, str] = {}  # noqa: RUF012  never changed
    start: float | None = None
    cost: float | None = None


def examine(probes: tuple[Probe, ...]) -> list[Seen]:
    """Tries each probe in turn. Raises ProbeError if it is not permitted, SockwatchError if there
    is no place to send in."""
    session.check_permission()
    with made() as place:
        return [_try(probe, place) for probe in probes]


def _try(probe: Probe, place: Place) -> Seen:
    filters = NO_FILTERS._replace(
        dst=(*parse.networks("10.0.0.0/24"), *parse.networks("fd00::/64")),
        netns=frozenset({place.netns}),
    )
    began = boot_now()
    try:
        hooks = session.attach((probe,), maps.entries(filters), _RING_PAGES, None)
    except ProbeError as error:
        return Seen(probe.name, error.args[0])
    start = (boot_now() - began) / 1e9
    try:
        lacks = {way: reason for way, reason in place.send_all().items() if reason}
        cost = _cost(hooks, place)
        hooks.detach()
        flows = list(_flows(hooks))
    finally:
        hooks.close()
    known = _seen(flow for flow in flows if flow.pid)
    return Seen(probe.name, None, _seen(flows), known, lacks, start, cost)


def _flows(hooks: Session) -> Iterator[FlowRecord]:
    for *_, flow in (*hooks.read(_ALL), *hooks.unfinished(_ALL)):
        yield abi.unpack_flow(flow)
    for flow, _ in hooks.aggregated():
        yield abi.unpack_flow(flow)


def _seen(flows: Iterable[FlowRecord]) -> frozenset[str]:
    """Returns the names of the ways that some of the flows are of."""
    return frozenset(way.name for flow in flows for way in WAYS if way.has_sent(flow))


def _cost(hooks: Session, place: Place) -> float | None:
    """Returns what all programs together take for a datagram that they do not report."""
    try:
        with syscall.statistics():
            before = hooks.run_time()
            place.flood(_DATAGRAMS)
            return (hooks.run_time() - before) / _DATAGRAMS
    except OSError:  # before Linux 5.8
        return None
