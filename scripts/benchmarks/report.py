# SPDX-License-Identifier: Apache-2.0
"""How many lines a second ``sockwatch report`` reads, of a log as a run writes it."""

import os
import statistics
import sys
import tempfile
from ipaddress import ip_address
from pathlib import Path

import measure

from tracer.event import Endpoint, Flow, Line, Rendering
from tracer.process.table import ProcessTable
from tracer.record import EventKind, Via

LINES = 1_000_000
FLOWS = 500


def flow(number: int) -> Flow:
    """What a process of ours would send to one of many addresses."""
    return Flow(
        kind=EventKind.SEND,
        proto="udp",
        via=Via.SOCKET,
        process=ProcessTable().now(os.getpid()),
        src=Endpoint(ip_address("10.0.0.1"), 40_000 + number),
        dst=Endpoint(ip_address(0x0A000000 + number), 53),
        cookie=number,
        netns=1,
        interface=None,
    )


def write_log(path: Path) -> None:
    """A millisecond between two lines."""
    rendering = Rendering("tracepoint", lambda _: "2026-11-24T00:00:00.000000000Z")
    lines = [Line(flow(number), rendering) for number in range(FLOWS)]
    with path.open("w") as log:
        for number in range(LINES):
            minutes, milliseconds = divmod(number, 60_000)
            seconds = f"{milliseconds // 1000:02}.{milliseconds % 1000:03}000000"
            time = f"2026-11-24T{minutes // 60:02}:{minutes % 60:02}:{seconds}Z"
            log.write(lines[number % FLOWS].text(time, (number % 1400, 0, 0, 1, 0), 1))


def main() -> None:
    """Argument: how many runs (5)."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        write_log(log)
        size = log.stat().st_size
        costs = [
            measure.run([measure.SOCKWATCH, "report", "--json", str(log)]) for _ in range(runs)
        ]
    print(f"{LINES:,} lines of {size // LINES} bytes, {FLOWS} flows, {runs} runs:")
    print(f"  seconds, with the start  {measure.spread([cost.wall for cost in costs])}")
    print(f"  lines a second           {LINES / statistics.median(c.wall for c in costs):,.0f}")
    print(f"  memory, MB               {measure.spread([cost.memory / 1e6 for cost in costs], 0)}")


if __name__ == "__main__":
    main()
