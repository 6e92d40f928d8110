# SPDX-License-Identifier: Apache-2.0
"""How far behind shipping is, for node_exporter's textfile collector."""

import dataclasses
from datetime import UTC, datetime
from typing import Final, Literal

from tracer.output.prometheus import Metric, render

_PREFIX: Final = "sockwatch_ship_"


@dataclasses.dataclass
class Metrics:
    """What has been shipped since the start, and what is not yet."""

    up: int = 0
    behind_bytes: int = 0
    behind_files: int = 0
    shipped_until: str = ""  # the time of the last line that is there
    sent: float = 0.0  # when a server took a block last
    lines: int = 0
    blocks: int = 0
    asked: int = 0
    failures: int = 0
    damaged: int = 0
    refused: int = 0
    gaps: int = 0


# name, kind, meaning; in the order in which they are written
_ABOUT: Final[tuple[tuple[str, Literal["counter", "gauge"], str], ...]] = (
    ("up", "gauge", "1 if a server took the last block, else 0."),
    ("behind_seconds", "gauge", "Age of the last line that was shipped, 0 if none waits."),
    ("behind_bytes", "gauge", "Bytes of the open file that are not shipped yet."),
    ("behind_files", "gauge", "Files of the log after that one."),
    ("last_block_timestamp_seconds", "gauge", "When a server took a block last; 0: not yet."),
    ("lines_total", "counter", "Lines that were shipped."),
    ("blocks_total", "counter", "Blocks that were shipped."),
    ("asked_blocks_total", "counter", "Blocks that a server was asked for before they were sent."),
    ("failures_total", "counter", "Times that no server took a block."),
    ("damaged_lines_total", "counter", "Lines that are no lines of a log."),
    ("refused_rows_total", "counter", "Rows that a server took as they are only."),
    ("gaps_total", "counter", "Times that a part of the log was gone before it was shipped."),
)


def text(metrics: Metrics, now: float) -> str:
    """Returns them in Prometheus' text format."""
    waits = metrics.behind_bytes or metrics.behind_files
    values = {
        "up": metrics.up,
        "behind_seconds": _age(metrics.shipped_until, now) if waits else 0,
        "behind_bytes": metrics.behind_bytes,
        "behind_files": metrics.behind_files,
        "last_block_timestamp_seconds": metrics.sent,
        "lines_total": metrics.lines,
        "blocks_total": metrics.blocks,
        "asked_blocks_total": metrics.asked,
        "failures_total": metrics.failures,
        "damaged_lines_total": metrics.damaged,
        "refused_rows_total": metrics.refused,
        "gaps_total": metrics.gaps,
    }
    return render(
        Metric(f"{_PREFIX}{name}", kind, about, [({}, values[name])])
        for name, kind, about in _ABOUT
    )


def _age(logged: str, now: float) -> float:
    """Returns the seconds since a line's time; 0 if the clock was set back since."""
    if not logged:
        return 0.0
    then = datetime.strptime(logged[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    return max(0.0, round(now - then.timestamp(), 3))
