# SPDX-License-Identifier: Apache-2.0
"""The tools that are compared, each watching one address on lo and writing to a file."""

import atexit
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import measure

WATCHED, OTHER = "127.0.0.5", "127.0.0.6"
SENDER: Final = Path(__file__).with_name("sender.py")
_LIMIT: Final = 300  # seconds for a tool to be ready, also under emulation
_BPFTRACE: Final = r"""
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


class DoesNotStartError(Exception):
    """With the last that the tool said."""


class Tool:
    """A running tool that writes to the file ``out``, and says why it fails in ``errors``."""

    def __init__(self, argv: list[str], folder: Path, ready: Path, sign: str) -> None:
        """It is ready when ``sign`` is in ``ready``. Raises DoesNotStartError."""
        self.out, self.errors = folder / "out", folder / "errors"
        # a shell's job in the background ignores Ctrl-C, and what it starts does, too
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with self.out.open("w") as sink, self.errors.open("w") as errors:
            started = time.monotonic()
            self.process = subprocess.Popen(argv, stdout=sink, stderr=errors)
        atexit.register(self.process.kill)  # whatever happens
        while not (ready.exists() and sign in ready.read_text(errors="replace")):
            if self.process.poll() is not None or time.monotonic() > started + _LIMIT:
                self.process.kill()
                self.process.wait()
                raise DoesNotStartError((self.errors.read_text().splitlines() or [""])[-1])
            time.sleep(0.001)
        self.seconds_to_ready = time.monotonic() - started

    @property
    def cpu(self) -> float:
        """Seconds so far."""
        return cpu_of(self.process.pid)

    @property
    def pss(self) -> int:
        """Bytes."""
        return measure.pss(self.process.pid)

    def settle(self) -> None:
        """Until it has caught up: uses no more CPU."""
        used = -1.0
        while self.cpu > used + 0.05:
            used = self.cpu
            time.sleep(0.5)

    def end(self) -> None:
        """As a user does it."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(_LIMIT)


def cpu_of(pid: int) -> float:
    """Seconds that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def sockwatch(folder: Path, *options: str) -> Tool:
    """Logging to a file; of its own network namespace only, so that no other traffic counts."""
    log, ready = folder / "log", folder / "ready"
    ready.unlink(missing_ok=True)
    argv = [measure.SOCKWATCH, "-q", "--log", str(log), "--log-max-size", "0", *options]
    argv += ["-N", "/proc/self/ns/net"]
    return Tool([*argv, "--ready-file", str(ready)], folder, ready, "\n")


@contextlib.contextmanager
def namespaces(prefix: str, number: int) -> Iterator[list[str]]:
    """So many network namespaces with lo up, by name, until the block ends."""
    names = [f"{prefix}{os.getpid()}.{at}" for at in range(number)]
    try:
        for name in names:
            subprocess.run(["ip", "netns", "add", name], check=True)
            subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)


def prove(folder: Path, *options: str) -> Tool:
    """A proof, which looks at all namespaces."""
    ready = folder / "ready"
    argv = [measure.SOCKWATCH, "prove", "--duration", "1h", *options, "--ready-file", str(ready)]
    return Tool(argv, folder, ready, "\n")


def bpftrace(folder: Path) -> Tool:
    """A line for each."""
    program = _BPFTRACE % int.from_bytes(bytes(map(int, WATCHED.split("."))), "little")
    return Tool(["bpftrace", "-e", program], folder, folder / "out", "ready")


def bcc_callback(folder: Path) -> Tool:
    """A line for each, as BCC's own tools do it."""
    script = str(Path(__file__).with_name("bcc_callback.py"))
    return Tool([sys.executable, "-u", script, WATCHED], folder, folder / "out", "ready")


def tcpconnect(folder: Path) -> Tool:
    """BCC's own; it sees TCP only."""
    argv = ["/usr/bin/python3", "-u", "/usr/sbin/tcpconnect-bpfcc"]
    return Tool(argv, folder, folder / "out", "PID")


def tcpdump(folder: Path) -> Tool:
    """Packets to a file: no process, but the least that can be recorded."""
    argv = ["tcpdump", "-ni", "lo", "-w", str(folder / "packets"), "dst", WATCHED]
    return Tool(argv, folder, folder / "errors", "listening")


def send(addr: str, number: int, *pace: str) -> float:
    """Sends in a process of its own, as fast as it can or at this pace (see sender.py); returns
    datagrams a second."""
    argv = [sys.executable, str(SENDER), addr, str(number), *pace]
    return float(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)


@contextlib.contextmanager
def statistics(pid: int) -> Iterator[list[tuple[int, int]]]:
    """Of each BPF program that a process holds, once it is over: how often it ran meanwhile, and
    for how many nanoseconds, by the kernel's statistics; some 20 of each run are their own."""
    switch = Path("/proc/sys/kernel/bpf_stats_enabled")
    earlier = switch.read_text()
    found: list[tuple[int, int]] = []
    switch.write_text("1")
    try:
        before = _program_runs(pid)
        yield found
        after = _program_runs(pid)
    finally:
        switch.write_text(earlier)
    found += [(after[fd][0] - before[fd][0], after[fd][1] - before[fd][1]) for fd in before]


def _program_runs(pid: int) -> dict[str, tuple[int, int]]:
    """By descriptor, proc(5)."""
    found = {}
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        text = info.read_text() if info.exists() else ""  # some come and go
        numbers = dict(re.findall(r"^(run_cnt|run_time_ns):\s+(\d+)$", text, re.M))
        if numbers:
            found[info.name] = int(numbers["run_cnt"]), int(numbers["run_time_ns"])
    return found


def counted(log: Path) -> int:
    """How many datagrams are in a log of sockwatch's."""
    with log.open() as lines:
        return sum(
            int(found[1])
            for found in map(re.compile(r'"event":"send".*?"count":(\d+)').search, lines)
            if found
        )


def lost(log: Path) -> int:
    """How many events such a log says were lost."""
    last = log.read_text().splitlines()[-1]
    return int(re.search(r'"event":"stop".*"lost":(\d+)', last)[1])


def mount_tracefs() -> None:
    """For bpftrace; in the mount namespace that ``ip netns exec`` has made."""
    mount = ["mount", "-t", "tracefs", "tracefs", "/sys/kernel/tracing"]
    subprocess.run(mount, check=False, stderr=subprocess.DEVNULL)
