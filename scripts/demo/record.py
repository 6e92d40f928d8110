# SPDX-License-Identifier: Apache-2.0
"""Runs sockwatch in a terminal while the network of stage.py is busy, and writes what the terminal
got: a line of JSON for each command, with ``command``, ``columns`` and ``output``. Needs root, and
only the packages that sockwatch needs, so that it runs in the guests of scripts/vm, too."""

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final, NamedTuple

import stage

SIZE: Final = (40, 110)  # lines, columns
_ROOT: Final = Path(__file__).parents[2]
_WATCHING: Final = b"watching"  # what sockwatch says when all is attached
_CTRL_C: Final = b"\x03"
_DEADLINE: Final = 600  # seconds for one command, also under emulation


class Job(NamedTuple):
    """A command to record. ``during`` is called once it watches; Ctrl-C ends it then."""

    command: str
    during: Callable[[], None] | None = None


def night() -> None:
    """Lets the clients do what they do at night."""
    with stage.service("backup.service", "./nightly.sh") as output:
        output.read()
    time.sleep(2)


JOBS: Final = (
    Job("sockwatch --dst 10.0.0.5", night),  # docs/picture.svg
    Job("sockwatch --dst 10.0.0.5:53 -q --duration 5m"),
    Job("sockwatch sockets --port 5432"),
    Job("sockwatch sockets --dst 10.0.0.5"),
    Job("sockwatch report --since 1h --sort bytes --top 3"),
    Job("sockwatch sockets --dst 10.0.0.5:5432"),
    Job("sockwatch --unit backup.service -q", night),
    Job("sockwatch prove --dst 10.0.0.6 --duration 30"),
    Job("sockwatch prove --dst 10.0.0.5 --duration 10"),
)


def main() -> None:
    """Records all jobs."""
    if len(sys.argv) == 1:
        _restart_privately()
    subprocess.run(["mount", "-t", "tmpfs", "picture", "/var/log"], check=True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(stage.network())
        server = stage.service("office.service", "python3", "server.py", place=stage.SERVERS)
        _wait(stack.enter_context(server))
        shop = stage.service("shop.service", *stage.NOBODY, "python3", "shop.py")
        _wait(stack.enter_context(shop))
        picture, *others = JOBS
        _write(picture)
        cron = stage.service("cron.service", "./cronjob.sh")
        _wait(stack.enter_context(cron))
        for job in others:
            _write(job)


def _write(job: Job) -> None:
    """Records a job, and writes its line."""
    print(f"picture: {job.command}", file=sys.stderr, flush=True)
    output = recorded(job).decode()
    line = {"command": job.command, "columns": SIZE[1], "output": output}
    print(json.dumps(line), flush=True)


def _restart_privately() -> None:
    """Goes on in a mount namespace of its own, where the default log is an empty one."""
    again = [sys.executable, __file__, "--private"]
    os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", *again])


def _wait(output: IO[bytes]) -> None:
    if output.readline() != b"ready\n":
        raise SystemExit("picture: a service did not start")


def recorded(job: Job) -> bytes:
    """Runs a job in a terminal of its own. Returns what that got. Raises SystemExit."""
    words = [sys.executable, "-m", "tracer", *job.command.split()[1:]]
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(_ROOT)
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("4H", *SIZE, 0, 0))
        os.execve(words[0], words, {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8"})
    try:
        return _followed(job, terminal)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def _followed(job: Job, terminal: int) -> bytes:
    """Reads a terminal to its end, and types Ctrl-C when the job's work is done."""
    output, during = b"", job.during
    deadline = time.monotonic() + _DEADLINE
    while time.monotonic() < deadline:
        if during and _WATCHING in output:
            during()
            during = None
            os.write(terminal, _CTRL_C)
        if select.select([terminal], [], [], 1)[0]:
            try:
                output += os.read(terminal, 1 << 16)
            except OSError:  # EIO: nobody has the terminal any more
                return output
    raise SystemExit(f"picture: {job.command} did not end: {output.decode(errors='replace')}")


if __name__ == "__main__":
    main()
