# SPDX-License-Identifier: Apache-2.0
"""Asks a socket of another process what no listing tells, on a copy of its descriptor."""

import contextlib
import ctypes
import os
import socket
from collections.abc import Iterator
from typing import Final

from tracer.host.netns import descriptor_of
from tracer.host.open_files import OpenFile

_PIDFD_GETFD: Final = 438  # the same number on all machines; Linux 5.6
_PIDFD_THREAD: Final = os.O_EXCL  # include/uapi/linux/pidfd.h
_SO_DOMAIN: Final = 39  # include/uapi/asm-generic/socket.h
_SOL_PACKET: Final = 263  # include/linux/socket.h
_PACKET_QDISC_BYPASS: Final = 20  # include/uapi/linux/if_packet.h

_libc: Final = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def copied(file: OpenFile) -> Iterator[socket.socket]:
    """Copies a process's descriptor for the block; needs CAP_SYS_PTRACE (pidfd_getfd(2)). Raises
    OSError, for example if the process or its descriptor is gone; EINVAL before Linux 6.9 if the
    table of a thread of its own has it."""
    copy = descriptor(file)
    # the family is not asked for: an AF_XDP socket has no name (sock_no_getname())
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=copy) as sock:
        yield sock


def descriptor(file: OpenFile) -> int:
    """Copies a process's descriptor, of whatever kind, as :func:`copied`. The caller closes it."""
    process = os.pidfd_open(file.tid, 0 if file.tid == file.pid else _PIDFD_THREAD)
    try:
        copy = int(_libc.syscall(_PIDFD_GETFD, process, file.fd, 0))
        if copy < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
    finally:
        os.close(process)
    return copy


def family(sock: socket.socket) -> int:
    """Returns its address family, whatever Python takes it for. Raises OSError."""
    return sock.getsockopt(socket.SOL_SOCKET, _SO_DOMAIN)


def bypasses_queue(sock: socket.socket) -> bool:
    """Says whether a packet socket sends past the queue and its hooks (packet_getsockopt(),
    net/packet/af_packet.c). Raises OSError."""
    return bool(sock.getsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS))


def inode(sock: socket.socket) -> int:
    """Returns the socket's inode: whether it is still the one that was meant."""
    return os.fstat(sock.fileno()).st_ino


def netns(sock: socket.socket) -> int:
    """Returns the inode of the socket's network namespace; needs CAP_NET_ADMIN there. Raises
    OSError."""
    descriptor = descriptor_of(sock)
    try:
        return os.fstat(descriptor).st_ino
    finally:
        os.close(descriptor)


def protocol(sock: socket.socket) -> int:
    """Returns the protocol that it was made with. Raises OSError."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL)
