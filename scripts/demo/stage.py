# SPDX-License-Identifier: Apache-2.0
"""A small network to watch: two network namespaces that lead nowhere else, a server at 10.0.0.5 in
one of them and its clients in the other. Needs root."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

CLIENTS: Final = "swdemo"
SERVERS: Final = "swdemo-servers"
ADDRESS: Final = "10.0.0.5"
PROGRAMS: Final = Path(__file__).parent / "programs"
NOBODY: Final = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")

_DEADLINE: Final = 60  # seconds for one thing here, also under emulation
_MAKE: Final = (
    f"netns add {CLIENTS}",
    f"netns add {SERVERS}",
    f"link add eth0 netns {CLIENTS} type veth peer name eth0 netns {SERVERS}",
    f"-n {CLIENTS} addr add 10.0.0.1/24 dev eth0",
    f"-n {SERVERS} addr add {ADDRESS}/24 dev eth0",
    f"-n {CLIENTS} link set eth0 up",
    f"-n {SERVERS} link set eth0 up",
    f"-n {CLIENTS} link set lo up",
    f"-n {SERVERS} link set lo up",
)


@contextlib.contextmanager
def network() -> Iterator[None]:
    """Makes both namespaces, and removes them at the end. Raises CalledProcessError."""
    try:
        for words in _MAKE:
            subprocess.run(["ip", *words.split()], check=True, timeout=_DEADLINE)
        yield
    finally:
        for name in (CLIENTS, SERVERS):
            subprocess.run(["ip", "netns", "del", name], check=False, timeout=_DEADLINE)


@contextlib.contextmanager
def service(unit: str, *command: str, place: str = CLIENTS) -> Iterator[IO[bytes]]:
    """Runs a command in one of the namespaces, in the cgroup that systemd would make for its unit,
    and without a parent, as systemd would. Gives its output, and ends it at the end."""
    folder = _cgroup2() / "system.slice" / unit
    folder.mkdir(parents=True)
    inside = ("nsenter", f"--net=/run/netns/{place}", *command)
    start = subprocess.Popen(
        ["sh", "-c", f'echo 0 > {folder}/cgroup.procs; "$@" & exit', "-", *inside],
        cwd=PROGRAMS,
        env={**os.environ, "SERVER": ADDRESS},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with start:
        try:
            assert start.stdout
            yield start.stdout
        finally:
            _end_all(folder)
            folder.rmdir()
            with contextlib.suppress(OSError):  # another unit is still there
                folder.parent.rmdir()


def _end_all(folder: Path) -> None:
    """Ends all processes of a cgroup, and waits for that."""
    deadline = time.monotonic() + _DEADLINE
    while pids := (folder / "cgroup.procs").read_text().split():
        if time.monotonic() > deadline:
            raise SystemExit(f"picture: {folder} does not end: {pids}")
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.05)


def _cgroup2() -> Path:
    for line in Path("/proc/mounts").read_text().splitlines():
        _, folder, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(folder)
    raise SystemExit("picture: no cgroup v2 is mounted here")
