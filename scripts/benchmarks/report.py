# SPDX-License-Identifier: Apache-2.0
"""How many lines a second ``sockwatch report`` reads, of a log as a run writes it."""

import os
import tempfile
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import measure

from tracer.model.fields import Rendering
from tracer.model.flow import Endpoint, EventKind, Flow, Via
from tracer.model.process import Process
from tracer.trace.event import Event, TrackedFlow
from tracer.trace.line import Line, ProcessLines
from tracer.trace.process_table import ProcessTable

# of each log: lines, flows, and how many events a line stands for
LOGS: Final = {
    "500 flows": (1_000_000, 500, 1),
    "500 flows, counted together": (1_000_000, 500, 100),
    "each line a flow of its own": (100_000, 100_000, 1),
}


def flow(number: int, who: Process | None) -> Flow:
    """What a process would send to one of many addresses."""
    return Flow(
        kind=EventKind.SEND,
        proto="udp",
        via=Via.SOCKET,
        process=who,
        src=Endpoint(ip_address("10.0.0.1"), 1024 + number % 60_000),
        dst=Endpoint(ip_address(0x0A000000 + number), 53),
        cookie=number,
        netns=1,
        interface=None,
    )


def write_log(path: Path, lines: int, flows: int, count: int) -> None:
    """A millisecond between two lines."""
    rendering = Rendering("3f9a1c2b5d6e7f80", lambda _: at(0))
    who, processes = ProcessTable().now(os.getpid()), ProcessLines(rendering)
    known: dict[int, Line] = {}
    with path.open("w") as log:
        for number in range(lines):
            which = number % flows
            one = known.pop(which, None) or Line(flow(which, who), rendering, processes)
            if flows < lines:
                known[which] = one
            if one.process and not number:
                log.write(f'{{"time":"{at(0)}{one.process.text}')
            tracked = TrackedFlow(flow(which, who), None)
            event = Event(0, 0, count, number % 1400, 0, 0, 1, 0, tracked)
            log.write(one.text(event, at(number), at(number + 90)))


def at(milliseconds: int) -> str:
    """A time of one day, as the log has it."""
    minutes, rest = divmod(milliseconds, 60_000)
    seconds = f"{rest // 1000:02}.{rest % 1000:03}000000"
    return f"2026-11-24T{minutes // 60:02}:{minutes % 60:02}:{seconds}Z"


def main() -> None:
    """Argument: how many runs (5)."""
    runs = measure.asked_runs()
    results = {name: measured(runs, *shape) for name, shape in LOGS.items()}
    for name, (lines, *_) in LOGS.items():
        costs = results[name]
        print(f"{name}: {lines:,} lines, {runs} runs, median (least to most):")
        print(f"  lines a second, start included  {measure.spread(rates(lines, costs), 0)}")
        memory = [cost.memory / 1e6 for cost in costs]
        print(f"  memory, MB                      {measure.spread(memory, 0)}")
    measure.save(
        "report", {name: [one._asdict() for one in costs] for name, costs in results.items()}
    )


def measured(runs: int, lines: int, flows: int, count: int) -> list[measure.Cost]:
    """Of one log."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        write_log(log, lines, flows, count)
        return [measure.run([measure.SOCKWATCH, "report", "--json", str(log)]) for _ in range(runs)]


def rates(lines: int, costs: list[measure.Cost]) -> list[float]:
    """Lines a second."""
    return [lines / cost.wall for cost in costs]


if __name__ == "__main__":
    main()
