# SPDX-License-Identifier: Apache-2.0
"""The process table: recent processes, as the kernel reported them when it happened. A process
from before tracing is read from /proc once, when it is first needed.

The key is (pid, start time): a recycled pid is another process.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from tracer.host import cgroup, delegation, exe_view, pid_namespace, procfs, workload
from tracer.host.procfs import NO_PROGRAM, Program, Status, cut_to_tick
from tracer.kernel.abi import (
    PROCESS_EVENT,
    FlowRecord,
    ProcessEvent,
    ProcessEventKind,
)
from tracer.model.process import NO_LOGINUID, Parent, Process, text
from tracer.model.script import script
from tracer.trace import exec_event, sighting
from tracer.trace.sighting import Sighting

GRACE: Final = 2_000_000_000  # nanoseconds that a process is remembered after its end
_MAX_PARENTS: Final = 64
# After so many descriptions in one batch the source is read, else the kernel's ring may fill.
_READ_AHEAD: Final = 128
_MAX_PROGRAMS: Final = 8  # kept of one process that called exec again and again

Key = tuple[int, int]  # pid and start time, the latter in nanoseconds of CLOCK_BOOTTIME


class _Entry:
    """A process. ``programs`` is what it ran, by the number of its exec calls, from the kernel (raw
    bytes until somebody asks). ``before`` is what it ran before these, from /proc (None: not read
    yet). ``parent_start`` is 0 if it is not known."""

    __slots__ = ("before", "comm", "parent_start", "pidns", "pidns_pid", "ppid", "programs")

    def __init__(
        self, ppid: int, parent_start: int, pidns: int | None, pidns_pid: int, comm: str
    ) -> None:
        self.ppid = ppid
        self.parent_start = parent_start
        self.pidns = pidns
        self.pidns_pid = pidns_pid
        self.comm = comm
        self.before: Program | None = None
        self.programs: dict[int, Program | bytes] = {}


class ProcessTable:
    """Learns from the kernel's process events, and describes the process of an event."""

    def __init__(self, source: Callable[[], Iterable[bytes]] = tuple) -> None:
        """``source`` returns the process events since its last call, oldest first."""
        self._source = source
        self._ahead: deque[tuple[ProcessEvent, bytes]] = deque()  # not applied yet
        self._entries: dict[Key, _Entry] = {}
        self._living: dict[int, Key] = {}
        self._dead: deque[tuple[int, Key]] = deque()
        # found out since the last process events: by sighting, and by youngest ancestor
        self._described: dict[Sighting, Process] = {}
        self._ancestors: dict[Key, tuple[Parent, ...]] = {}

    def update(self) -> None:
        """Applies the process events that the source has."""
        self._described.clear()
        self._ancestors.clear()
        self._look_ahead()
        while self._ahead:
            event, raw = self._ahead.popleft()
            if event.kind == ProcessEventKind.FORK:
                self._forked(event)
            elif event.kind == ProcessEventKind.EXEC:
                self._executed(event, raw[PROCESS_EVENT.size :])
            else:
                self._ended(event)

    def look_for_the_dead(self, time: int) -> None:
        """Finds processes whose end the kernel had no room to report; takes it to be ``time``."""
        for pid, key in list(self._living.items()):
            if not procfs.is_alive(*key):
                del self._living[pid]
                self._dead.append((time, key))

    def forget(self, before: int) -> None:
        """Drops processes that ended GRACE before that time or earlier (CLOCK_BOOTTIME, ns)."""
        while self._dead and self._dead[0][0] < before - GRACE:
            _, key = self._dead.popleft()
            self._entries.pop(key, None)

    def of(self, fields: FlowRecord) -> Process | None:
        """Returns the process that a record names; None if it names none."""
        if not fields.pid:
            return None
        seen = sighting.of_record(fields)
        known = self._described.get(seen)
        if known is None:
            if len(self._described) % _READ_AHEAD == 0:
                self._look_ahead()
            known = self._described[seen] = self._describe(seen)
        return known

    def now(self, pid: int) -> Process | None:
        """Returns the process that has this pid now, as its first thread; None if none has."""
        found = procfs.status(pid)
        if found is None:
            return None
        pid, start_time, ppid, comm, uid, loginuid, netns, *_ = found
        key = self._living.get(pid)
        if key and cut_to_tick(key[1]) == start_time:
            start_time = key[1]
        if self._entry((pid, start_time)) is None:
            self._entry_of(found, start_time)
        return self._describe(
            Sighting(
                pid=pid,
                tid=pid,
                ppid=ppid,
                initial_pid=pid if pid_namespace.shown() == pid_namespace.INITIAL else None,
                start_time=start_time,
                comm=comm,
                thread=comm,
                uid=uid,
                loginuid=loginuid,
                netns=netns,
                exec_id=None,
                cgroup_id=None,
            )
        )

    def _look_ahead(self) -> None:
        self._ahead += [
            (ProcessEvent._make(PROCESS_EVENT.unpack_from(raw)), raw) for raw in self._source()
        ]

    def _forked(self, event: ProcessEvent) -> None:
        entry = self._begin(event)
        forker = (event.forked_by, event.forked_by_start_time)
        parent = self._entry(forker) or self._from_proc(*forker)
        program = self._program(forker, parent, event.exec_id)
        if program is not NO_PROGRAM:
            entry.programs[event.exec_id] = program

    def _executed(self, event: ProcessEvent, told: bytes) -> None:
        entry = self._begin(event)
        entry.programs[event.exec_id] = told
        if len(entry.programs) > _MAX_PROGRAMS:
            del entry.programs[min(entry.programs)]
            entry.before = NO_PROGRAM

    def _begin(self, event: ProcessEvent) -> _Entry:
        """Updates and returns the entry of a process that has forked off or called exec."""
        key = (event.pid, event.start_time)
        comm = text(event.comm)
        entry = self._entry(key)
        if entry is None:
            entry = _Entry(event.ppid, event.parent_start_time, event.pidns, event.pidns_pid, comm)
            self._remember(key, entry)
        entry.ppid, entry.parent_start = event.ppid, event.parent_start_time
        entry.comm = comm
        return entry

    def _entry(self, key: Key) -> _Entry | None:
        """Returns the entry of a known process. An entry read from /proc, where times are in clock
        ticks, gets its exact key here."""
        entry = self._entries.get(key)
        earlier = self._living.get(key[0])
        if entry is None and earlier and earlier[1] == cut_to_tick(key[1]):
            entry = self._entries.pop(earlier)
            self._entries[key] = entry
            self._living[key[0]] = key
        return entry

    def _ended(self, event: ProcessEvent) -> None:
        key = (event.pid, event.start_time)
        if self._entry(key) and self._living.get(event.pid) == key:
            del self._living[event.pid]
            self._dead.append((event.time, key))

    def _remember(self, key: Key, entry: _Entry) -> None:
        earlier = self._living.get(key[0])
        if earlier:  # its end was not reported
            self._entries.pop(earlier, None)
        self._entries[key] = entry
        self._living[key[0]] = key

    def _from_proc(self, pid: int, start_time: int) -> _Entry | None:
        """Reads a process from before tracing; ``start_time`` 0: whatever process has the pid."""
        found = procfs.status(pid)
        if found is None:
            return None
        if start_time and cut_to_tick(start_time) != found.start_time:
            return None
        return self._entry_of(found, start_time or found.start_time)

    def _entry_of(self, found: Status, start_time: int) -> _Entry:
        entry = _Entry(found.ppid, 0, found.pidns, found.pidns_pid, found.comm)
        self._remember((found.pid, start_time), entry)
        return entry

    def _describe(self, seen: Sighting) -> Process:
        key = (seen.pid, seen.start_time)
        entry = self._entry(key) or self._from_proc(*key)
        program = self._program(key, entry, seen.exec_id)
        exe = program.exe and _with_deletion(program.exe, key)
        path = cgroup.of_process(seen.pid, seen.start_time, seen.cgroup_id)
        delegated = delegation.of(path) if path else None
        return Process(
            pid=sighting.pid_here(seen.pid),
            tid=sighting.pid_here(seen.tid),
            comm=seen.comm,
            thread=seen.thread,
            exe=exe,
            args=program.args,
            args_truncated=program.args_truncated,
            ppid=sighting.pid_here(seen.ppid),
            uid=seen.uid,
            user=procfs.user_name(seen.uid),
            loginuid=None if seen.loginuid == NO_LOGINUID else seen.loginuid,
            start_time=cut_to_tick(seen.start_time),
            netns=seen.netns,
            pidns=entry.pidns if entry else None,
            pidns_pid=entry.pidns_pid if entry else None,
            cgroup=path,
            units=workload.units(path, delegated) if path else (),
            container=workload.container(path, delegated) if path else None,
            parents=self._parents(seen.ppid, entry),
            initial_pid=seen.initial_pid,
            exe_file=program.file,
            exe_here=_is_here(program._replace(exe=exe)),
            mntns=program.mntns,
        )

    def _program(self, key: Key, entry: _Entry | None, exec_id: int | None) -> Program:
        """Returns what a process ran after so many exec calls; None: what it runs now."""
        if entry is None:
            return NO_PROGRAM
        programs = entry.programs
        if exec_id is None:
            exec_id = max(programs, default=0)
        if exec_id not in programs:
            return self._untold_program(key, entry, exec_id)
        program = programs[exec_id]
        if isinstance(program, bytes):
            program = exec_event.program(program)
            if program.exe is None and exec_id == max(programs):  # too long for the kernel's side
                program = program._replace(exe=self._read_program(key).exe)
            programs[exec_id] = program
        return program

    def _untold_program(self, key: Key, entry: _Entry, exec_id: int) -> Program:
        """Returns what a process from before ran, or one whose exec could not be reported."""
        if any(told < exec_id for told in entry.programs):
            return NO_PROGRAM
        if entry.before is None:
            entry.before = NO_PROGRAM if entry.programs else self._read_program(key)
        return entry.before

    def _read_program(self, key: Key) -> Program:
        """Returns the program in /proc, unless there was an exec after the last update."""
        program = procfs.read_program(*key)
        self._look_ahead()
        changed = any(
            event.kind == ProcessEventKind.EXEC
            and (event.pid, cut_to_tick(event.start_time)) == (key[0], cut_to_tick(key[1]))
            for event, _ in self._ahead
        )
        return NO_PROGRAM if changed else program

    def _parents(self, ppid: int, entry: _Entry | None) -> tuple[Parent, ...]:
        """Returns the ancestors, from the parent up to init."""
        start = entry.parent_start if entry and entry.ppid == ppid else 0
        key = (ppid, start)
        known = self._ancestors.get(key)
        if known is None:
            known = self._ancestors[key] = tuple(self._climb(ppid, start))
        return known

    def _climb(self, pid: int, start: int) -> Iterator[Parent]:
        for _ in range(_MAX_PARENTS):
            if not pid:
                return
            key = (pid, start) if start else self._living.get(pid, (pid, 0))
            entry = self._entry(key) or self._from_proc(*key)
            if entry is None:
                yield Parent(sighting.pid_here(pid), None, None)
                return
            key = key if key[1] else self._living[pid]
            program = self._program(key, entry, None)
            runs = script(program.exe, program.args)
            yield Parent(
                sighting.pid_here(pid),
                entry.comm,
                program.exe,
                _is_here(program),
                runs and runs.name,
            )
            pid, start = entry.ppid, entry.parent_start


def _is_here(program: Program) -> bool | None:
    exe = program.exe
    return exe_view.is_here(exe, program.file, program.mntns) if exe else None


def _with_deletion(exe: str, key: Key) -> str:
    """Adds what /proc adds if the file has been removed or replaced since the exec."""
    deleted = f"{exe} (deleted)"
    return deleted if procfs.exe(key[0]) == deleted and procfs.is_alive(*key) else exe
