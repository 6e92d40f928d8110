# SPDX-License-Identifier: Apache-2.0
"""What /proc says of a process, if it is still the same one."""

import functools
import os
import pwd
from pathlib import Path
from typing import Final, NamedTuple

from tracer.event import Holder, Process, text
from tracer.record import FlowRecord

_NS_PER_TICK: Final = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_PPID_FIELD: Final = 4 - 3  # of proc(5)'s stat, counted from the state, field 3
_STARTTIME_FIELD: Final = 22 - 3


class Program(NamedTuple):
    """What a process runs; None where it was gone or could not be read."""

    exe: str | None
    args: tuple[str, ...] | None


_GONE: Final = Program(None, None)


def process(pid: int) -> Process | None:
    """Whatever process has this pid now, as its first thread; None if none has."""
    folder = Path(f"/proc/{pid}")
    try:
        ppid, start_ticks = _stat(folder)
        status = (folder / "status").read_text(errors="replace")
    except OSError:
        return None
    uid = int(status.partition("\nUid:")[2].split()[0])
    start_time = start_ticks * _NS_PER_TICK
    name = holder(pid).comm or ""
    program = read_program(pid, start_time)
    return Process(
        pid, pid, name, name, program.exe, program.args, ppid, uid, user_name(uid), start_time
    )


def process_of(fields: FlowRecord) -> Process | None:
    """The process that a record names; None if it names none."""
    if not fields.pid:
        return None
    program = read_program(fields.pid, fields.start_time)
    return Process(
        pid=fields.pid,
        tid=fields.tid,
        comm=text(fields.comm),
        thread=text(fields.thread),
        exe=program.exe,
        args=program.args,
        ppid=fields.ppid,
        uid=fields.uid,
        user=user_name(fields.uid),
        start_time=fields.start_time // _NS_PER_TICK * _NS_PER_TICK,
    )


def read_program(pid: int, start_time: int) -> Program:
    """Executable and arguments of the process that started at ``start_time`` (CLOCK_BOOTTIME,
    nanoseconds): nothing of another one that has its pid by now."""
    folder = Path(f"/proc/{pid}")
    exe, arguments = _exe(folder), _arguments(folder)
    try:
        same = _stat(folder)[1] == start_time // _NS_PER_TICK
    except OSError:
        same = False
    return Program(exe, arguments) if same else _GONE


def _exe(folder: Path) -> str | None:
    try:
        path = os.fsencode(os.readlink(folder / "exe"))
    except OSError:  # gone, or another user's and no CAP_SYS_PTRACE
        return None
    return path.decode(errors="backslashreplace")


def _arguments(folder: Path) -> tuple[str, ...] | None:
    try:
        cmdline = (folder / "cmdline").read_bytes()
    except OSError:
        return None
    arguments = cmdline.removesuffix(b"\0").split(b"\0") if cmdline else []
    return tuple(argument.decode(errors="backslashreplace") for argument in arguments)


def _stat(folder: Path) -> tuple[int, int]:
    """``ppid`` and ``starttime`` of stat, the latter in clock ticks since boot. The name before
    them may hold anything."""
    stat = (folder / "stat").read_bytes()
    fields = stat[stat.rindex(b")") + 2 :].split()
    return int(fields[_PPID_FIELD]), int(fields[_STARTTIME_FIELD])


def holder(pid: int) -> Holder:
    """Whatever process has this pid now."""
    folder = Path(f"/proc/{pid}")
    try:
        comm = text((folder / "comm").read_bytes().removesuffix(b"\n"))
    except OSError:
        comm = None
    return Holder(pid, comm, _exe(folder))


@functools.lru_cache(maxsize=1024)
def user_name(uid: int) -> str | None:
    """From the user database; None if the id has no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None
