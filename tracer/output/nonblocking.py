# SPDX-License-Identifier: Apache-2.0
"""Writes that never wait, to a descriptor that other processes may share."""

import functools
import os
import select
import socket
import stat
from collections.abc import Callable
from typing import Final, NamedTuple

ATOMIC: Final = select.PIPE_BUF  # bytes that a pipe takes whole or not at all: pipe(7)
_OWN: Final = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Writer(NamedTuple):
    """``write`` returns how many bytes it wrote. It raises BlockingIOError where it would have to
    wait, and other OSErrors. ``descriptor`` can be polled."""

    descriptor: int
    write: Callable[[bytes], int]


def writer(descriptor: int) -> Writer:
    """Returns what writes to the same place. O_NONBLOCK belongs to the open file, which the shell
    or a command may share, so it is not set there: pipes and terminals are opened anew, which gives
    a flag of our own (proc(5), /proc/PID/fd). A file on a disk has no reader to wait for."""
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(mode):
        sock = socket.socket(fileno=os.dup(descriptor))
        return Writer(sock.fileno(), lambda data: sock.send(data, socket.MSG_DONTWAIT))
    if not (stat.S_ISFIFO(mode) or os.isatty(descriptor)):
        return Writer(descriptor, functools.partial(os.write, descriptor))
    try:
        own = os.open(f"/proc/self/fd/{descriptor}", _OWN)
    except OSError:  # another user's, or it can be opened once only
        return Writer(descriptor, functools.partial(_write_if_ready, descriptor))
    return Writer(own, functools.partial(os.write, own))


def _write_if_ready(descriptor: int, data: bytes) -> int:
    """Writes if there is room. Another process may take it in between: then this waits."""
    ready = select.poll()
    ready.register(descriptor, select.POLLOUT)
    if not ready.poll(0):
        raise BlockingIOError
    return os.write(descriptor, data[:ATOMIC])
