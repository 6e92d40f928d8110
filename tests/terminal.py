# SPDX-License-Identifier: Apache-2.0
"""A command on a terminal of its own: what it shows there, and keys for it."""

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping

import pyte

_MOMENT = 0.02  # seconds


class Terminal:
    """``output`` is all that was written to it; ``process`` the command."""

    def __init__(self, columns: int, lines: int) -> None:
        self._ours, self._theirs = pty.openpty()
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self.output = b""
        self.resize(columns, lines)
        self.modes = self.current_modes()

    def start(self, argv: list[str], env: Mapping[str, str]) -> None:
        """Runs a command, whose controlling terminal it becomes."""
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *argv],
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
            env={**os.environ, "TERM": "xterm", **env},
        )

    @property
    def lines(self) -> list[str]:
        """What it shows."""
        return [line.rstrip() for line in self.screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        self.screen.resize(lines, columns)
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("4H", lines, columns, 0, 0))

    def current_modes(self) -> list[object]:
        return termios.tcgetattr(self._theirs)

    def flow(self, action: int) -> None:
        """Stops what is written to it (termios.TCOOFF), as Ctrl-S does, and lets it go on."""
        termios.tcflow(self._theirs, action)

    def hang_up(self) -> None:
        """As when its window is closed."""
        os.close(self._theirs)
        os.close(self._ours)
        self._ours = self._theirs = -1

    def wait_for(self, condition: Callable[[], object], seconds: float) -> None:
        """Shows what is written, until the condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"waited too long: {self.text}"
            self._read()

    def wait(self, seconds: float) -> int:
        """Waits until the command ends; returns its status."""
        self.wait_for(lambda: self.process.poll() is not None, seconds)
        while self._ours >= 0 and self._read():
            pass
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for descriptor in (self._ours, self._theirs):
            if descriptor >= 0:
                os.close(descriptor)

    def _read(self) -> bool:
        """Shows what comes within a moment; says whether there was anything."""
        if self._ours < 0:
            time.sleep(_MOMENT)
            return False
        ready, _, _ = select.select([self._ours], [], [], _MOMENT)
        if ready:
            data = os.read(self._ours, 1 << 16)
            self.output += data
            self._stream.feed(data)
        return bool(ready)


@contextlib.contextmanager
def on_terminal(
    argv: list[str], columns: int = 80, lines: int = 24, **env: str
) -> Iterator[Terminal]:
    terminal = Terminal(columns, lines)
    terminal.start(argv, env)
    try:
        yield terminal
    finally:
        terminal.close()
