# SPDX-License-Identifier: Apache-2.0
"""The attached hooks as one object: the probe, the ring of events, the counters."""

import contextlib
import errno
import functools
import os
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tracer import capabilities
from tracer.capabilities import Capability
from tracer.errors import ProbeError, UsageError
from tracer.filter import maps
from tracer.filter.filters import Filters
from tracer.filter.maps import PRESENT
from tracer.kernel import abi, loader, syscall
from tracer.kernel.abi import Aggregate, RingEntry
from tracer.kernel.loader import MapEntries
from tracer.kernel.newcomers import LeftOut
from tracer.kernel.overflow import Overflow, take, wait_for_programs
from tracer.kernel.probes import CONSUMED, Hook, HookKind, Probe
from tracer.kernel.ring import RecordRing, Ring
from tracer.kernel.sent import SentMap
from tracer.kernel.udp_calls import CallMap
from tracer.kernel.unfinished import OVERDUE, SIZES, Unfinished
from tracer.model.fields import LOSSES
from tracer.model.protocols import ReceivedOf

_RECEIVED_EVERY: Final = 0.5  # seconds
FILTER_ENTRIES: Final = 65_536  # the most that each part of the filter can hold

# CAP_SYS_ADMIN implies them: bpf_capable() and perfmon_capable(), include/linux/capability.h
_NEEDED: Final = (Capability.CAP_BPF, Capability.CAP_PERFMON, Capability.CAP_NET_ADMIN)


