# SPDX-License-Identifier: Apache-2.0
"""Simulated hosts: the logs that tracers would have written there, in format 2.

Each host has services, which run on, and jobs, of which a new process begins every few hours. Three
of five times a program opens a TCP connection (an attempt, its outcome, a close, and now and then a
volume), else it asks a DNS server or sends a metric. Some destinations are everybody's.
"""

import errno
import random
from collections.abc import Iterator
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

from tracer.clock import WallClock
from tracer.model.address import Address
from tracer.model.fields import Rendering
from tracer.model.flow import Endpoint, EventKind, Flow, Moved, Route, SocketDetails, Via
from tracer.model.process import Container, Parent, Process
from tracer.trace.event import Event, TrackedFlow
from tracer.trace.jsonl import JsonLines
from tracer.trace.line import ProcessLines
from tracer.trace.streams import Stream

SECOND: Final = 1_000_000_000  # nanoseconds
DAY: Final = 86_400 * SECOND
SERVICES: Final = 30
JOBS: Final = 10
JOB_EVERY: Final = DAY // 4
DESTINATIONS: Final = 4000  # of all hosts
OF_A_SERVICE: Final = 12  # destinations
EVENTS_EACH: Final = 2.31  # of a conversation, on average
NAMES: Final = ("nginx", "postgres", "redis-server", "java", "python3", "node", "php-fpm", "beam",
                "haproxy", "envoy", "prometheus", "vector", "exim4", "chronyd", "sshd")  # fmt: skip
RESOLVER: Final = Endpoint(ip_address("10.0.0.53"), 53)
METRICS: Final = Endpoint(ip_address("10.0.0.9"), 8125)
NETNS: Final = 4026531840
AT_ONCE: Final = 512  # events; then there is a line about the run


class Host(NamedTuple):
    """A host and the day that its log is about, which begins at ``begin``: seconds since 1970."""

    number: int
    begin: int

    @property
    def name(self) -> str:
        """Returns its name; what multiplies the rows goes by the number in it."""
        return f"host{self.number}"

    @property
    def address(self) -> Address:
        """Returns its own address."""
        return ip_address(0x0A010000 + self.number)


class _Clock(WallClock):
    """A clock of the simulated time."""

    def __init__(self, begin: int) -> None:
        self._begin = begin
        super().__init__()

    def measure(self) -> None:
        """Does not look."""
        self._offset = self._begin * SECOND
        self._since, self._offsets = [0], [self._offset]


def write(path: Path, host: Host, number: int) -> int:
    """Writes a log with about so many events. Returns how many lines it has."""
    clock = _Clock(host.begin)
    rendering = Rendering(f"{0x3F9A1C2B5D6E7000 + host.number:016x}", clock.iso_start)
    about = _about(host)
    with path.open("w") as log:
        stream = Stream(log.write, lambda: 0)
        lines = JsonLines(clock, rendering, ProcessLines(rendering), None, [stream])
        lines.mark("start", 0, {"format": 2, "version": "0.1.0", **about, "existing": 0})
        events = sorted(
            (event for event in _events(host, number) if event.time < DAY),
            key=lambda event: event.time,
        )
        for at in range(0, len(events), AT_ONCE):
            batch = events[at : at + AT_ONCE]
            lines.write(batch)
            counts = {"seen": 3 * at, "matched": at, "existing": 0, "undecided": 0, "lost": 0}
            lines.mark("alive", batch[-1].time, {**about, **counts})
        return stream.lines


def _about(host: Host) -> dict[str, object]:
    return {
        "host": {"name": host.name, "machine_id": f"{host.number:032x}",
                 "boot_id": f"5d1c9f6e-7a43-4c1b-9e2f-{host.number:012x}"},
        "log": {"keep": 2 << 30, "keep_days": 30}, "probe": "fexit", "refused": {},
        "blind_spots": ["packets that a program of XDP sends"], "received_of": "all",
        "filter": {"dst": ["10.0.0.0/8", "fd00::/8"]},
    }  # fmt: skip


def _events(host: Host, number: int) -> Iterator[Event]:
    """Yields about so many events, in no order."""
    rng = random.Random(host.number)
    cookies = count(10_000)
    services = [_Service(host, which, rng) for which in range(SERVICES + JOBS)]
    weights = [1 / (1 + which % SERVICES) for which in range(SERVICES + JOBS)]
    for _ in range(int(number / EVENTS_EACH)):
        (service,) = rng.choices(services, weights)
        yield from service.talks(rng.randrange(DAY), next(cookies), rng)


