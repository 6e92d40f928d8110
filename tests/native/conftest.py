# SPDX-License-Identifier: Apache-2.0
"""A tracer, traffic, and network namespaces of our own: the parts of the kernel tests."""

import contextlib
import itertools
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.cases import PROBE_NAMES
from tests.logs import lines_of

GENERATOR = Path(__file__).parents[1] / "generator.py"
OUTSIDER = Path(__file__).parents[1] / "outsider.py"
TALKER = Path(__file__).parents[1] / "talker.py"
WAYS = Path(__file__).parents[1] / "ways.py"
VERIFIED = pytest.StashKey[dict[str, Any]]()
# seconds for anything here, also under emulation
DEADLINE = int(os.environ.get("SOCKWATCH_DEADLINE", "180"))

# what the generator says of an event, where the log has it
LOG_PATHS = {
    "event": ("event",),
    "proto": ("proto",),
    "outcome": ("outcome",),
    "bytes": ("bytes",),
    "error": ("error",),
    "segments": ("segments",),
    "bytes_received": ("bytes_received",),
    "via": ("via",),
    "pid": ("process", "pid"),
    "tid": ("process", "tid"),
    "ppid": ("process", "ppid"),
    "uid": ("process", "uid"),
    "comm": ("process", "comm"),
    "thread": ("process", "thread"),
    "sport": ("src", "port"),
    "dst": ("dst", "addr"),
    "dport": ("dst", "port"),
    "hop": ("dst", "hop"),
    "icmp_type": ("icmp", "type"),
    "icmp_code": ("icmp", "code"),
    "nat_src": ("nat", "src", "addr"),
    "nat_sport": ("nat", "src", "port"),
    "nat_dst": ("nat", "dst", "addr"),
    "nat_dport": ("nat", "dst", "port"),
    "closed_by": ("closed_by",),
    "opener": ("opened_by", "pid"),
}


BASIC = ("event", "outcome", "error", "pid", "comm", "sport", "dst", "dport", "bytes")


@pytest.fixture(autouse=True, scope="session")
def _needs_root() -> None:
    assert os.getuid() == 0, "the kernel tests need root"


def refusal(probe: str) -> str | None:
    """Why the kernel does not take this probe; None if it does."""
    argv = sockwatch("--probe", probe, "--no-log", "--duration", "0", "-p", "1")
    tried = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=DEADLINE)
    return tried.stderr if tried.returncode else None


@pytest.fixture(scope="session")
def refusals() -> dict[str, str | None]:
    """Of each probe. SOCKWATCH_PROBES names the ones that the kernel must take; without it, they
    are tried."""
    wanted = os.environ.get("SOCKWATCH_PROBES", "").split()
    if wanted:
        return {probe: None if probe in wanted else "not asked for" for probe in PROBE_NAMES}
    found = {probe: refusal(probe) for probe in PROBE_NAMES}
    assert None in found.values(), found
    return found


@pytest.fixture(scope="session")
def best_probe(refusals: dict[str, str | None]) -> str:
    """What ``auto`` must take."""
    return next(probe for probe in PROBE_NAMES if not refusals[probe])


@pytest.fixture(scope="session")
def verified(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What tests/verify.py said of each probe, for the terminal's summary."""
    found: dict[str, Any] = {}
    request.config.stash[VERIFIED] = found
    return found


@dataclass
class Run:
    """A tracer that has ended: what it wrote."""

    status: int
    out: str
    err: str
    log: Path
    lines: list[dict[str, Any]] = field(default_factory=list)

    @property
    def events(self) -> list[dict[str, Any]]:
        """What happened, apart from what was there before, and what flows moved."""
        other = ("start", "stop", "existing", "volume", "receive", "alive", "lost", "netns")
        return [line for line in self.lines if line["event"] not in other]

    @property
    def existing(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == "existing"]

    @property
    def volumes(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == "volume"]

    @property
    def receives(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == "receive"]

    @property
    def stop(self) -> dict[str, Any]:
        return next(line for line in self.lines if line["event"] == "stop")

    @property
    def answer(self) -> list[str]:
        """The rows at the end of standard output."""
        lines = self.out.splitlines()
        headers = [at for at, line in enumerate(lines) if line.split()[:1] == ["PID"]]
        return lines[headers[-1] + 1 :] if headers else []


@dataclass
class Tracer:
    """A running tracer."""

    process: subprocess.Popen[str]
    log: Path
    run: Run | None = None

    def finish(self, number: int | None = signal.SIGINT) -> Run:
        """Ends it (None: waits until it ends by itself)."""
        if number is not None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=DEADLINE)
        lines = lines_of(self.log) if self.log.exists() else []
        self.run = Run(self.process.returncode, out, err, self.log, lines)
        return self.run


