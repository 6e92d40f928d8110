# SPDX-License-Identifier: Apache-2.0
"""What shows a run to its user: standard output and standard error. It waits for neither."""

import time
from collections.abc import Callable
from typing import TextIO

from tracer.clock import WallClock, boot_now
from tracer.output import stderr as messages
from tracer.output.jsonl import to_json
from tracer.output.stream import Stream


def stdout_of(
    out: TextIO,
    clock: WallClock,
    warn: Callable[[str], None],
    *,
    json: bool,
    run: str | None = None,
) -> Stream:
    """Returns where events are shown; ``json``: lines that are missing are a line of JSON, too,
    with the id of their ``run``, if they have one."""
    gap = (lambda lines: _lost_line(clock, lines, run)) if json else _row
    return Stream(out.fileno(), out.encoding or "utf-8", warn, gap)


def stderr() -> Stream:
    """Returns where messages go from now on. Call it before signals are handled: a write that
    waits could then be ended by none."""
    return messages.never_wait(lambda lines: f"sockwatch: {_row(lines)}")


def pause(seconds: float, *streams: Stream) -> None:
    """Lets so many seconds pass, and writes what readers take meanwhile."""
    until = time.monotonic() + seconds
    for stream in streams:
        stream.flush(until - time.monotonic())
    time.sleep(max(0.0, until - time.monotonic()))


def _row(lines: int) -> str:
    return f"… {lines} lines missing: nobody read them\n"


def _lost_line(clock: WallClock, lines: int, run: str | None) -> str:
    """Returns a line as the log has for what is lost; no event is."""
    clock.measure()
    mark = {"time": clock.iso(boot_now()), "event": "lost", "lost": 0, "output_lines_lost": lines}
    return to_json(mark | ({"run": run} if run else {})) + "\n"
