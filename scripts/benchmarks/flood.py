# SPDX-License-Identifier: Apache-2.0
"""A flood of datagrams, with each tool watching it, and with none: how much the sender is slowed,
how many events are recorded, and what the tool costs. In a network namespace of its own."""

import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure
import tools
from tools import OTHER, WATCHED, Tool

DATAGRAMS = 1_000_000
ENTRIES = (1, 100, 10_000)
WATCHING = ("--dst", WATCHED)
TOOLS: dict[str, Callable[[Path], Tool]] = {
    "sockwatch": lambda folder: tools.sockwatch(folder, *WATCHING),
    "sockwatch, smallest ring": lambda folder: tools.sockwatch(folder, *WATCHING, "-b", "1"),
    "sockwatch --summary": lambda folder: tools.sockwatch(folder, *WATCHING, "-S"),
    "bpftrace": tools.bpftrace,
    "BCC with a callback": tools.bcc_callback,
    "tcpdump": tools.tcpdump,
}


def recorded(name: str, folder: Path) -> int:
    """How many of the datagrams are in what a tool wrote."""
    if name == "tcpdump":
        return int(re.search(r"(\d+) packets captured", (folder / "errors").read_text())[1])
    if name.startswith("sockwatch"):
        return tools.counted(folder / "log")
    return (folder / "out").read_text().count(f" {WATCHED}\n")


def flood(name: str) -> dict[str, float]:
    """One run of one tool."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tool = TOOLS[name](folder)
        before = tool.cpu
        rate = tools.send(WATCHED, DATAGRAMS)
        tool.settle()
        cost = {"rate": rate, "cpu": tool.cpu - before, "pss": tool.pss}
        tool.end()
        return {**cost, "recorded": recorded(name, folder)}


def not_ours(entries: int) -> dict[str, float]:
    """The same flood to an address that is not watched: nanoseconds a call by the kernel's own
    statistics, of the hook that sees each packet."""
    with tempfile.TemporaryDirectory() as temporary:
        options = [word for i in range(entries) for word in ("--dst", f"10.{i >> 8}.{i & 255}.1")]
        tool = tools.sockwatch(Path(temporary), *options)
        with tools.statistics(tool.process.pid) as found:
            rate = tools.send(OTHER, DATAGRAMS)
        tool.end()
    calls, spent = max(found)
    return {"rate": rate, "ns": spent / calls}


def run_all(names: list[str], runs: int) -> dict[str, list[dict[str, float]]]:
    """One after the other in each run."""
    results: dict[str, list[dict[str, float]]] = {name: [] for name in ("nothing", *names)}
    tools.send(WATCHED, DATAGRAMS)  # to warm up: the first flood is half as fast
    for _ in range(runs):
        results["nothing"].append({"rate": tools.send(WATCHED, DATAGRAMS)})
        for name in names:
            results[name].append(flood(name))
    return results


def show(results: dict[str, list[dict[str, float]]]) -> None:
    """As ratios; what bpftrace does is 1."""
    runs = len(results["nothing"])
    print(f"{DATAGRAMS:,} datagrams to a watched address, {runs} runs, median (least to most):")

    def column(name: str, key: str) -> list[float]:
        return [one[key] for one in results[name]]

    for name in [name for name in results if name != "nothing"]:
        slower = measure.ratios(column("nothing", "rate"), column(name, "rate"))
        kept = column(name, "recorded")
        print(f"  {name}")
        print(f"    sender slower by         {measure.spread(slower)}")
        print(f"    unaccounted for, at most {DATAGRAMS - min(kept):,.0f}")
        if "bpftrace" in results:
            per_second = measure.ratios(recorded_rate(results, name), recorded_rate(results))
            print(f"    events a second, ratio   {measure.spread(per_second)}")
        print(f"    us of CPU an event       {measure.spread(cpu_each(results[name]))}")
        memory = [size / 1e6 for size in column(name, "pss")]
        print(f"    MB                       {measure.spread(memory, 0)}")


def recorded_rate(results: dict[str, Any], name: str = "bpftrace") -> list[float]:
    """Events a second, while the sender sent."""
    return [one["recorded"] * one["rate"] / DATAGRAMS for one in results[name]]


def cpu_each(found: list[dict[str, float]]) -> list[float]:
    """Microseconds for each that was recorded."""
    return [one["cpu"] / max(one["recorded"], 1) * 1e6 for one in found]


def show_not_ours(alone: list[float], results: dict[int, list[dict[str, float]]]) -> None:
    """As ratios, and in nanoseconds, which the kernel has measured."""
    print("the same to an address that is not watched:")
    for entries, found in results.items():
        slower = measure.ratios(alone, [one["rate"] for one in found])
        print(f"  {entries:,} --dst")
        print(f"    sender slower by         {measure.spread(slower)}, statistics included")
        print(f"    ns a call                {measure.spread([one['ns'] for one in found], 0)}")


def main() -> None:
    """Arguments: how many runs (5); which tools (all, and the cost of other traffic)."""
    if not measure.is_inside():
        measure.in_namespace(__file__, *sys.argv[1:])
    runs, names = measure.asked_runs(), sys.argv[2:]
    tools.mount_tracefs()
    results = run_all(names or list(TOOLS), runs)
    show(results)
    measure.save("-".join(["flood", *names]).replace(" ", "_").replace(",", ""), results)
    if not names:
        alone = [tools.send(OTHER, DATAGRAMS) for _ in range(runs)]
        others = {entries: [not_ours(entries) for _ in range(runs)] for entries in ENTRIES}
        show_not_ours(alone, others)
        measure.save("not_ours", {"rate of nothing": alone, **others})


if __name__ == "__main__":
    main()
