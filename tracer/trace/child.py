# SPDX-License-Identifier: Apache-2.0
"""Runs a command that is traced from its first instruction."""

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tracer.errors import UsageError
from tracer.host import pid_namespace
from tracer.trace import hangup
from tracer.warn import warn

_CANNOT_RUN: Final = 126  # a shell's status for a file that exists but cannot be run
_TICK: Final = 0.05  # seconds between checks whether the command has ended


class Command:
    """A process that waits to be told to become the command. ``pid`` is the one in /proc."""

    def __init__(self, argv: Sequence[str]) -> None:
        """Forks the process. Raises UsageError if there is no such program."""
        if shutil.which(argv[0]) is None:
            there = "/" in argv[0] and Path(argv[0]).is_file()
            what = f"'{argv[0]}' is not executable" if there else f"there is no program '{argv[0]}'"
            raise UsageError(what, "see what stands behind --")
        sys.stdout.flush()
        sys.stderr.flush()
        read_end, self._write_end = os.pipe()
        self._status: int | None = None
        self._child = os.fork()
        if self._child == 0:
            os.close(self._write_end)
            _become(list(argv), read_end)
        os.close(read_end)
        self._pidfd = os.pidfd_open(self._child)
        self.pid = pid_namespace.of_pidfd(self._pidfd)

    def go(self) -> None:
        """Lets the command begin."""
        with contextlib.suppress(BrokenPipeError):  # a signal has ended it already
            os.write(self._write_end, b"!")
        os.close(self._write_end)

    def ended(self) -> bool:
        """Says whether the command has ended."""
        if self._status is None:
            pid, status = os.waitpid(self._child, os.WNOHANG)
            self._status = status if pid else None
        return self._status is not None

    def signal(self, number: int) -> None:
        """Passes a signal on, unless the terminal has sent it to the command already. A signal
        handler may call this."""
        if not (number == signal.SIGINT and _in_foreground()):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def wait(self, give_up: Callable[[], bool]) -> int | None:
        """Waits for the command and returns its exit status as a shell does: 128 plus the signal's
        number if a signal ended it. Returns None if ``give_up`` says so before."""
        while not self.ended():
            if give_up():
                return None
            time.sleep(_TICK)
        assert self._status is not None
        status = os.waitstatus_to_exitcode(self._status)
        return status if status >= 0 else 128 - status


def _become(argv: list[str], read_end: int) -> None:
    """Runs the command in the child; never returns."""
    try:
        if os.read(read_end, 1):  # empty if the tracer ended before
            for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these
                signal.signal(number, signal.SIG_DFL)
            if hangup.was_ignored():
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
            os.execvp(argv[0], argv)
    except OSError as error:
        warn(f"cannot run '{argv[0]}' ({error.strerror})")
    except KeyboardInterrupt:
        pass
    finally:
        os._exit(_CANNOT_RUN)


def _in_foreground() -> bool:
    """Says whether Ctrl-C reaches our whole process group."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:  # no terminal
        return False