@contextlib.contextmanager
def stopped(tracer: Tracer) -> Iterator[None]:
    """It looks at what happens meanwhile only once all of it has."""
    tracer.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        tracer.process.send_signal(signal.SIGCONT)


def sockwatch(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "tracer", *map(str, arguments)]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Tracer]]:
    """Starts a tracer with the given options and returns when everything is attached."""
    with starting(tmp_path) as start_one:
        yield start_one


@contextlib.contextmanager
def starting(tmp_path: Path) -> Iterator[Callable[..., Tracer]]:
    with contextlib.ExitStack() as cleanup:

        def start_one(
            *arguments: str, command: list[str] | None = None, merged: bool = False
        ) -> Tracer:
            """``merged``: a flow that has many events has fewer lines, as without --log-each."""
            number = len(list(tmp_path.glob("ready*")))
            ready, log = tmp_path / f"ready{number}", tmp_path / f"log{number}.jsonl"
            argv = [*(command or sockwatch()), *arguments, "--ready-file", str(ready)]
            if "--no-log" not in arguments and "--log" not in arguments:
                argv += ["--log", str(log)]
            if not merged:
                argv.append("--log-each")
            process = subprocess.Popen(
                argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            cleanup.callback(process.stdout.close)
            cleanup.callback(process.stderr.close)
            cleanup.callback(process.wait)
            cleanup.callback(process.kill)
            wait_for(lambda: ready.exists() or process.poll() is not None)
            assert ready.exists(), process.communicate()[1]
            return Tracer(process, log)

        yield start_one


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


@dataclass(frozen=True)
class Namespaces:
    """Two joined by a veth pair: ``near`` has 10.0.0.1 and fd00::1, ``far`` 10.0.0.5, fd00::5."""

    near: str
    far: str
    lacks: set[str] = field(default_factory=set)  # devices and queues that this kernel cannot make


def ip(*arguments: str) -> str:
    return subprocess.run(
        ["ip", *arguments], check=True, capture_output=True, text=True, timeout=DEADLINE
    ).stdout


def add_link(netns: str, *arguments: str) -> None:
    """Makes a network device; skips the test where this kernel has no such kind."""
    if not has_link(netns, *arguments):
        pytest.skip(f"this kernel cannot make a device of type {arguments}")


def has_link(netns: str, *arguments: str) -> bool:
    """Makes a network device; False: this kernel has no such kind."""
    made = subprocess.run(
        ["ip", "-n", netns, "link", "add", *arguments], check=False, capture_output=True, text=True
    )
    if "Unknown device type" in made.stderr or "Operation not supported" in made.stderr:
        return False
    assert made.returncode == 0, made.stderr
    return True


def has_queue(netns: str, device: str, *queue: str) -> bool:
    """Gives a device a queue; False: this kernel has no such kind."""
    words = ["tc", "-n", netns, "qdisc", "replace", "dev", device, "root", *queue]
    made = subprocess.run(words, check=False, capture_output=True, text=True)
    assert made.returncode == 0 or "kind is unknown" in made.stderr, made.stderr
    return made.returncode == 0


MAC = "02:00:00:00:00:05"


def add_stacked_devices(netns: str) -> set[str]:
    """Devices that hand packets on: a macvlan with a queue (to 10.1.0.5), a bridge that sends on
    two ports (10.4.0.5), and one whose packets are redirected (10.3.0.5), copied (10.3.0.6), or
    redirected by way of an ifb (10.3.0.7); a VLAN (10.5.0.5). Returns what this kernel lacks."""
    for name in ("left", "right", "port", "other"):
        ip("-n", netns, "link", "add", name, "type", "veth", "peer", f"{name}-far")
    add_link(netns, "above", "link", "near", "type", "macvlan", "mode", "bridge")
    add_link(netns, "bridge", "type", "bridge")
    add_link(netns, "through", "type", "ifb")
    for name in ("port", "other"):
        ip("-n", netns, "link", "set", name, "master", "bridge")
    has_vlan = has_link(netns, "tagged", "link", "near", "type", "vlan", "id", "5")
    for name in ("left", "right", "port", "other"):
        ip("-n", netns, "link", "set", name, "up")
        ip("-n", netns, "link", "set", f"{name}-far", "up")
    tagged = [(5, "tagged")] if has_vlan else []
    for number, name in ((1, "above"), (4, "bridge"), (3, "left"), *tagged):
        ip("-n", netns, "addr", "add", f"10.{number}.0.1/24", "dev", name)
        ip("-n", netns, "link", "set", name, "up")
        for last in (5, 6, 7):
            ip("-n", netns, "neigh", "add", f"10.{number}.0.{last}", "lladdr", MAC, "dev", name)
    ip("-n", netns, "link", "set", "through", "up")
    redirect = (
        "tc filter add dev left egress protocol ip u32 match ip dst 10.3.0.{}/32 "
        "action mirred egress {} dev {}"
    )
    for words in (
        "tc qdisc replace dev above root tbf rate 1mbit burst 3000 limit 100000",
        "tc qdisc add dev left clsact",
        redirect.format(5, "redirect", "right"),
        redirect.format(6, "mirror", "right"),
        redirect.format(7, "redirect", "through"),
    ):
        ip("netns", "exec", netns, *words.split())
    return set() if has_vlan else {"vlan"}


def add_paced_device(netns: str) -> set[str]:
    """A macvlan whose queue lets packets go late (to 10.6.0.5): often another process's packet is
    there before the queue's timer. Returns what this kernel lacks."""
    add_link(netns, "paced", "link", "near", "type", "macvlan", "mode", "bridge")
    ip("-n", netns, "addr", "add", "10.6.0.1/24", "dev", "paced")
    ip("-n", netns, "link", "set", "paced", "up")
    ip("-n", netns, "neigh", "add", "10.6.0.5", "lladdr", MAC, "dev", "paced")
    return set() if has_queue(netns, "paced", "fq", "timer_slack", "100ms") else {"fq"}


@pytest.fixture(params=PROBE_NAMES)
def probe(request: pytest.FixtureRequest, refusals: dict[str, str | None]) -> str:
    """Each that this kernel takes."""
    name: str = request.param
    refused = refusals[name]
    if refused:
        pytest.skip(f"this kernel refuses {name}: {refused.strip()}")
    return name


def load_tun() -> set[str]:
    """Makes /dev/net/tun. Returns what this kernel lacks."""
    subprocess.run(["modprobe", "-q", "tun"], check=False)
    return set() if Path("/dev/net/tun").exists() else {"tun"}


@pytest.fixture
def namespaces() -> Iterator[Namespaces]:
    with two_namespaces() as made:
        yield made


@contextlib.contextmanager
def two_namespaces() -> Iterator[Namespaces]:
    near, far = f"swnear{os.getpid()}", f"swfar{os.getpid()}"
    with contextlib.ExitStack() as cleanup:
        for name in (near, far):
            ip("netns", "add", name)
            cleanup.callback(ip, "netns", "del", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("link", "add", "near", "netns", near, "type", "veth", "peer", "far", "netns", far)
        for name, device, number in ((near, "near", 1), (far, "far", 5)):
            ip("-n", name, "addr", "add", f"10.0.0.{number}/24", "dev", device)
            ip("-n", name, "addr", "add", f"fd00::{number}/64", "dev", device, "nodad")
            ip("-n", name, "link", "set", device, "up")
        assert "10.0.0.5/" in ip("-n", far, "-4", "addr", "show", "dev", "far")
        yield Namespaces(near, far)


@contextlib.contextmanager
def two_links() -> Iterator[Namespaces]:
    """Two namespaces joined by two links, d0 and d1 in ``near``: it has fe80::70 and 10.90.0.1 on
    d0, fe80::71 and 10.91.0.1 on d1; ``far`` has fe80::99 on both, 10.90.0.2 and 10.91.0.2."""
    near, far = f"swnear2{os.getpid()}", f"swfar2{os.getpid()}"
    with contextlib.ExitStack() as cleanup:
        for name in (near, far):
            ip("netns", "add", name)
            cleanup.callback(ip, "netns", "del", name)
            ip("-n", name, "link", "set", "lo", "up")
        for link in (0, 1):
            peer = f"p{link}"
            ip("link", "add", f"d{link}", "netns", near, "type", "veth", "peer", peer, "netns", far)
            for name, device, local, number in (
                (near, f"d{link}", f"fe80::7{link}", 1), (far, peer, "fe80::99", 2)
            ):  # fmt: skip
                ip("-n", name, "link", "set", device, "addrgenmode", "none")
                ip("-n", name, "link", "set", device, "up")
                ip("-n", name, "addr", "add", f"{local}/64", "dev", device, "nodad")
                ip("-n", name, "addr", "add", f"10.9{link}.0.{number}/24", "dev", device)
        yield Namespaces(near, far)


@contextlib.contextmanager
def ways(netns: str, wanted: Iterable[tuple[str, str, int]]) -> Iterator[None]:
    """Runs tests/ways.py in a namespace of ours, until the block ends: (way, destination, port)."""
    argv = [f"{way},{addr},{port}" for way, addr, port in wanted]
    process = subprocess.Popen(
        ["ip", "netns", "exec", netns, sys.executable, str(WAYS), *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "sent\n"
        yield
    finally:
        process.communicate(timeout=DEADLINE)


def generate_start(*arguments: str, netns: str | None = None) -> subprocess.Popen[str]:
    """Starts the generator."""
    argv = _sender(GENERATOR, *arguments, netns=netns)
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def _sender(program: Path, *arguments: str, netns: str | None) -> list[str]:
    """Only a namespace of ours may send elsewhere than to loopback."""
    assert netns or arguments[1].startswith("127.") or arguments[1] == "::1"
    inside = ["ip", "netns", "exec", netns] if netns else []
    return [*inside, sys.executable, str(program), *arguments]


class Talker:
    """A running tests/talker.py; ``said`` is which socket it has."""

    def __init__(self, *arguments: str, netns: str | None) -> None:
        self._process = subprocess.Popen(
            _sender(TALKER, *arguments, netns=netns),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self._process.stdout.readline()
        assert line, "a talker could not start"
        self.said = json.loads(line)

    def talk(self) -> None:
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline()

    def end(self) -> None:
        self._process.communicate(timeout=DEADLINE)


@contextlib.contextmanager
def talking(*arguments: str, netns: str | None = None) -> Iterator[Talker]:
    talker = Talker(*arguments, netns=netns)
    try:
        yield talker
    finally:
        talker.end()


class Outsider:
    """A running tests/outsider.py."""

    def __init__(self, netns: str, *arguments: str) -> None:
        argv = ["ip", "netns", "exec", netns, sys.executable, str(OUTSIDER), *arguments]
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "ready\n"

    def send(self, proto: str, count: int, dst: str = "10.0.0.5") -> None:
        self.process.stdin.write(f"{proto} {dst} {count}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "sent\n"

    def end(self) -> None:
        self.process.communicate(timeout=DEADLINE)


@contextlib.contextmanager
def outsider(netns: str, *arguments: str) -> Iterator[Outsider]:
    if arguments[0] != "past" and load_tun():
        pytest.skip("this kernel has no tun")
    found = Outsider(netns, *arguments)
    try:
        yield found
    finally:
        found.end()


def generate_end(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    out, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    return list(map(json.loads, out.splitlines()))


def generate(*arguments: str, netns: str | None = None) -> list[dict[str, Any]]:
    """Runs the generator; what it says that it sent."""
    return generate_end(generate_start(*arguments, netns=netns))


def as_truth(event: dict[str, Any], keys: Any) -> dict[str, Any]:
    """The log's line in the generator's words."""
    found = {}
    for key in keys:
        value: Any = event
        for step in LOG_PATHS[key]:
            value = value.get(step) if value is not None else None
        found[key] = value
    return found


def order(line: dict[str, Any]) -> tuple[int, int]:
    return line.get("pid") or 0, line.get("tid") or 0


def assert_events(events: list[dict[str, Any]], truth: list[dict[str, Any]]) -> None:
    """Every event that was made is there, once, and no other; in order for each thread."""
    wanted = [{key: line[key] for key in line if key in LOG_PATHS} for line in truth]
    wanted.sort(key=order)
    ordered = sorted(events, key=lambda event: order(event["process"] or {}))
    keys = itertools.chain(wanted, itertools.repeat(BASIC))
    found = [as_truth(event, line) for event, line in zip(ordered, keys, strict=False)]
    assert found == wanted


def assert_same(run: Run, truth: list[dict[str, Any]]) -> None:
    """The run saw what was sent, and nothing else."""
    assert truth
    assert_events(run.events, truth)
    assert run.stop["lost"] == 0


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Under another kernel, where all is slow, leaves out what is marked native."""
    if not os.environ.get("SOCKWATCH_PROBES"):
        return
    left_out = [item for item in items if item.get_closest_marker("native")]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """For tests/coverage.py: where this was, how much work each program was for the verifier, and,
    where a kernel must take its probes, what became of each case."""
    release = platform.freedesktop_os_release()
    terminalreporter.write_line(f"KERNEL {os.uname().release}")
    terminalreporter.write_line(f"RELEASE {release['PRETTY_NAME']}, {platform.machine()}")
    terminalreporter.write_line(f"PYTHON {platform.python_version()}")
    for probe, said in config.stash.get(VERIFIED, {}).items():
        terminalreporter.write_line(f"COMPILER {said['compiler']}")
        for function, instructions in said["programs"].items():
            terminalreporter.write_line(f"VERIFIED {probe} {function} {instructions}")
    if not os.environ.get("SOCKWATCH_PROBES"):
        return
    for status in ("passed", "skipped", "failed", "error"):
        for report in terminalreporter.stats.get(status, []):
            _, found, case = report.nodeid.partition("test_case[")
            if found and report.when in ("call", "setup"):
                reason = report.longrepr[2].removeprefix("Skipped: ") if report.skipped else ""
                terminalreporter.write_line(f"CASE {case.rstrip(']')} {status} {reason}".rstrip())
