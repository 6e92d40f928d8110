# SPDX-License-Identifier: Apache-2.0
"""The tools that scripts/benchmarks/detection.py compares: how each is started, and what it found
of a scenario."""

import importlib.util
import ipaddress
import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import detection_picosnitch
from detection_lab import Lab
from detection_score import Found, Truth
from detection_wire import LOOPBACK, PEER, PEER6
from tools import Tool

Finder = Callable[[Truth], Found]
_SOCKWATCH: Final = [sys.executable, "-m", "tracer"]


class Watcher(NamedTuple):
    """Starts a tool, which is then ready; what is called when it has ended reads what it said.
    ``flush`` is how many seconds it takes before all is written."""

    start: Callable[[Lab, Path], list[Tool]]
    read: Callable[[Path], Finder]
    flush: float = 0


def sockwatch(*options: str) -> Watcher:
    """As a user starts it: the addresses, no namespace."""

    def start(_lab: Lab, folder: Path) -> list[Tool]:
        ready = folder / "ready"
        argv = [*_SOCKWATCH, "-q", "--log", str(folder / "log"), "--log-max-size", "0", *options]
        for address in (PEER, PEER6, LOOPBACK):
            argv += ["--dst", address]
        return [Tool([*argv, "--ready-file", str(ready)], folder, ready, "\n")]

    return Watcher(start, _sockwatch_said)


def _sockwatch_said(folder: Path) -> Finder:
    argv = [*_SOCKWATCH, "report", str(folder / "log"), "--json", "--by", "process", "--by", "dst"]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    groups = [line for line in map(json.loads, done.stdout.splitlines()) if line.get("process")]

    def find(truth: Truth) -> Found:
        wanted = {(one["pid"], one["comm"]) for one in truth.processes}
        of_them = [one for one in groups if _who(one) in wanted]
        there = [one for one in of_them if one["dst"] == truth.address]
        return Found(
            len(set(map(_who, of_them))), len(set(map(_who, there))), bool(there),
            _sum(there, "bytes"), _sum(there, "bytes_received"),
        )  # fmt: skip

    return find


def _who(group: dict[str, Any]) -> tuple[int, str]:
    return group["process"]["pid"], group["process"]["comm"]


def _sum(groups: list[dict[str, Any]], key: str) -> int | None:
    """Of what was counted; None: nothing was."""
    counted = [group[key] for group in groups if group[key] is not None]
    return sum(counted) if counted else None


def nethogs() -> Watcher:
    """Its trace mode, with sums in bytes: frames' bytes, by process, without addresses."""

    def start(lab: Lab, folder: Path) -> list[Tool]:
        argv = lab.inside("client", "nethogs", "-t", "-a", "-C", "-v", "2", "-d", "1", "near", "lo")
        return [Tool(["stdbuf", "-oL", *argv], folder, folder / "out", "Refreshing")]

    return Watcher(start, _nethogs_said)


def _nethogs_said(folder: Path) -> Finder:
    most: dict[int, tuple[int, int]] = {}
    for line in (folder / "out").read_text(errors="replace").splitlines():
        name, *sums = line.split("\t")
        if len(sums) == 2 and name.count("/") >= 2:
            pid = int(name.rsplit("/", 2)[1])
            sent, received = (int(float(number)) for number in sums)
            before = most.get(pid, (0, 0))
            most[pid] = max(before[0], sent), max(before[1], received)

    def find(truth: Truth) -> Found:
        of_them = [most[one["pid"]] for one in truth.processes if one["pid"] in most]
        sent, received = (
            (sum(way) for way in zip(*of_them, strict=True)) if of_them else (None, None)
        )
        return Found(len(of_them), 0, False, sent, received)

    return find


class Packet(NamedTuple):
    """Of a capture: when, from where to where, and bytes below TCP, UDP, ICMP or SCTP."""

    time: float
    src: str
    dst: str
    payload: int


def tcpdump() -> Watcher:
    """The packets of both devices: addresses, no process."""

    def start(lab: Lab, folder: Path) -> list[Tool]:
        tools = []
        for device in ("near", "lo"):
            place = folder / device
            place.mkdir()
            argv = lab.inside("client", "tcpdump", "-n", "-i", device, "-s", "128", "-B", "32768")
            argv += ["-Z", "root", "-w", str(place / "packets")]
            tools.append(Tool([*argv, "ip", "or", "ip6"], place, place / "errors", "listening"))
        return tools

    return Watcher(start, _tcpdump_said)


def _tcpdump_said(folder: Path) -> Finder:
    packets = [
        one for device in ("near", "lo") for one in read_capture(folder / device / "packets")
    ]

    def find(truth: Truth) -> Found:
        then = [one for one in packets if truth.since <= one.time <= truth.until]
        sent = [one.payload for one in then if one.dst == truth.address]
        received = [one.payload for one in then if one.src == truth.address]
        if truth.address == LOOPBACK:  # both ends are this address: which is which?
            sent, received = [], [*sent]
        return Found(0, 0, bool(sent or received), sum(sent), sum(received))

    return find


def read_capture(path: Path) -> Iterator[Packet]:
    """Of an Ethernet device, pcap-savefile(5)."""
    raw, at = path.read_bytes(), 24
    while at + 16 <= len(raw):
        seconds, micros, captured, _ = struct.unpack_from("=4I", raw, at)
        frame = raw[at + 30 : at + 16 + captured]
        at += 16 + captured
        yield _packet(seconds + micros / 1e6, frame)


def _packet(time: float, ip: bytes) -> Packet:
    """Without options of IPv6, which nobody sends here."""
    if ip[0] >> 4 == 4:
        head, length, proto, ends = 4 * (ip[0] & 15), int.from_bytes(ip[2:4]), ip[9], ip[12:20]
    else:
        head, length, proto, ends = 40, 40 + int.from_bytes(ip[4:6]), ip[6], ip[8:40]
    below = {6: lambda: 4 * (ip[head + 12] >> 4), 17: lambda: 8, 1: lambda: 8, 132: lambda: 12}
    header = below[proto]() if proto in below else 0
    half = len(ends) // 2
    src, dst = (str(ipaddress.ip_address(end)) for end in (ends[:half], ends[half:]))
    return Packet(time, src, dst, length - head - header)


def picosnitch() -> Watcher:
    """Names of processes, and addresses."""
    return Watcher(
        detection_picosnitch.start, lambda _: detection_picosnitch.find, detection_picosnitch.FLUSH
    )


TOOLS: Final = ("sockwatch", "nethogs", "tcpdump", "picosnitch")


def watchers(names: Sequence[str], probe: str) -> dict[str, Watcher]:
    """Those of them that are installed, by name."""
    known = {"nethogs": nethogs(), "tcpdump": tcpdump(), "picosnitch": picosnitch()}
    known["sockwatch"] = sockwatch("--probe", probe)
    return {name: known[name] for name in names if _is_installed(name)}


def _is_installed(name: str) -> bool:
    if name in ("nethogs", "tcpdump"):
        return shutil.which(name) is not None
    return name == "sockwatch" or importlib.util.find_spec(name) is not None
