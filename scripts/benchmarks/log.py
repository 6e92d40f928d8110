# SPDX-License-Identifier: Apache-2.0
"""A day's log: its size on disk, what a line takes, and whether the sums are all there.

2,000 flows of 200 processes, of which a tenth sends in bursts of 500 a second, and the others now
and then. The clock is simulated; all from an event on is as in a run.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import measure

from tracer.clock import WallClock
from tracer.model.fields import Rendering
from tracer.model.flow import Endpoint, EventKind, Flow, Route, SocketDetails, Via
from tracer.model.process import Parent, Process
from tracer.output.backups import backups_of
from tracer.output.logfile import LogFile, Rotation
from tracer.report.files import with_backups
from tracer.report.groups import ALL, summarize
from tracer.report.times import Period
from tracer.trace.event import Event, TrackedFlow
from tracer.trace.jsonl import JsonLines
from tracer.trace.line import ProcessLines
from tracer.trace.merging import Merging
from tracer.trace.streams import LogStream, Rendered

FLOWS: Final = 2000
DAY: Final = 86_400_000_000_000  # nanoseconds
BURST: Final = 2_000_000  # nanoseconds between two events of one
AT_ONCE: Final = 512


def process(number: int) -> Process:
    """A script that a unit runs, as most are."""
    unit = f"job-{number}.service"
    return Process(
        pid=1000 + number, tid=1000 + number, comm="python3", thread="python3",
        exe="/usr/bin/python3.11", args=("python3", f"/opt/jobs/collect-{number}.py", "--once"),
        ppid=1, uid=1000, user="collector", start_time=number * 10_000_000,
        cgroup=f"/system.slice/{unit}", units=(unit,), netns=4026531840, pidns=4026531836,
        pidns_pid=1000 + number, initial_pid=1000 + number, exe_here=True, mntns=4026531841,
        parents=(Parent(1, "systemd", "/usr/lib/systemd/systemd", exe_here=True),),
    )  # fmt: skip


def flow(number: int, who: Process) -> Flow:
    """A socket that a process sends by."""
    details = SocketDetails(90_000 + number, "ESTAB", 1000, who.cgroup, None)
    return Flow(
        kind=EventKind.SEND, proto="udp", via=Via.SOCKET, process=who,
        src=Endpoint(ip_address("10.0.0.1"), 20_000 + number),
        dst=Endpoint(ip_address(0x0A000100 + number % 500), 53),
        cookie=100_000 + number, netns=4026531840, interface=None, details=details,
        route=Route("eth0", ip_address("10.0.0.254"), ip_address("10.0.0.1")),
    )  # fmt: skip


def events(number: int) -> Iterator[tuple[int, TrackedFlow]]:
    """Their times, and whose they are: half of them in bursts, one after the other."""
    rng = random.Random(17)
    flows = [TrackedFlow(flow(which, process(which % 200)), None) for which in range(FLOWS)]
    pause = DAY // (number // 2)
    when, left, busy = 0, 0, flows[0]
    for _ in range(number // 2):
        yield when, flows[rng.randrange(FLOWS)]
        if not left:
            left, busy = 100, flows[rng.randrange(FLOWS // 10)]
        left -= 1
        yield when + 1, busy
        when += min(pause, BURST) if left else 100 * pause - 99 * min(pause, BURST)


class Day(WallClock):
    """A clock that says when it is in a day that is simulated."""

    def measure(self) -> None:
        """Does not look."""
        self._offset = 1_790_000_000 * 1_000_000_000
        self._since, self._offsets = [0], [self._offset]


def write(path: Path, number: int) -> tuple[dict[str, Any], float]:
    """Writes the log; what was sent to each destination, and how long it took."""
    clock, now = Day(), 0
    rendering = Rendering("3f9a1c2b5d6e7f80", clock.iso_start)
    log = LogFile(path, Rotation(100 << 20, 2 << 30, 30, compress=True), print)
    stream = LogStream(log, lambda _: Rendered(""))
    lines = JsonLines(clock, rendering, ProcessLines(rendering), None, [stream])
    merging = Merging(lines, lambda: now)
    sent: dict[str, Any] = {}
    batch: list[Event] = []
    started = time.process_time()
    for count, (when, tracked) in enumerate(events(number)):
        now, size = when, count % 1400
        sums = sent.setdefault(str(tracked.flow.dst.addr), [0, 0])
        sums[0] += 1
        sums[1] += size
        batch.append(Event(when, when, 1, size, 0, 0, 1, 0, tracked))
        if len(batch) == AT_ONCE:
            merging.write(batch)
            merging.check()
            batch = []
    merging.write(batch)
    merging.flush()
    took = time.process_time() - started
    log.close()
    return {"sent": sent, "lines": stream.lines}, took


def main() -> None:
    """Writes a day's log, and reads it back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("events", nargs="?", type=int, default=10_000_000)
    number = parser.parse_args().events
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        said, took = write(path, number)
        files = with_backups([path])
        on_disk = sum(file.stat().st_size for file in files.paths)
        raw = path.stat().st_size / max(1, path.read_bytes().count(b"\n"))
        found = summarize(
            files.paths, ("dst",), ALL, Period("", ""), lambda _: None, files.continued
        )
        read = {group.keys["dst"]: [group.count, group.bytes] for group in found.groups}
        backups = len(backups_of(path))
    whole = read == said["sent"] and not found.damaged
    print(f"{number:,} events of {FLOWS:,} flows in a day: {said['lines']:,} lines")
    print(f"  {on_disk / 1e6:,.0f} MB on disk in {backups + 1} files")
    print(f"  bytes a line: {on_disk / said['lines']:.0f}, {raw:.0f} before it is compressed")
    print(f"  {took / number * 1e6:.2f} µs of CPU an event, compression included")
    print(f"  the sums by destination are {'all there' if whole else 'WRONG'}")
    measure.save("log", {"events": number, "lines": said["lines"], "bytes": on_disk,
                         "bytes_a_line": raw, "cpu": took, "whole": whole})  # fmt: skip
    raise SystemExit(not whole)


if __name__ == "__main__":
    main()
