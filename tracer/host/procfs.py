# SPDX-License-Identifier: Apache-2.0
"""Reads what /proc says of a process, if it is still the same one."""

import functools
import os
import pwd
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from tracer.model.process import ARGS_SIZE, NO_LOGINUID, File, text

T = TypeVar("T")

NS_PER_TICK: Final = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_PPID_FIELD: Final = 4 - 3  # of _fields()
_FLAGS_FIELD: Final = 9 - 3
_STARTTIME_FIELD: Final = 22 - 3
_PF_EXITING: Final = 0x4  # include/linux/sched.h


class Program(NamedTuple):
    """What a process runs; None where it is gone or cannot be read."""

    exe: str | None
    args: tuple[str, ...] | None
    args_truncated: bool = False
    file: File | None = None
    mntns: int | None = None  # inode of the mount namespace that the path holds in


class Status(NamedTuple):
    """A process that exists now. ``start_time`` is in nanoseconds of CLOCK_BOOTTIME, cut to
    clock ticks; namespaces are inodes, None where we may not read them."""

    pid: int
    start_time: int
    ppid: int
    comm: str
    uid: int
    loginuid: int
    netns: int | None
    pidns: int | None
    pidns_pid: int


NO_PROGRAM: Final = Program(None, None)


def pids() -> list[int]:
    """Returns the processes that exist now, as far as they are shown (hidepid of proc(5))."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 (quicker)


def status(pid: int) -> Status | None:
    """Reads the process that has this pid now; None if there is none."""
    folder = Path(f"/proc/{pid}")
    try:
        ppid, start_time = stat(pid)
        said = (folder / "status").read_text(errors="replace")
        comm = (folder / "comm").read_bytes()
    except OSError:  # it is gone, or hidden (hidepid of proc(5))
        return None
    return Status(
        pid,
        start_time,
        ppid,
        text(comm.removesuffix(b"\n")),
        int(said.partition("\nUid:")[2].split()[0]),
        _loginuid(folder),
        _namespace(pid, "net"),
        _namespace(pid, "pid"),
        int(said.partition("\nNSpid:")[2].partition("\n")[0].split()[-1]),
    )


def stat(pid: int) -> tuple[int, int]:
    """Returns its parent's pid and its start time, as in :class:`Status`. Raises OSError."""
    fields = _fields(f"/proc/{pid}")
    return int(fields[_PPID_FIELD]), int(fields[_STARTTIME_FIELD]) * NS_PER_TICK


def cut_to_tick(time: int) -> int:
    """Cuts a time to whole clock ticks, as /proc has it; both in nanoseconds."""
    return time // NS_PER_TICK * NS_PER_TICK


def is_alive(pid: int, start_time: int) -> bool:
    """Says whether the process that started then (ns of CLOCK_BOOTTIME) still exists."""
    try:
        return stat(pid)[1] == cut_to_tick(start_time)
    except OSError:
        return False


def read_program(pid: int, start_time: int) -> Program:
    """Reads the program of the process that started then; NO_PROGRAM if that is gone, even if
    another process has its pid by now."""
    program = Program(exe(pid), *_arguments(pid), exe_file(pid), mntns(pid))
    return program if is_alive(pid, start_time) else NO_PROGRAM


def exe(pid: int) -> str | None:
    """Returns its executable's path; None if gone, or another user's without CAP_SYS_PTRACE."""
    return of_living(pid, lambda folder: printable(os.fsencode(os.readlink(f"{folder}/exe"))))


def exe_file(pid: int) -> File | None:
    """Returns its executable's file; None as for :func:`exe`."""
    return of_living(pid, lambda folder: file_at(f"{folder}/exe"))


def mntns(pid: int) -> int | None:
    """Returns the inode of its mount namespace; None as for :func:`exe`."""
    return _namespace(pid, "mnt")


def comm(pid: int) -> str | None:
    """Returns its name; None if it is gone."""
    try:
        return text(Path(f"/proc/{pid}/comm").read_bytes().removesuffix(b"\n"))
    except OSError:
        return None


