# SPDX-License-Identifier: Apache-2.0
"""The answer, at the end of a run: which processes sent to which destinations."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tracer.clock import WallClock
from tracer.event import Endpoint, Process
from tracer.flows import TrackedFlow
from tracer.sinks.terminal import fit_middle, safe

_SHOWN: Final = 50  # rows; the log has them all
_EXE_WIDTH: Final = 24

_HEADER: Final = (
    "PID", "COMM", "EXE", "USER", "PROTO", "DESTINATION", "EVENTS", "BYTES", "FIRST", "LAST",
)  # fmt: skip
_RIGHT_ALIGNED: Final = ("PID", "EVENTS", "BYTES")


@dataclass
class Total:
    """What one process sent to one destination; times are CLOCK_BOOTTIME, nanoseconds."""

    process: Process | None
    proto: str
    dst: Endpoint
    count: int
    bytes: int
    first: int
    last: int


def totals(flows: Iterable[TrackedFlow]) -> list[Total]:
    """Added up for each process (pid and start time), protocol and destination, most
    events first."""
    groups: dict[tuple[int | None, int | None, str, Endpoint], Total] = {}
    for tracked in flows:
        flow, process = tracked.flow, tracked.flow.process
        who = (process.pid, process.start_time) if process else (None, None)
        key = (*who, flow.proto, flow.dst)
        total = groups.get(key)
        if total is None:
            groups[key] = Total(
                process, flow.proto, flow.dst, tracked.count, tracked.bytes,
                tracked.first, tracked.last,
            )  # fmt: skip
            continue
        total.count += tracked.count
        total.bytes += tracked.bytes
        total.first = min(total.first, tracked.first)
        total.last = max(total.last, tracked.last)
    return sorted(groups.values(), key=lambda total: (-total.count, total.first))


def render(rows: Sequence[Total], clock: WallClock) -> str:
    """The table as text; empty where nothing was seen."""
    if not rows:
        return ""
    cells = [_HEADER, *(_cells(row, clock) for row in rows[:_SHOWN])]
    lines = [_align(row, _column_widths(cells)) for row in cells]
    if len(rows) > _SHOWN:
        lines.append(f"… and {len(rows) - _SHOWN} more, all of them in the log")
    return "\n".join(lines) + "\n"


def _cells(total: Total, clock: WallClock) -> tuple[str, ...]:
    process = total.process
    return (
        str(process.pid) if process else "-",
        safe(process.comm) if process else "[kernel]",
        fit_middle(safe(process.exe or "-"), _EXE_WIDTH) if process else "-",
        (process.user or str(process.uid)) if process else "-",
        total.proto,
        str(total.dst),
        str(total.count),
        str(total.bytes),
        clock.local(total.first),
        clock.local(total.last),
    )


def _column_widths(cells: Sequence[tuple[str, ...]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*cells, strict=True)]


def _align(row: tuple[str, ...], column_widths: list[int]) -> str:
    aligned = (
        f"{cell:>{width}}" if name in _RIGHT_ALIGNED else f"{cell:{width}}"
        for cell, width, name in zip(row, column_widths, _HEADER, strict=True)
    )
    return " ".join(aligned).rstrip()
