# SPDX-License-Identifier: Apache-2.0
"""The whole screen of a terminal: its keys, and lines on it. It is never waited for, and given back
as it was. curses' own refresh waits for a terminal that has stopped reading, and no signal ends
that (its ``_nc_flush`` tries again); so only terminfo is taken from it."""

import contextlib
import curses
import os
import re
import select
import signal
import termios
from collections.abc import Sequence
from typing import Any, Final, Self

from tracer.errors import UsageError
from tracer.output.stream import PATIENCE, Stream
from tracer.top.keys import Keys
from tracer.top.screen import Line, Style

_HINT: Final = "'sockwatch -S' and 'sockwatch --json' write lines instead"
_PADDING: Final = re.compile(rb"\$<[^>]*>")  # a pause for terminals of old: terminfo(5)
_STYLES: Final = {Style.BOLD: "bold", Style.DIM: "dim", Style.REVERSE: "rev"}
_AT_ONCE: Final = 1024  # bytes of keys
_LFLAG, _IFLAG, _CC = 3, 0, 6  # places in what tcgetattr returns
_HERE, _THERE = 0, 1  # standard input and output


def check() -> None:
    """Raises UsageError unless there is a terminal that can move its cursor."""
    if not (os.isatty(_HERE) and os.isatty(_THERE)):
        raise UsageError("top takes a terminal, to write on and for its keys", _HINT)
    name = os.environ.get("TERM") or "unset"
    try:
        curses.setupterm(fd=_THERE)
    except curses.error:
        raise UsageError(f"nothing is known of this terminal (TERM is {name})", _HINT) from None
    if not (_capability("cup") and _capability("clear")):
        raise UsageError(f"this terminal cannot move its cursor (TERM is {name})", _HINT)


def size() -> tuple[int, int]:
    """Returns how many columns and lines the terminal has; if it does not say, the usual."""
    try:
        columns, lines = os.get_terminal_size(_THERE)
    except OSError:  # it has gone away
        columns = lines = 0
    return columns or 80, lines or 24


class Terminal:
    """The terminal, while the block lasts. :func:`check` comes before."""

    def __init__(self, out: Stream) -> None:
        self._out = out
        self._keys = Keys()
        self._shown: list[Line] = []
        self._is_spoilt = True  # what it shows is not known
        self._before: list[Any] = []
        self._must_stop = False

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(_HERE)
        self._take()
        signal.signal(signal.SIGCONT, lambda *_: self._take_keys())
        signal.signal(signal.SIGTSTP, self._be_asked_to_stop)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.signal(signal.SIGCONT, signal.SIG_DFL)
        self._give_back()

    def keys(self) -> list[str] | None:
        """Returns the keys since the last call; None: there is no terminal any more. Stops if it is
        asked to (SIGTSTP), and returns once it is continued."""
        if self._must_stop:
            self._stop()
        ready, _, _ = select.select([_HERE], [], [], 0)
        if not ready:
            return self._keys.of(b"")
        try:
            data = os.read(_HERE, _AT_ONCE)
        except OSError:
            return None
        return self._keys.of(data) if data else None

    def draw(self, lines: Sequence[Line]) -> bool:
        """Writes the lines that have changed. Writes nothing and returns False if the terminal has
        not taken the last ones yet."""
        if self._out.pending:
            return False
        if self._is_spoilt or len(self._shown) != len(lines):
            self._is_spoilt = False
            self._out.write(_text("sgr0", "clear"))
            self._shown = [Line("")] * len(lines)
        changed = zip(range(len(lines)), lines, self._shown, strict=True)
        self._out.write("".join(_line(at, new) for at, new, old in changed if new != old))
        self._shown = list(lines)
        return True

    def redraw(self) -> None:
        """Makes :meth:`draw` write all lines the next time."""
        self._is_spoilt = True

    def _be_asked_to_stop(self, *_: object) -> None:
        self._must_stop = True

    def _stop(self) -> None:
        """Stops as if it took no notice of the signal, but for the terminal."""
        self._must_stop = False
        self._give_back()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._be_asked_to_stop)
        self._take()

    def _take(self) -> None:
        self._take_keys()
        self._out.write(_text("smcup", "civis", "rmam"))

    def _give_back(self) -> None:
        """A terminal that does not read has a moment for the last bytes."""
        with contextlib.suppress(termios.error):  # it has gone away
            termios.tcsetattr(_HERE, termios.TCSANOW, self._before)
        self._out.write(_text("sgr0", "smam", "cnorm", "rmcup"))
        self._out.finish(PATIENCE)

    def _take_keys(self) -> None:
        """Has keys told one by one and not shown; Ctrl-C is a signal, Ctrl-S and Ctrl-Z are keys.
        Somebody may have changed that while this process was stopped. It may come amid
        :meth:`draw`."""
        self._is_spoilt = True
        with contextlib.suppress(termios.error):  # it has gone away
            mode = termios.tcgetattr(_HERE)
            mode[_LFLAG] &= ~(termios.ICANON | termios.ECHO)
            mode[_IFLAG] &= ~termios.IXON
            mode[_CC][termios.VSUSP] = b"\0"
            termios.tcsetattr(_HERE, termios.TCSANOW, mode)


def _line(at: int, line: Line) -> str:
    """Returns a line in its place. What was there is erased first: behind a line that is as wide as
    the terminal, the cursor stands on its last letter (xterm, the kernel's console)."""
    place = curses.tparm(curses.tigetstr("cup") or b"", at, 0)
    style = _text(_STYLES[line.style]) if line.style in _STYLES else ""
    return f"{_plain(place)}{_text('el')}{style}{line.text}{_text('sgr0')}"


def _text(*names: str) -> str:
    """Returns the sequences of these capabilities, terminfo(5), which a terminal may lack."""
    return "".join(map(_capability, names))


def _capability(name: str) -> str:
    return _plain(curses.tigetstr(name) or b"")


def _plain(sequence: bytes) -> str:
    return _PADDING.sub(b"", sequence).decode("latin-1")