class _Service:
    """A program of a host."""

    def __init__(self, host: Host, which: int, rng: random.Random) -> None:
        self.known = [_destination(_popular(rng)) for _ in range(OF_A_SERVICE)]
        self._host = host
        self._which = which
        self._metrics: TrackedFlow | None = None

    def talks(self, when: int, cookie: int, rng: random.Random) -> Iterator[Event]:
        """Yields the events of a conversation."""
        kind = rng.random()
        if kind < 0.6:
            yield from self.connects(when, cookie, rng)
        elif kind < 0.85:
            tracked = self._flow(EventKind.SEND, when, cookie, RESOLVER, rng, "udp")
            yield Event(when, when, 1, rng.randrange(28, 90), 0, 0, 1, 0, tracked)
        else:
            if self._metrics is None or self._is_job:
                details = _details(cookie, "UNCONN")
                flow = self._flow(EventKind.SEND, when, cookie, METRICS, rng, "udp", details)
                self._metrics = flow
            times = rng.choice((1, 1, 1, 4, 30))
            size = times * rng.randrange(40, 400)
            last = when + (times - 1) * 3_000_000
            yield Event(when, last, times, size, 0, 0, 1, 0, self._metrics)

    def connects(self, when: int, cookie: int, rng: random.Random) -> Iterator[Event]:
        """Yields the events of a connection."""
        dst = rng.choice(self.known)
        took = rng.randrange(100_000, 30_000_000)
        sent, received = rng.randrange(100, 5000), int(10 ** rng.uniform(2, 6))
        tracked = self._flow(EventKind.CONNECT, when, cookie, dst, rng)
        yield Event(when, when, 1, 0, 0, 0, 1, 0, tracked)
        if rng.random() < 0.05:
            error = rng.choice((errno.ECONNREFUSED, errno.ETIMEDOUT, errno.EHOSTUNREACH))
            failed = self._flow(EventKind.CONNECT_FAILED, when, cookie, dst, rng)
            yield Event(when + took, when + took, 1, 0, 0, took, 1, error, failed)
            return
        details = _details(cookie, "ESTAB")
        tracked = self._flow(EventKind.CONNECTED, when, cookie, dst, rng, details=details)
        yield Event(when + took, when + took, 1, 0, 0, took, 1, 0, tracked)
        lasts = took + int(10 ** rng.uniform(7, 11))
        since = Moved(sent, received)
        if lasts > 10 * SECOND:
            tracked = self._flow(EventKind.VOLUME, when, cookie, dst, rng, details=details)
            at = when + 10 * SECOND
            yield Event(at, at, 0, sent, received, 0, 1, 0, tracked)
            since = Moved(0, 0)
        tracked = self._flow(EventKind.CLOSE, when, cookie, dst, rng)
        end = when + lasts
        yield Event(end, end, 1, sent, received, lasts, 1, 0, tracked, since)

    @property
    def _is_job(self) -> bool:
        return self._which >= SERVICES

    def _flow(
        self, kind: EventKind, when: int, cookie: int, dst: Endpoint, rng: random.Random,
        proto: str = "tcp", details: SocketDetails | None = None,
    ) -> TrackedFlow:  # fmt: skip
        address = self._host.address
        if dst.addr and dst.addr.version == 6:
            address = ip_address(f"fd01::{self._host.number:x}")
        port = None if kind is EventKind.CONNECT else 32_768 + cookie * 7 % 28_000
        return TrackedFlow(
            Flow(
                kind=kind, proto=proto, via=Via.SOCKET, process=self._process(when),
                src=Endpoint(address, port), dst=dst, cookie=cookie, netns=NETNS, interface=None,
                details=details, route=Route("eth0", ip_address("10.1.0.1"), address),
                closed=kind is EventKind.CLOSE and rng.random() < 0.8,
            ),
            None,
        )  # fmt: skip

    def _process(self, when: int) -> Process:
        """Returns the process that there is at a time: a job's is another one each time."""
        which, turn = self._which, when // JOB_EVERY if self._is_job else 0
        name = "python3" if self._is_job else NAMES[which % len(NAMES)]
        what = f"job-{which}" if self._is_job else f"{name}-{which}"
        unit = f"{what}.service"
        exe = "/usr/bin/python3.11" if self._is_job else f"/usr/sbin/{name}"
        pid = 600 + which * 7 + turn * 211
        args = (
            ("python3", f"/opt/jobs/{what}.py", "--once")
            if self._is_job
            else (f"/usr/sbin/{name}", "--config", f"/etc/{what}/{name}.conf", "--workers", "4")
        )
        container = Container(f"{which:04x}" * 16, "docker", None) if which % 5 == 4 else None
        return Process(
            pid=pid, tid=pid, comm=name[:15], thread=name[:15], exe=exe, args=args,
            ppid=1, uid=100 + which, user=f"svc{which}",
            start_time=turn * JOB_EVERY + which * SECOND,
            cgroup=f"/system.slice/{unit}", units=(unit,), netns=NETNS, pidns=4026531836,
            pidns_pid=pid, initial_pid=pid, exe_here=True, mntns=4026531841, container=container,
            parents=(Parent(1, "systemd", "/usr/lib/systemd/systemd", exe_here=True),),
        )  # fmt: skip


def _details(cookie: int, state: str) -> SocketDetails:
    return SocketDetails(90_000 + cookie * 3, state, None, None, None)


def _popular(rng: random.Random) -> int:
    """Returns a destination's number; the low ones are most hosts'."""
    return int(DESTINATIONS ** rng.random()) - 1


def _destination(number: int) -> Endpoint:
    """Returns a destination; each tenth has IPv6."""
    port = (443, 5432, 6379, 9092, 443, 8080, 3306, 443)[number % 8]
    if number % 10 == 9:
        return Endpoint(ip_address(f"fd00::{number:x}"), port)
    return Endpoint(ip_address(0x0A000000 + number), port)
