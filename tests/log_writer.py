# SPDX-License-Identifier: Apache-2.0
"""Writes a log of format 2 as a tracer does: runs, processes, events, rotation."""

import gzip
import json
from datetime import UTC, datetime, timedelta

BEGIN = datetime(2026, 11, 29, 10, 0, tzinfo=UTC)


class LogWriter:
    """Appends to a log; ``sent`` are the numbers of the events that it has written, as their
    ``bytes``. Each line is a millisecond later."""

    def __init__(self, path, host="web1", run="3f9a1c2b5d6e7f80", begin=BEGIN):
        self.path = path
        self.host = host
        self.run = run
        self.lines = 0  # of this run
        self.events = 0
        self.now = begin
        self._known = set()

    def line(self, event, **values):
        self.now += timedelta(milliseconds=1)
        line = {"time": self.time(), "event": event, **values, "run": self.run}
        self.raw(json.dumps(line, separators=(",", ":")))

    def raw(self, text, end="\n"):
        """Writes a line as it is."""
        with open(self.path, "a") as log:
            log.write(f"{text}{end}")
        self.lines += end == "\n"

    def time(self):
        return f"{self.now:%Y-%m-%dT%H:%M:%S.%f}000Z"

    def start(self, run=None):
        self.run = run or self.run
        self.lines, self._known = 0, set()
        self.mark("start", **self._about(), format=2, version="0.1.0", existing=0)

    def alive(self):
        self.mark("alive", **self._about(), seen=7, matched=5, lost=0)

    def stop(self):
        self.mark("stop", duration=60.0, seen=7, matched=5, lost=0, log_lines_lost=0)

    def mark(self, event, **values):
        """Writes a line about the run."""
        self.line(event, **values, lines=self.lines)

    def send(self, number=1, **changes):
        """Writes so many events, each with another number as its ``bytes``."""
        for _ in range(number):
            self._process(7)
            self.events += 1
            self.line("send", **(self.event() | changes))

    def rotate(self, compress=True):
        """Makes the log a backup; the run goes on in a new one."""
        numbers = [n for n in range(1, 1000) if self.backup(n)]
        for number in reversed(numbers):
            name = self.backup(number)
            name.rename(self._named(number + 1, ".gz" if name.suffix == ".gz" else ""))
        self.path.rename(self._named(1))
        self._known = set()
        self.alive()
        if compress:
            self.compress()

    def compress(self):
        """Compresses the youngest backup."""
        plain = self._named(1)
        self._named(1, ".gz").write_bytes(gzip.compress(plain.read_bytes(), 1))
        plain.unlink()

    def backup(self, number):
        """Returns a backup's path; None if there is none."""
        found = (self._named(number, suffix) for suffix in ("", ".gz"))
        return next((path for path in found if path.exists()), None)

    def _named(self, number, suffix=""):
        return self.path.with_name(f"{self.path.name}.{number}{suffix}")

    def _about(self):
        return {
            "host": {"name": self.host, "machine_id": "0" * 32, "boot_id": "b0"},
            "log": None, "probe": "fexit", "refused": {}, "blind_spots": ["a"],
            "received_of": "all", "filter": {"dst": ["10.0.0.0/8"]},
        }  # fmt: skip

    def _process(self, number):
        if number not in self._known:
            self._known.add(number)
            process = {"id": number, "pid": 100 + number, "comm": "curl", "exe": "/usr/bin/curl",
                       "args": ["curl", "-s"], "ppid": 1, "uid": 1000, "user": "ann",
                       "start_time": "2026-11-29T09:00:00.000000000Z",
                       "parents": [{"pid": 1, "comm": "init"}], "cgroup": "/a.slice",
                       "container": {"id": "c0", "runtime": "docker", "pod": None}}  # fmt: skip
            self.line("process", process=process)

    def event(self):
        """Returns what an event's line has."""
        return {
            "proto": "udp", "outcome": "sent", "error": None, "bytes": self.events, "count": 1,
            "process": {"id": 7, "pid": 107, "start_time": "2026-11-29T09:00:00.000000000Z",
                        "comm": "curl", "exe": "/usr/bin/curl", "args": ["curl", "-s"],
                        "parent": "job.sh", "uid": 1000, "user": "ann", "unit": "job.service",
                        "container": {"id": "c0"}},
            "dst": {"addr": "fd00::5" if self.events % 2 else "10.0.0.5", "port": 53},
            "via": "socket", "route": {"interface": "eth0", "source": "10.0.0.1"},
            "src": {"addr": "10.0.0.1", "port": 40001},
            "socket": {"cookie": 18, "netns": 4026531833},
        }  # fmt: skip
