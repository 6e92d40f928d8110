# SPDX-License-Identifier: Apache-2.0
"""Says which values of a filter name nothing that exists now: it may come, or be misspelt."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tracer.filter import parse
from tracer.filter.filters import Filters
from tracer.host import cgroup, delegation, procfs, workload
from tracer.model.process import Process


def messages(filters: Filters) -> Iterator[str]:
    """Yields a line for each such value; none for one of which that is not known."""
    for pid in sorted(filters.pid):
        yield from _of_pid(pid)
    processes = list(_processes()) if filters.by_process else []
    for path in sorted(filters.exe):
        of_path = Filters(exe=frozenset({path}))
        if parse.is_missing(path) and not any(map(of_path.selects, processes)):
            yield f"--exe {path}: there is no such file now"
    for option, value, of_value in _by_cgroup(filters):
        if all(of_value.selects(process) is False for process in processes):
            yield f"--{option} {value}: no process is in such a {option} now"


def _by_cgroup(filters: Filters) -> Iterator[tuple[str, str, Filters]]:
    """Yields each value that asks for a cgroup: its option, itself, and a filter for it alone."""
    for unit in sorted(filters.unit):
        yield "unit", unit, Filters(unit=frozenset({unit}))
    for container in sorted(filters.container):
        yield "container", container, Filters(container=frozenset({container}))
    for path in sorted(filters.cgroup):
        yield "cgroup", path or "/", Filters(cgroup=frozenset({path}))


def _of_pid(pid: int) -> Iterator[str]:
    """A thread's id has a folder in /proc, too, which no listing shows: proc(5)."""
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
    except OSError:
        status = b""
    if not status or procfs.has_ended(pid):
        yield f"--pid {pid}: there is no such process now"
        return
    leader = int(status.partition(b"\nTgid:")[2].split()[0])
    if leader != pid:
        name = procfs.comm(leader) or "?"
        yield f"--pid {pid}: that is a thread of process {leader} ({name}): give --pid {leader}"


def _processes() -> Iterator[Process]:
    """Yields the processes that exist now, with what a filter asks for of their program and
    cgroup."""
    for pid in procfs.pids():
        with contextlib.suppress(OSError):  # it has ended
            ppid, start_time = procfs.stat(pid)
            yield _process(pid, ppid, start_time)


def _process(pid: int, ppid: int, start_time: int) -> Process:
    path = cgroup.of_process(pid, start_time, None)
    delegated = delegation.of(path) if path else None
    return Process(
        pid=pid,
        tid=pid,
        comm="",
        thread="",
        exe=procfs.exe(pid),
        args=None,
        ppid=ppid,
        uid=0,
        user=None,
        start_time=start_time,
        cgroup=path,
        units=workload.units(path, delegated) if path else (),
        container=workload.container(path, delegated) if path else None,
    )
