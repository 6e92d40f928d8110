# SPDX-License-Identifier: Apache-2.0
"""What ``sockwatch top`` costs: its CPU a second in a flood, in a calm, and where nobody sends. In
a network namespace of its own."""

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from typing import Final

import measure
import tools
from tools import WATCHED

FLOOD: Final = 1_000_000
CALM: Final = ("10", "0.1")  # datagrams, every so many seconds
_LIMIT: Final = 60  # seconds
_PAGE: Final = 1 << 16


class Top:
    """It runs on a terminal that reads all."""

    def __init__(self) -> None:
        ours, theirs = pty.openpty()
        argv = [measure.SOCKWATCH, "top", "--dst", WATCHED, "-N", "/proc/self/ns/net"]
        environment = {**os.environ, "TERM": "xterm"}
        self._process = subprocess.Popen(argv, stdin=theirs, stdout=theirs, env=environment)
        os.close(theirs)
        self._drawn = threading.Event()
        threading.Thread(target=self._read, args=(ours,), daemon=True).start()
        if not self._drawn.wait(_LIMIT):
            sys.exit("bench: top does not start: run it by hand to see why")

    def cpu(self) -> float:
        """Seconds so far."""
        return tools.cpu_of(self._process.pid)

    def end(self) -> None:
        """As a user does it."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(_LIMIT)

    def _read(self, terminal: int) -> None:
        seen = b""
        try:
            while data := os.read(terminal, _PAGE):
                seen = (seen + data)[-_PAGE:]
                if b"missed " in seen:
                    self._drawn.set()
        except OSError:  # it has ended
            os.close(terminal)


def share(top: Top, number: int, *pace: str) -> float:
    """Its CPU a second while so many datagrams are sent."""
    before, began = top.cpu(), time.monotonic()
    tools.send(WATCHED, number, *pace)
    return (top.cpu() - before) / (time.monotonic() - began)


def one_run() -> dict[str, float]:
    """Each for the same time."""
    top = Top()
    began = time.monotonic()
    flood = share(top, FLOOD)
    seconds = time.monotonic() - began
    burst, period = CALM
    calm = share(top, int(seconds / float(period)) * int(burst), *CALM)
    before = top.cpu()
    time.sleep(seconds)
    nothing = (top.cpu() - before) / seconds
    top.end()
    return {"flood": flood, "calm": calm, "nothing": nothing, "rate": FLOOD / seconds}


def main() -> None:
    """Argument: how many runs (5)."""
    if not measure.is_inside():
        measure.in_namespace(__file__, *sys.argv[1:])
    results = [one_run() for _ in range(measure.asked_runs())]

    def column(name: str) -> list[float]:
        return [one[name] for one in results]

    to_calm = measure.ratios(column("flood"), column("calm"))
    to_nothing = measure.ratios(column("flood"), column("nothing"))
    percent = [100 * share for share in column("flood")]
    print(f"{FLOOD:,} datagrams, {len(results)} runs, median (least to most):")
    print(f"  datagrams a second in the flood  {measure.spread(column('rate'), 0)}")
    print(f"  CPU in the flood, in %           {measure.spread(percent)}")
    print(f"  to that of a calm (100 a second) {measure.spread(to_calm)}")
    print(f"  to that of nothing               {measure.spread(to_nothing)}")
    measure.save("top", results)


if __name__ == "__main__":
    main()
