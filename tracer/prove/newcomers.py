# SPDX-License-Identifier: Apache-2.0
"""Opens network namespaces as soon as the kernel tells of them, or they get a name, so that they do
not end before their devices' counters are read.

A namespace may last for some milliseconds. So this is done in a process of its own, which goes
before others: in a thread, it would wait for what another one does meanwhile. It hands over what it
has opened, and ends with its parent.
"""

import contextlib
import os
import select
import signal
import socket
import struct
from collections.abc import Iterator
from typing import Final, Self

from tracer import capabilities
from tracer.capabilities import Capability
from tracer.host import netns
from tracer.kernel.newcomers import NewcomerRing

_INODE: Final = struct.Struct("=I")
_AT_ONCE: Final = 1000
_SO_SNDBUFFORCE: Final = 32
_WAITING: Final = 1 << 20  # bytes that wait for the parent; a message takes some 800
_NEEDED: Final = (Capability.CAP_SYS_PTRACE, Capability.CAP_DAC_READ_SEARCH)


class Newcomers:
    """A process that opens namespaces, from construction to the end of the block."""

    def __init__(self, map_fd: int) -> None:
        """``map_fd`` is what the kernel tells of them. Call it before privileges are dropped: it
        needs more to go before others. Raises OSError."""
        self._ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.suppress(OSError):  # without CAP_NET_ADMIN: as many as the system allows
            its.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _WAITING)
        self._pid = os.fork()
        if self._pid == 0:
            _run_child(its, map_fd)
        its.close()
        self._ours.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ours.close()  # with the descriptors in it
        os.waitpid(self._pid, 0)

    def opened(self) -> Iterator[tuple[int, int]]:
        """Yields what it has opened since the last call: inodes, and descriptors to be closed. One
        may come again and again; if there are too many, some are left for the next call."""
        for _ in range(_AT_ONCE):
            try:
                message, descriptors, *_ = socket.recv_fds(self._ours, _INODE.size, 1)
            except BlockingIOError:
                return
            if not message:  # it has ended
                return
            for descriptor in descriptors:
                yield _INODE.unpack(message)[0], descriptor


def _run_child(channel: socket.socket, map_fd: int) -> None:
    """Runs the child; never returns. It ignores Ctrl-C, which is for the parent."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        _close_all_but(channel.fileno(), map_fd)
        with contextlib.suppress(OSError):  # not permitted: it is late more often
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        capabilities.keep(_NEEDED)
        _serve(channel, map_fd)
    finally:
        os._exit(0)


def _close_all_but(*kept: int) -> None:
    """Closes what would stay attached if the parent were killed."""
    at = 3
    for descriptor in sorted(kept):
        os.closerange(at, descriptor)
        at = descriptor + 1
    os.closerange(at, os.sysconf("SC_OPEN_MAX"))


def _serve(channel: socket.socket, map_fd: int) -> None:
    """Opens what it is told of, and what gets a name, until the parent ends."""
    channel.setblocking(False)
    ring = NewcomerRing(map_fd)
    with open("/proc/self/mountinfo", "rb") as changes:
        named = netns.mounted()
        poll = select.poll()
        poll.register(channel, 0)  # POLLHUP comes unasked
        poll.register(map_fd, select.POLLIN)
        poll.register(changes, select.POLLPRI)  # mounts_poll(), fs/proc_namespace.c
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if channel.fileno() in ready:
                return
            for one in ring.read() if map_fd in ready else ():
                with contextlib.suppress(OSError):  # it has ended
                    _hand_over(channel, one.netns, netns.path_of(one.netns, one.pid))
            if changes.fileno() in ready:
                before, named = named, netns.mounted()
                for inode in named.keys() - before.keys():
                    _hand_over(channel, inode, named[inode])


def _hand_over(channel: socket.socket, inode: int, path: str) -> None:
    """Opens a namespace, unless it has ended, or too many wait for the parent."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if os.fstat(descriptor).st_ino == inode:  # else it leads elsewhere by now
                socket.send_fds(channel, [_INODE.pack(inode)], [descriptor])
        finally:
            os.close(descriptor)
