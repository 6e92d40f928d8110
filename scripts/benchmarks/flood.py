# SPDX-License-Identifier: Apache-2.0
"""A flood of datagrams, with each tool watching it, and with none: how much the sender is slowed,
how many events are recorded, and what the tool costs. In a network namespace of its own."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import measure

DATAGRAMS = 1_000_000
WATCHED, OTHER = "127.0.0.5", "127.0.0.6"
SENDER = Path(__file__).with_name("sender.py")
RESULTS = Path(__file__).parents[2] / "bench" / "results"
ENTRIES = (1, 100, 10_000)
BPFTRACE = r"""
struct iphdr_ { unsigned char first[12]; unsigned int saddr; unsigned int daddr; };
BEGIN { printf("ready\n"); }
tracepoint:net:net_dev_queue {
    $skb = (struct sk_buff *)args->skbaddr;
    $ip = (struct iphdr_ *)($skb->head + $skb->network_header);
    if ($ip->daddr == %d) {
        printf("%%s %%d %%s %%s %%s\n", strftime("%%H:%%M:%%S.%%f", nsecs), pid, comm,
               ntop($ip->saddr), ntop($ip->daddr));
    }
}
"""


def send(addr: str = WATCHED) -> float:
    """Datagrams a second."""
    argv = [sys.executable, str(SENDER), addr, str(DATAGRAMS)]
    return float(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)


class Tool:
    """A running tool that writes to a file."""

    def __init__(self, argv: list[str], out: Path, ready: Path, sign: str) -> None:
        """It is ready when ``sign`` is in ``ready``."""
        with out.open("w") as sink, (out.parent / "stderr").open("w") as errors:
            self.process = subprocess.Popen(argv, stdout=sink, stderr=errors)
        for _ in range(3000):
            if ready.exists() and sign in ready.read_text(errors="replace"):
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        self.process.kill()
        sys.exit(f"bench: {argv[0]} did not start: {(out.parent / 'stderr').read_text()[-500:]}")

    @property
    def cpu(self) -> float:
        """Seconds so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        """As a user does it."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)


def sockwatch(folder: Path, *options: str) -> Tool:
    """Logging to a file."""
    argv = [measure.SOCKWATCH, "-q", "--log", str(folder / "out"), "--log-max-size", "0", *options]
    return Tool(
        [*argv, "--ready-file", str(folder / "ready")], folder / "x", folder / "ready", "\n"
    )


def bpftrace(folder: Path) -> Tool:
    """A line for each."""
    program = BPFTRACE % int.from_bytes(bytes(map(int, WATCHED.split("."))), "little")
    return Tool(["bpftrace", "-e", program], folder / "out", folder / "out", "ready")


def tcpdump(folder: Path) -> Tool:
    """Packets to a file: no process, but the least that can be recorded."""
    argv = ["tcpdump", "-ni", "lo", "-w", str(folder / "out"), "dst", WATCHED]
    return Tool(argv, folder / "x", folder / "stderr", "listening")


TOOLS = {
    "sockwatch": lambda folder: sockwatch(folder, "--dst", WATCHED),
    "sockwatch, smallest ring": lambda folder: sockwatch(folder, "--dst", WATCHED, "-b", "1"),
    "sockwatch --summary": lambda folder: sockwatch(folder, "--dst", WATCHED, "-S"),
    "bpftrace": bpftrace,
    "tcpdump": tcpdump,
}


def recorded(name: str, out: Path, errors: str) -> int:
    """How many of the datagrams are in what it wrote."""
    if name == "tcpdump":
        return int(re.search(r"(\d+) packets captured", errors)[1])
    text = out.read_text()
    if name == "bpftrace":
        return text.count(f" {WATCHED}\n")
    return sum(map(int, re.findall(r'"event":"send".*?"count":(\d+)', text)))


def flood(name: str) -> dict[str, float]:
    """One run of one tool."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tool = TOOLS[name](folder)
        before = tool.cpu
        rate = send()
        time.sleep(0.5)
        cost = {"rate": rate, "cpu": tool.cpu - before, "pss": measure.pss(tool.process.pid)}
        tool.end()
        errors = (folder / "stderr").read_text()
        return {**cost, "recorded": recorded(name, folder / "out", errors)}


