# SPDX-License-Identifier: Apache-2.0
"""The answer at the end of a run: which processes sent to which destinations."""

from collections.abc import Sequence
from typing import Final

from tracer.clock import WallClock
from tracer.host.resolver import Names
from tracer.model.flow import destination
from tracer.output.terminal import table
from tracer.trace.totals import OTHERS, Total

_SHOWN: Final = 50  # rows; the log has all of them
_EXE_WIDTH: Final = 24

_HEADER: Final = (
    "PID", "COMM", "EXE", "USER", "PROTO", "DESTINATION", "EVENTS", "SENT", "RECEIVED",
    "FIRST", "LAST",
)  # fmt: skip
_RIGHT_ALIGNED: Final = ("PID", "EVENTS", "SENT", "RECEIVED")
_LIMITS: Final = {_HEADER.index("EXE"): _EXE_WIDTH}


def render(
    rows: Sequence[Total], clock: WallClock, names: Names | None = None, *, logged: bool = True
) -> str:
    """Returns the table as text, empty if nothing was seen. ``logged``: a log has all rows."""
    if not rows:
        return ""
    shown = (_cells(row, clock, names) for row in rows[:_SHOWN])
    more = f"… and {len(rows) - _SHOWN} more{', all of them in the log' if logged else ''}\n"
    return table(_HEADER, shown, _RIGHT_ALIGNED, _LIMITS) + (more if len(rows) > _SHOWN else "")


def _cells(total: Total, clock: WallClock, names: Names | None) -> tuple[str, ...]:
    process = total.process
    return (
        str(process.pid or "?") if process else "-",
        total.sender,
        (process.shown_exe or "-") if process else "-",
        (process.user or str(process.uid)) if process else "-",
        total.proto,
        _destination(total, names),
        str(total.count),
        str(total.bytes),
        "?" if total.received is None else str(total.received),
        clock.local(total.first),
        clock.local(total.last),
    )


def _destination(total: Total, names: Names | None) -> str:
    if total.dst is None:
        return OTHERS
    shown = destination(total.dst, total.nat_dst, total.proto, *([names.of] if names else []))
    return f"{shown}, …" if total.more_nat_dst else shown
