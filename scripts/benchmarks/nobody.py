# SPDX-License-Identifier: Apache-2.0
"""Is NOBODY said on a busy machine? 100,000 datagrams a second to others, in twenty network
namespaces, while more namespaces come, send one datagram, and go, four a second, and tests of the
suite run, as they are, again and again. All other traffic is loopback's in these namespaces."""

import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import measure
import tools
from tools import OTHER, SENDER

from tests import tiny

CHECKOUT: Final = Path(__file__).parents[2]
NOBODYS: Final = "10.255.0.77"  # nor does a test send there
NAMESPACES: Final = 20
RATE: Final = 100_000  # datagrams a second, of all of them
BURST: Final = 100
EVERY: Final = 0.25  # seconds from one brief namespace to the next
# Of these, no packet goes past the hooks, nor is left unread in a tap.
SUITE: Final = ("trace", "filters", "existing", "follow", "identity", "log", "sockets", "top")
SLACK: Final = 60  # seconds that the senders go on for longer


@contextlib.contextmanager
def senders(seconds: int) -> Iterator[None]:
    """A sender in each of twenty namespaces, until the block ends."""
    share = RATE // NAMESPACES
    pace = [str(share * (seconds + SLACK)), str(BURST), str(BURST / share)]
    running = []
    with tools.namespaces("swbusy", NAMESPACES) as names:
        try:
            for name in names:
                argv = ["ip", "netns", "exec", name, sys.executable, str(SENDER), OTHER, *pace]
                running.append(subprocess.Popen(argv, stdout=subprocess.DEVNULL))
            yield
            assert not any(process.poll() for process in running), "a sender has failed"
        finally:
            for process in running:
                process.kill()
                process.wait()


class Brief:
    """Namespaces that come, send one datagram, and go, until the block ends; how many there were.
    Without a name, and with one, in turn."""

    def __init__(self, program: str) -> None:
        send = f"ip link set lo up && {program}"
        name = f"swbrief{os.getpid()}"
        named = (
            f"ip netns add {name} && ip -n {name} link set lo up; "
            f"ip netns exec {name} {program}; ip netns del {name}"
        )
        self._commands = (["unshare", "-n", "sh", "-c", send], ["sh", "-c", named])
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.count = 0

    def _run(self) -> None:
        for argv in itertools.cycle(self._commands):
            subprocess.run(argv, check=True)
            if self._over.wait(EVERY):
                return
            self.count += 1

    def __enter__(self) -> "Brief":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


@contextlib.contextmanager
def suite(out: Path) -> Iterator[None]:
    """These tests, again and again until the block ends; ``out`` has what they print."""
    tests = [f"tests/native/test_{name}.py" for name in SUITE]
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    with out.open("w") as sink:
        running = subprocess.Popen(
            ["sh", "-c", 'while "$@" || [ $? = 1 ]; do :; done', "sh", *argv],
            cwd=CHECKOUT, env=os.environ | {"SOCKWATCH_DEADLINE": "120"}, stdout=sink,
            start_new_session=True,
        )  # fmt: skip
        try:
            yield
        finally:
            os.killpg(running.pid, signal.SIGINT)  # pytest cleans up
            running.wait()


def passed(out: Path) -> int:
    """How many tests have passed."""
    return sum(map(int, re.findall(r"(\d+) passed", out.read_text())))


def proof(seconds: int) -> dict[str, Any]:
    """One verdict. That root may not look into the first process, as in some sandboxes, does not
    count."""
    argv = [measure.SOCKWATCH, "prove", "--dst", NOBODYS, "--duration", str(seconds), "--json"]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    own = ("could not be looked into: what ", "(pid 1) has open")
    reasons = [one["text"] for one in found["reasons"]]
    reasons = [text for text in reasons if not (text.startswith(own[0]) and text.endswith(own[1]))]
    nobody = found["verdict"] != "somebody" and not reasons
    counts = {name: found[name] for name in ("packets", "devices", "namespaces", "uncertain")}
    return {"nobody": nobody, "sentence": found["sentence"], "reasons": reasons, **counts}


def main() -> None:
    """Arguments: how many times (20), how many seconds each (60)."""
    times, seconds = measure.asked_runs(20), int(sys.argv[2]) if len(sys.argv) > 2 else 60
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        program = tiny.write(Path(temporary) / "tiny", OTHER, 9999)
        out = Path(temporary) / "suite"
        for number in range(1, times + 1):
            with senders(seconds), Brief(str(program)) as brief, suite(out):
                found = proof(seconds)
            results.append({**found, "brief": brief.count, "tests": passed(out)})
            said = ["nobody" if found["nobody"] else found["sentence"], *found["reasons"]]
            print(f"{number:3} {'; '.join(said)}: "
                  f"{found['packets']:,} packets, {found['namespaces']:,} namespaces, "
                  f"{brief.count:,} of them brief; {results[-1]['tests']:,} tests passed",
                  flush=True)  # fmt: skip
    proven = sum(one["nobody"] for one in results)
    print(f"nobody: {proven} of {times} times, {seconds} s each")
    measure.save("nobody", results)
    sys.exit(proven != times)


if __name__ == "__main__":
    main()
