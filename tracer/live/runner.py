# SPDX-License-Identifier: Apache-2.0
"""Runs a command for each line, one at a time, while tracing goes on.

It is run by a process of its own, which has the user's privileges: the tracer gives up most of its
own. Lines that are too many are counted, and nothing waits for them.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final

from tracer.model.counts import counted
from tracer.trace.options import Console
from tracer.trace.pipeline import Sink
from tracer.trace.streams import Whole
from tracer.warn import warn

_MAX_WAITING: Final = 1000  # lines
_PATIENCE: Final = 10.0  # seconds that commands have at the end
_SO_SNDBUFFORCE: Final = 32
_ROOM: Final = 16 << 20  # bytes of lines that wait
_WENT_WELL, _FAILED = b"0", b"1"


class Runner:
    """A process that runs a shell's command with each line on its standard input."""

    def __init__(self, command: str) -> None:
        """Forks it. Call it before hooks are attached, which it would keep."""
        sys.stdout.flush()
        sys.stderr.flush()
        self._ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.suppress(OSError):  # without CAP_NET_ADMIN: as many as the system allows
            self._ours.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _ROOM)
        self._pid = os.fork()
        if self._pid == 0:
            self._ours.close()
            _run_child(its, command)
        its.close()
        self._ours.setblocking(False)
        self._waiting = 0
        self._left_out = 0
        self._failed = 0

    def sink(self, console: Console) -> Sink:
        """Makes a sink that has the command run for each event."""

        def check() -> None:
            self.hear()

        console.on_check(check)
        console.at_end(lambda: self.finish(warn))
        return console.lines_to(Whole(self.give))

    def give(self, lines: str) -> None:
        """Has the command run for each of the lines. Never waits."""
        self.hear()
        for line in lines.split("\n")[:-1]:
            try:
                if self._waiting >= _MAX_WAITING:
                    raise BlockingIOError
                self._ours.send(f"{line}\n".encode(errors="surrogateescape"))
                self._waiting += 1
            except OSError:  # there is no room, or it was killed
                self._left_out += 1

    def hear(self) -> bool:
        """Hears which commands have ended, without waiting. Returns False if nothing more comes."""
        with contextlib.suppress(OSError):
            while self._waiting:
                said = self._ours.recv(1)
                if not said:
                    return False
                self._waiting -= 1
                self._failed += said == _FAILED
        return True

    def finish(self, tell: Callable[[str], None]) -> None:
        """Waits a while for the commands, ends the one that still runs, and tells what failed."""
        until = time.monotonic() + _PATIENCE
        while self._waiting and self._is_heard_by(until) and self.hear():
            pass
        self._ours.close()
        if self._waiting:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._pid, signal.SIGTERM)
        os.waitpid(self._pid, 0)
        if self._failed:
            tell(f"the command of --exec has failed for {counted(self._failed, 'line')}")
        left_out = self._left_out + self._waiting
        if left_out:
            lines = counted(left_out, "line")
            tell(f"the command of --exec, too slow or killed, has not come to an end for {lines}")

    def _is_heard_by(self, until: float) -> bool:
        """Waits until a command has ended, or time is over."""
        left = until - time.monotonic()
        return left > 0 and bool(select.select([self._ours], [], [], left)[0])


def _run_child(channel: socket.socket, command: str) -> None:
    """Runs the commands until the parent ends; never returns. Ctrl-C is for the parent."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    try:
        while line := channel.recv(_ROOM):
            done = subprocess.run(["/bin/sh", "-c", command], input=line, stdout=2, check=False)
            channel.send(_FAILED if done.returncode else _WENT_WELL)
    finally:
        os._exit(0)