def not_ours(entries: int) -> dict[str, float]:
    """The same flood to an address that is not watched: nanoseconds a call by the kernel's own
    statistics, of the hook that sees each packet."""
    with tempfile.TemporaryDirectory() as temporary:
        options = [word for i in range(entries) for word in ("--dst", f"10.{i >> 8}.{i & 255}.1")]
        tool = sockwatch(Path(temporary), *options)
        before = _runs(tool.process.pid)
        rate = send(OTHER)
        after = _runs(tool.process.pid)
        tool.end()
    calls, spent = max(
        (after[fd][0] - before[fd][0], after[fd][1] - before[fd][1]) for fd in before
    )
    return {"rate": rate, "ns": spent / calls}


def _runs(pid: int) -> dict[str, tuple[int, int]]:
    """Of each program that a process holds: how often it ran and nanoseconds, proc(5)."""
    found = {}
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        numbers = dict(re.findall(r"^(run_cnt|run_time_ns):\s+(\d+)$", info.read_text(), re.M))
        if numbers:
            found[info.name] = int(numbers["run_cnt"]), int(numbers["run_time_ns"])
    return found


@contextlib.contextmanager
def statistics_enabled() -> Iterator[None]:
    """The kernel's, of BPF programs; 20 ns a call are their own."""
    switch = Path("/proc/sys/kernel/bpf_stats_enabled")
    earlier = switch.read_text()
    switch.write_text("1")
    try:
        yield
    finally:
        switch.write_text(earlier)


def run_all(runs: int) -> dict[str, Any]:
    """Everything, one after the other in each run."""
    results: dict[str, Any] = {"nothing": [], "not ours": {}, **{name: [] for name in TOOLS}}
    for _ in range(runs):
        results["nothing"].append({"rate": send()})
        for name in TOOLS:
            results[name].append(flood(name))
    with statistics_enabled():
        for entries in ENTRIES:
            results["not ours"][entries] = [not_ours(entries) for _ in range(runs)]
    return results


def show(results: dict[str, Any], runs: int) -> None:
    """As ratios."""
    alone = [one["rate"] for one in results["nothing"]]
    print(f"{DATAGRAMS:,} datagrams to a watched address, {runs} runs, median (least to most):")
    for name in TOOLS:
        found = results[name]
        slower = [base / one["rate"] for base, one in zip(alone, found, strict=True)]
        missing = DATAGRAMS - min(one["recorded"] for one in found)
        cpu = [one["cpu"] / DATAGRAMS * 1e6 for one in found]
        memory = [one["pss"] / 1e6 for one in found]
        print(
            f"  {name:24} sender slower x{measure.spread(slower)}  unaccounted {missing:,}"
            f"  us of CPU a datagram {measure.spread(cpu)}  MB {measure.spread(memory, 0)}"
        )
    print("the same to an address that is not watched, ns a call:")
    for entries, found in results["not ours"].items():
        print(f"  {entries:6} --dst             {measure.spread([one['ns'] for one in found], 0)}")


def main() -> None:
    """Argument: how many runs (5)."""
    if sys.argv[1:2] == ["inside"]:
        runs = int(sys.argv[2])
        # for bpftrace, in this namespace of mounts only
        mount = ["mount", "-t", "tracefs", "tracefs", "/sys/kernel/tracing"]
        subprocess.run(mount, check=False, stderr=subprocess.DEVNULL)
        results = run_all(runs)
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / "flood.json").write_text(json.dumps(results, indent=1) + "\n")
        show(results, runs)
    else:
        measure.in_namespace(__file__, sys.argv[1] if len(sys.argv) > 1 else "5")


if __name__ == "__main__":
    main()
