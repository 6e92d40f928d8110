# SPDX-License-Identifier: Apache-2.0
"""Where lines go: each reader gets a process's line before its first event, and so does each file
of the log."""

import json
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from tracer.model.expand import expanded
from tracer.output.jsonl import to_json
from tracer.output.logfile import LogFile
from tracer.trace.line import ProcessLine

_MAX_TOLD: Final = 1 << 16  # processes; beyond this, their lines are written again


class Rendered(NamedTuple):
    """A line of text; ``process`` is the line that has to come before it, at the same ``time``."""

    text: str
    process: ProcessLine | None = None
    time: str = ""


class Stream:
    """Lines to a reader who gets them all, as those of ``--json``."""

    def __init__(self, write: Callable[[str], object], lost: Callable[[], int]) -> None:
        """``write`` takes whole lines; ``lost`` tells how many of them could not be written."""
        self._write = write
        self._lost = lost
        self._known_lost = 0
        self._told: set[int] = set()  # numbers of the processes whose line was written
        self._put = 0

    @property
    def lines(self) -> int:
        """How many lines were written."""
        return self._put - self._lost()

    def put(self, rendered: Sequence[Rendered]) -> None:
        """Writes lines."""
        self._forget_if_lost()
        self._write("".join(map(self._whole, rendered)))

    def mark(self, render: Callable[[int], Rendered]) -> None:
        """Writes a line about the run; ``render`` gets how many lines there were before."""
        self._write(self._whole(render(self.lines)))

    def check(self) -> None:
        """Does what is due now and then: nothing."""

    def _whole(self, one: Rendered) -> str:
        """Returns a line, with its process's before it, if that was not written yet."""
        self._put += 1
        process = one.process
        if process is None or process.number in self._told:
            return one.text
        if len(self._told) >= _MAX_TOLD:
            self._told.clear()
        self._told.add(process.number)
        self._put += 1
        return f'{{"time":"{one.time}{process.text}{one.text}'

    def _forget_if_lost(self) -> None:
        """Has the processes' lines written again if some lines were lost."""
        lost = self._lost()
        if lost != self._known_lost:
            self._known_lost = lost
            self._told.clear()


class Whole(Stream):
    """Lines that stand alone, each with all that is known of its process."""

    def __init__(self, write: Callable[[str], object]) -> None:
        super().__init__(write, lambda: 0)

    def put(self, rendered: Sequence[Rendered]) -> None:
        """Writes lines."""
        for one in rendered:
            process = one.process and json.loads(f'{{"time":"{one.process.text}')["process"]
            self._write(f"{to_json(expanded(json.loads(one.text), process))}\n")


class LogStream(Stream):
    """Lines to the log, each of whose files stands alone: it begins with a line about the run."""

    def __init__(self, log: LogFile, begin: Callable[[int], Rendered]) -> None:
        """``begin`` returns the first line of a file that a run goes on in, and gets how many lines
        of it there were before."""
        super().__init__(log.write, lambda: log.lost_lines)
        self._log = log
        self._begin = begin
        self._file = log.files

    def put(self, rendered: Sequence[Rendered]) -> None:
        """Writes lines, and goes on in another file when the log is full."""
        self.check()
        texts: list[str] = []
        size = 0
        for one in rendered:
            if not self._log.has_room(self._size(one), size):
                self._log.write("".join(texts))
                self._begin_next()
                texts, size = [], 0
            texts.append(self._whole(one))
            size += len(texts[-1])
        self._log.write("".join(texts))
        self._forget_if_lost()

    def mark(self, render: Callable[[int], Rendered]) -> None:
        """Writes a line about the run."""
        self.check()
        if not self._log.has_room(len(render(self.lines).text)):
            self._begin_next()
        super().mark(render)

    def check(self) -> None:
        """Opens the log anew if that was asked for: the next line may be a long time coming."""
        self._log.reopen_if_asked()
        self._begin_file()
        self._log.check()

    def _begin_next(self) -> None:
        self._forget_if_lost()
        self._log.rotate()
        self._begin_file()

    def _begin_file(self) -> None:
        """Writes the first line of a file, if this is another one."""
        if self._log.files == self._file:
            return
        self._file = self._log.files
        self._told.clear()
        if self._put:
            super().mark(self._begin)

    def _size(self, one: Rendered) -> int:
        """Returns how many bytes a line takes, with its process's."""
        if one.process is None or one.process.number in self._told:
            return len(one.text)
        return len(one.text) + len(one.process.text) + len('{"time":"') + len(one.time)
