# SPDX-License-Identifier: Apache-2.0
"""Many processes that send one datagram each and exit, with and without a tracer. In a network
namespace of its own."""

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import measure
import tools
from tools import WATCHED

from tests import tiny

PROCESSES: Final = 20_000


def spawn(program: Path) -> tuple[float, set[int]]:
    """One after the other; processes a second, and their pids."""
    pids = set()
    started = time.monotonic()
    for _ in range(PROCESSES):
        pid = os.posix_spawn(program, [program], {})
        os.waitpid(pid, 0)
        pids.add(pid)
    return PROCESSES / (time.monotonic() - started), pids


def traced(folder: Path, program: Path) -> dict[str, float]:
    """One run."""
    tool = tools.sockwatch(folder, "--dst", WATCHED)
    rate, pids = spawn(program)
    tool.settle()
    cost = {"rate": rate, "cpu": tool.cpu, "pss": tool.pss}
    tool.end()
    return {**cost, **told(folder / "log", str(program), pids)}


def told(log: Path, program: str, pids: set[int]) -> dict[str, int]:
    """How many of the processes the log has, and how many of them with program and arguments."""
    senders: dict[int, Any] = {}
    for line in log.read_text().splitlines():
        event = json.loads(line)
        if event["event"] == "send":
            senders[event["process"]["pid"]] = event["process"]
    named = [
        pid for pid, one in senders.items() if one["exe"] == program and one["args"] == [program]
    ]
    return {"recorded": len(senders.keys() & pids), "named": len(pids.intersection(named))}


def main() -> None:
    """Argument: how many runs (5)."""
    if not measure.is_inside():
        measure.in_namespace(__file__, *sys.argv[1:])
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        program = tiny.write(folder / "tiny", WATCHED, 9999)
        for _ in range(measure.asked_runs()):
            nothing, _ = spawn(program)
            (folder / "log").unlink(missing_ok=True)
            results.append({**traced(folder, program), "rate_of_nothing": nothing})
    show(results)
    measure.save("processes", results)


def show(results: list[dict[str, float]]) -> None:
    """As ratios, where there are two to compare."""

    def column(key: str, unit: float = 1) -> list[float]:
        return [one[key] / unit for one in results]

    slower = measure.ratios(column("rate_of_nothing"), column("rate"))
    cpu = column("cpu", PROCESSES / 1e6)
    print(f"{PROCESSES:,} processes, {len(results)} runs, median (least to most):")
    print(f"  slower by                  {measure.spread(slower)}")
    print(f"  not recorded, at most      {PROCESSES - min(column('recorded')):,}")
    print(f"  without exe or args        {PROCESSES - min(column('named')):,}")
    print(f"  us of CPU a process        {measure.spread(cpu, 0)}")
    print(f"  MB                         {measure.spread(column('pss', 1e6), 0)}")


if __name__ == "__main__":
    main()