class Session:
    """Hooks in the kernel, attached from construction to :meth:`detach`; a source of events."""

    def __init__(self, attached: loader.Attached) -> None:
        self._attached = attached
        self.probe = attached.probe
        self.refused = attached.refused
        self._ring = Ring(attached.maps["events"])
        self._processes = RecordRing(attached.maps["processes"])
        self._overflow = Overflow(attached.maps, "overflow")
        counts_received = "received_0" in attached.maps
        self._arrived = Overflow(attached.maps, "received") if counts_received else None
        self._aggregated = self._received = 0
        self._took = 0.0
        self._unfinished = [
            Unfinished(attached.maps[name], size)
            for name, size in SIZES.items()
            if name in attached.maps
        ]

    def read(self, limit: int) -> list[RingEntry]:
        """Returns the oldest events of the ring, up to ``limit``."""
        return self._ring.read(limit)

    def release(self, count: int) -> None:
        """Gives the room of the oldest ``count`` events back to the kernel."""
        self._ring.release(count)

    def unfinished(self, limit: int) -> list[RingEntry]:
        """Returns up to ``limit`` matching events that began and were never seen to end."""
        entries: list[RingEntry] = []
        for some in self._unfinished:
            entries += some.take(limit - len(entries))
        return entries

    @property
    def delay(self) -> int:
        """How late an event may come, in nanoseconds: it may be one whose end is missed. What is
        under way is looked for every second, while a process is remembered in any case."""
        return OVERDUE if any(some.waits for some in self._unfinished) else 0

    def aggregated(self) -> list[tuple[bytes, Aggregate]]:
        """Returns what the ring had no room for since the last call, and what was received, by
        flow."""
        counters = self.counters()
        due = []
        if self._arrived and self._received_is_due(counters.received):
            due.append(self._arrived)  # first: what was sent before it came is taken, too
            self._received, self._took = counters.received, time.monotonic()
        if counters.aggregated != self._aggregated:
            due.append(self._overflow)
            self._aggregated = counters.aggregated
        return take(due)

    def _received_is_due(self, received: int) -> bool:
        """What is received is not taken more often than needed: to take waits for all programs."""
        rested = not self._attached.links or time.monotonic() >= self._took + _RECEIVED_EVERY
        return received != self._received and rested

    def processes(self) -> list[bytes]:
        """Returns what processes did since the last call (``struct process_event``,
        ``exec_event``). What they did before an event that was already read is never missing."""
        return self._processes.read()

    def follow(self, pid: int) -> None:
        """Adds a process, and what it forks from now on, to the filter of pids. Raises
        UsageError."""
        try:
            syscall.map_update(self._attached.maps["pids"], struct.pack("=I", pid), PRESENT)
        except OSError as error:
            if error.errno != errno.E2BIG:
                raise
            raise _too_many("pids") from None

    def follows_all(self, filters: Filters) -> None:
        """Tells the hooks that all descendants that were there at the start have been added."""
        entry = maps.parts(filters, adopt=False)
        syscall.map_update(self._attached.maps["filter_parts"], *entry)

    def pids(self) -> frozenset[int]:
        """Returns the processes in the filter of pids: of those that were asked for, and of the
        descendants that the hooks have added, the ones that have not ended."""
        keys = syscall.map_keys(self._attached.maps["pids"], 4)
        return frozenset(int.from_bytes(key, sys.byteorder) for key in keys)

    def forget_pid(self, pid: int) -> None:
        """Removes a process from the filter of pids, if its end has not done so already."""
        with contextlib.suppress(FileNotFoundError):
            syscall.map_delete(self._attached.maps["pids"], struct.pack("=I", pid))

    def add_netns(self, inode: int) -> None:
        """Adds a network namespace to the filter."""
        syscall.map_update(self._attached.maps["netnses"], struct.pack("=I", inode), PRESENT)

    def remove_netns(self, inode: int) -> None:
        """Removes a network namespace from the filter."""
        with contextlib.suppress(FileNotFoundError):
            syscall.map_delete(self._attached.maps["netnses"], struct.pack("=I", inode))

    def expect_end(self, cookie: int) -> None:
        """Has the end of a TCP connection from before reported, by its socket's cookie. Beyond
        65,536 of them, it is not."""
        with contextlib.suppress(OSError):
            syscall.map_update(self._attached.maps["listed"], struct.pack("=Q", cookie), PRESENT)

    @property
    def received_of(self) -> ReceivedOf:
        """Of which sockets the hooks count what they receive."""
        functions = {hook.function for hook in self.probe.hooks}
        if "ingress" in functions:
            return ReceivedOf.ALL
        return ReceivedOf.NONE if functions.isdisjoint(CONSUMED) else ReceivedOf.UDP

    def counters(self) -> abi.Counters:
        """Returns the sums over all CPUs."""
        size = abi.COUNTERS.size * _possible_cpus()
        values = syscall.map_lookup(self._attached.maps["counters"], bytes(4), size)
        per_cpu = abi.COUNTERS.iter_unpack(values)
        kernel = abi.Counters._make(map(sum, zip(*per_cpu, strict=True)))
        missed = sum(some.found for some in self._unfinished)
        untold = sum(some.untold for some in self._unfinished)
        return kernel._replace(
            matched=kernel.matched + missed, unfinished=kernel.unfinished + missed + untold
        )

    def sent(self) -> SentMap:
        """Returns what each device was handed. The probe must be one of
        :func:`tracer.kernel.probes.with_witness`. What was in a driver when the hooks were attached
        has left it."""
        wait_for_programs()  # packets are handed over within an RCU read-side critical section
        return SentMap(self._attached.maps["sent"], _possible_cpus())

    def udp_calls(self) -> CallMap | None:
        """Returns how many calls began to send by UDP in each network namespace, of the same probe;
        None if it hooks no calls."""
        calls = self._attached.maps.get("udp_calls")
        return None if calls is None else CallMap(calls, _possible_cpus())

    def newcomers(self) -> int:
        """Returns the descriptor of what tells of new network namespaces
        (:class:`tracer.kernel.newcomers.NewcomerRing`), of the same probe."""
        return self._attached.maps["newcomers"]

    def left_out(self) -> LeftOut:
        """Returns the network namespaces that are not told of."""
        return LeftOut(self._attached.maps["watched"])

    def losses(self) -> dict[str, int]:
        """Returns what was lost so far: events, packets received, processes' forks, execs and
        exits, descendants that are not followed, times that a hook was skipped, and packets whose
        headers could not be read."""
        counts = {**self.counters()._asdict(), "skipped": self.skipped()}
        return {name: counts[name] for name in LOSSES}

    def skipped(self) -> int:
        """Returns how often the kernel skipped a hook that was already running on that CPU: each
        may have been an event."""
        return sum(map(syscall.recursion_misses, self._attached.programs))

    def run_time(self) -> int:
        """Returns how long all programs have run, in nanoseconds, as far as the kernel measures
        it (:func:`tracer.kernel.syscall.statistics`)."""
        return sum(map(syscall.run_time, self._attached.programs))

    def detach(self) -> None:
        """Detaches the hooks: no event comes after this; those in the ring can still be read."""
        for link in in_order_of_end(self.probe.hooks, self._attached.links):
            os.close(link)
        self._attached.links.clear()
        wait_for_programs()
        for some in self._unfinished:
            some.none_will_end()

    def close(self) -> None:
        """Frees the ring and the maps."""
        self._ring.close()
        self._processes.close()
        self._attached.close()