def file_at(path: str) -> File:
    """Returns the file that a path leads to. Raises OSError."""
    found = os.stat(path)  # noqa: PTH116 (speed)
    return File(os.major(found.st_dev), os.minor(found.st_dev), found.st_ino)


def folders(pid: int) -> Iterator[str]:
    """Yields where /proc has a process: by its first thread, then by the others. Once the first has
    ended (pthread_exit(3) in main), only the others have program, descriptors and namespaces."""
    yield f"/proc/{pid}"
    yield from (f"/proc/{pid}/task/{tid}" for tid in threads(pid) if tid != pid)


def threads(pid: int) -> list[int]:
    """Returns the ids of its threads; none if it is gone."""
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]  # noqa: PTH208 (speed)
    except OSError:
        return []


def of_living(pid: int, read: Callable[[str], T | None]) -> T | None:
    """Returns what ``read`` finds in the folder of the first thread that still has it. None if none
    has, or if we may not read it."""
    for folder in folders(pid):
        try:
            found = read(folder)
        except PermissionError:
            return None
        except OSError:  # this thread has ended, or it is the kernel's
            continue
        if found is not None:
            return found
    return None


def has_ended(pid: int) -> bool:
    """Says whether none of its threads goes on: it is gone, a zombie, or on its way there."""
    return all(map(_is_exiting, (f"/proc/{pid}/task/{tid}" for tid in threads(pid))))


def printable(raw: bytes) -> str:
    """Decodes a path or an argument, with escapes for bytes that are not UTF-8."""
    return raw.decode(errors="backslashreplace")


def split_arguments(raw: bytes) -> tuple[str, ...]:
    """Splits arguments as a process has them in memory, each with its NUL."""
    return tuple(map(printable, raw.removesuffix(b"\0").split(b"\0"))) if raw else ()


def cgroups(pid: int) -> dict[str, str]:
    """Maps the controllers of each hierarchy (empty for v2) to its path; empty if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_bytes().split(b"\n")[:-1]
    except OSError:
        return {}
    parts = (printable(line).split(":", 2) for line in lines)
    return {controllers: path for _, controllers, path in parts}


def _arguments(pid: int) -> tuple[tuple[str, ...] | None, bool]:
    """Returns the first ARGS_SIZE bytes of arguments, and whether there are more. None also if
    they are empty: the process has ended, or is in the middle of an exec (proc(5))."""
    raw = of_living(pid, _command_line)
    if not raw:
        return None, False
    return split_arguments(raw[:ARGS_SIZE]), len(raw) > ARGS_SIZE


def _command_line(folder: str) -> bytes | None:
    with open(f"{folder}/cmdline", "rb") as file:
        return file.read(ARGS_SIZE + 1) or None


def _is_exiting(folder: str) -> bool:
    """Says whether a thread has begun to end: the kernel marks it before any hook sees it
    (exit_signals() in do_exit(), kernel/exit.c)."""
    try:
        return bool(int(_fields(folder)[_FLAGS_FIELD]) & _PF_EXITING)
    except OSError:  # it is gone
        return True


def _fields(folder: str) -> list[bytes]:
    """Returns the fields of proc(5)'s stat from the state, field 3, on. The name before them may
    hold anything, so they are found by its last bracket. Raises OSError."""
    line = Path(f"{folder}/stat").read_bytes()
    return line[line.rindex(b")") + 2 :].split()


def _loginuid(folder: Path) -> int:
    try:
        return int((folder / "loginuid").read_text())
    except OSError:  # a kernel without CONFIG_AUDIT
        return NO_LOGINUID


def _namespace(pid: int, kind: str) -> int | None:
    return of_living(pid, lambda folder: os.stat(f"{folder}/ns/{kind}").st_ino)  # noqa: PTH116


@functools.lru_cache(maxsize=1024)
def user_name(uid: int) -> str | None:
    """Looks an id up in the user database; None if it has no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None
