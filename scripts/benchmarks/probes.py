# SPDX-License-Identifier: Apache-2.0
"""What each probe costs a sender, beside programs that do nothing on the same
hooks: under Linux 6.1 in QEMU, where there are all probes. Its nanoseconds are an emulator's; only
the ratios say anything. In the guest, in a network namespace of its own."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final, NamedTuple

import measure
import tools
from tools import WATCHED

from tracer.kernel import attach, btf, probes, syscall

KERNEL: Final = "6.1"
DATAGRAMS: Final = 100_000
VM: Final = Path(__file__).parents[1] / "vm"
# the hooks that a UDP datagram passes
PASSED: Final = ("udp_sendmsg", "net_dev_queue")


class Cost(NamedTuple):
    """Nanoseconds a datagram, and for how many the kernel says that programs ran for it."""

    whole: float
    programs: float


def measured(pid: int) -> Cost:
    """With the programs that this process holds."""
    whole = 1e9 / tools.send(WATCHED, DATAGRAMS)
    with tools.statistics(pid) as found:
        tools.send(WATCHED, DATAGRAMS)
    return Cost(whole, sum(spent for _, spent in found) / DATAGRAMS)


def nothing_done(probe: probes.Probe) -> Cost:
    """By programs that do nothing, on those of the probe's hooks that a datagram passes."""
    types = btf.Btf()
    descriptors = [
        descriptor
        for hook in probe.hooks
        if hook.target in PASSED
        for descriptor in attach.attach(types, hook, syscall.DO_NOTHING)
    ]
    try:
        return measured(os.getpid())
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def sockwatch(probe: probes.Probe) -> Cost:
    """By a tracer, which only counts: there is one CPU, which it would share with the sender."""
    with tempfile.TemporaryDirectory() as temporary:
        tool = tools.sockwatch(Path(temporary), "--dst", WATCHED, "--probe", probe.name, "-S")
        cost = measured(tool.process.pid)
        tool.end()
    return cost


def inside(runs: int) -> None:
    """Prints the numbers as JSON."""
    results: dict[str, list[Any]] = {probe.name: [] for probe in probes.PROBES}
    tools.send(WATCHED, DATAGRAMS)  # the emulator translates what is run for the first time
    for _ in range(runs):
        for probe in probes.PROBES:
            costs = {
                "alone": measured(os.getpid()),
                "empty": nothing_done(probe),
                "sockwatch": sockwatch(probe),
            }
            results[probe.name].append({name: cost._asdict() for name, cost in costs.items()})
    print(json.dumps(results))


def main() -> None:
    """Argument: how many runs (5)."""
    if measure.is_inside():
        inside(measure.asked_runs())
    elif os.environ.get("SOCKWATCH_GUEST"):
        measure.in_namespace(__file__, *sys.argv[1:])
    else:
        command = ["env", "SOCKWATCH_GUEST=1", sys.executable, __file__, *sys.argv[1:]]
        out = subprocess.run([VM, KERNEL, "--", *command], check=True, stdout=subprocess.PIPE)
        results = json.loads(out.stdout)
        show(results)
        measure.save("probes", results, f"{KERNEL} in QEMU")


def show(results: dict[str, list[dict[str, dict[str, float]]]]) -> None:
    """As ratios."""

    def added(name: str, what: str) -> list[float]:
        return [one[what]["whole"] - one["alone"]["whole"] for one in results[name]]

    def ran(name: str, what: str) -> list[float]:
        return [one[what]["programs"] for one in results[name]]

    runs = len(results["fexit"])
    print(f"{DATAGRAMS:,} datagrams under 6.1, emulated, {runs} runs, median (least to most):")
    for name in results:
        ours, empty = added(name, "sockwatch"), added(name, "empty")
        to_fexit = measure.ratios(ours, added("fexit", "sockwatch"))
        programs = measure.ratios(ran(name, "sockwatch"), ran(name, "empty"))
        print(f"  {name}")
        print(f"    added to a datagram, ns            {measure.spread(ours, 0)}")
        print(f"    … by programs that do nothing      {measure.spread(empty, 0)}")
        print(f"    ratio to what fexit adds           {measure.spread(to_fexit)}")
        print(f"    its programs run, ns               {measure.spread(ran(name, 'sockwatch'), 0)}")
        print(f"    ratio to those that do nothing     {measure.spread(programs)}")


if __name__ == "__main__":
    main()