def in_order_of_end(hooks: Sequence[Hook], links: Sequence[int]) -> list[int]:
    """Orders the hooks' links to be closed: those on what is received first, so that no answer is
    seen whose send is not; then kprobes at entries, so that no call is kept whose return is not."""

    def place(hook: Hook) -> int:
        is_received = hook.kind is HookKind.INGRESS or hook.function in CONSUMED
        return 0 if is_received else 1 if hook.kind is HookKind.KPROBE else 2

    pairs = sorted(zip(hooks, links, strict=True), key=lambda pair: place(pair[0]))
    return [link for _, link in pairs]


def attach(
    probes: tuple[Probe, ...], map_entries: MapEntries, ring_pages: int, pid_namespace: int | None
) -> Session:
    """Attaches the first of ``probes`` that the kernel takes. ``pid_namespace`` is that of
    :class:`tracer.kernel.loader.Request`. Raises ProbeError and UsageError."""
    for name, stored in map_entries.items():
        if len(list(stored)) > FILTER_ENTRIES:
            raise _too_many(name)
    request = loader.Request(probes, map_entries, ring_pages, FILTER_ENTRIES, pid_namespace)
    return Session(loader.load(request))


def _too_many(name: str) -> UsageError:
    return UsageError(
        f"the filter holds up to {FILTER_ENTRIES:,} {name.replace('_', ' ')}, and there are more",
        "ask for less, or for what they have in common",
    )


def check_permission() -> None:
    """Checks permission before anything else is tried. Raises ProbeError."""
    mask = capabilities.effective()
    missing = [needed.name for needed in _NEEDED if not capabilities.has(mask, needed)]
    if missing and not capabilities.has(mask, Capability.CAP_SYS_ADMIN):
        raise ProbeError(
            f"not permitted to trace ({', '.join(missing)} missing)", _how_to_be_permitted(missing)
        )
    if not capabilities.of_the_machine():
        raise ProbeError(
            "not permitted to trace (this is a user namespace, whose root is not the machine's)",
            "run it outside, or in a container that root has started",
        )


def _how_to_be_permitted(missing: list[str]) -> str:
    if os.geteuid():
        return "run it as root, for example with sudo"
    words = " ".join(f"--cap-add {name.removeprefix('CAP_')}" for name in missing)
    return f"root has not all its power here; to a container give --privileged, or {words}"


@functools.cache
def _possible_cpus() -> int:
    """Returns how many values a per-CPU map has: one per possible CPU, given as ``0-3,8``."""
    last = Path("/sys/devices/system/cpu/possible").read_text().strip()
    return int(last.replace(",", "-").split("-")[-1]) + 1
