# SPDX-License-Identifier: Apache-2.0
"""Processes."""

from typing import Final, NamedTuple

COMM_LEN: Final = 16  # TASK_COMM_LEN, include/linux/sched.h
NO_LOGINUID: Final = 0xFFFFFFFF
ARGS_SIZE: Final = 4096  # bytes of arguments that are kept


class File(NamedTuple):
    """A file by its device's numbers and its inode: the same file under all its paths."""

    major: int
    minor: int
    inode: int

    @property
    def dev(self) -> str:
        """Returns the device as /proc/PID/mountinfo has it."""
        return f"{self.major}:{self.minor}"


class Parent(NamedTuple):
    """One of a process's ancestors; None where a value is not known. ``exe_here`` as in
    :class:`Process`; ``script`` is what an interpreter runs (:mod:`tracer.model.script`)."""

    pid: int | None
    comm: str | None
    exe: str | None
    exe_here: bool | None = None
    script: str | None = None


class Container(NamedTuple):
    """A container by its full id; ``runtime`` is docker, containerd, cri-o or podman, ``pod`` a
    Kubernetes pod's uid. All that is the word of ``user``, a uid, if it is not None: a container
    without root, or anything that has been given such a name."""

    id: str
    runtime: str | None
    pod: str | None
    user: int | None = None


class Delegation(NamedTuple):
    """From where on the names in a cgroup's path are not root's choice: the index in the path,
    split at slashes, and whose choice they are (a uid; None: not known)."""

    depth: int
    uid: int | None


class Process(NamedTuple):
    """A process, identified by (pid, start time), and the thread of it that acted.

    ``start_time`` is in nanoseconds of CLOCK_BOOTTIME, cut to the clock ticks that /proc counts in.
    ``exe`` ends with `` (deleted)`` if its file has been removed or replaced. What could not be
    found out is None. ``pid``, ``tid`` and ``ppid`` are those in the tracer's pid namespace, None
    if there is none; ``initial_pid`` is the pid in the initial one. ``netns`` and ``pidns`` are
    inodes; ``pidns_pid`` is the pid inside ``pidns``. ``exe`` is a path in ``mntns``, a mount
    namespace; ``exe_here`` says whether it leads to the same file for the tracer. ``units`` are
    systemd's, outermost first.
    """

    pid: int | None
    tid: int | None
    comm: str
    thread: str
    exe: str | None
    args: tuple[str, ...] | None
    ppid: int | None
    uid: int
    user: str | None
    start_time: int
    args_truncated: bool = False
    loginuid: int | None = None
    netns: int | None = None
    pidns: int | None = None
    pidns_pid: int | None = None
    cgroup: str | None = None
    units: tuple[str, ...] = ()
    container: Container | None = None
    parents: tuple[Parent, ...] = ()
    initial_pid: int | None = None
    exe_file: File | None = None
    exe_here: bool | None = None
    mntns: int | None = None

    @property
    def shown_exe(self) -> str | None:
        """Returns ``exe``, marked where it is known to lead to another file for the tracer."""
        return f"{self.exe} (not here)" if self.exe and self.exe_here is False else self.exe

    @property
    def shown_user(self) -> str:
        """Returns the user's name, or number if it has none."""
        return self.user or str(self.uid)

    @property
    def identity(self) -> tuple[int | None, int | None, int, str]:
        """Returns what tells processes apart, and the name that this one had."""
        return self.pid, self.initial_pid, self.start_time, self.comm


class Holder(NamedTuple):
    """A process that holds a socket; None where it is gone or we may not read it. ``exe_here`` as
    in :class:`Process`."""

    pid: int
    comm: str | None
    exe: str | None
    exe_here: bool | None = None


def text(raw: bytes) -> str:
    """Decodes a name from the kernel: up to its NUL, with escapes for bytes that are not UTF-8."""
    return raw.partition(b"\0")[0].decode(errors="backslashreplace")
