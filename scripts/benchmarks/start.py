# SPDX-License-Identifier: Apache-2.0
"""How soon sockwatch is ready after exec, and how much memory it holds while tracing."""

import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measure

WATCHED = ("127.0.0.5", 9999)
DATAGRAMS = 10_000
LIMIT = 30  # seconds for a tracer to be ready


def start(folder: Path) -> tuple[float, int]:
    """Seconds from exec to attached, and bytes held after some traffic."""
    ready = folder / "ready"
    ready.unlink(missing_ok=True)
    options = ["--dst", WATCHED[0], "--log", str(folder / "log"), "-q", "--ready-file", str(ready)]
    started = time.monotonic()
    tracer = subprocess.Popen([measure.SOCKWATCH, *options], stderr=subprocess.DEVNULL)
    try:
        while not ready.exists():
            if tracer.poll() is not None or time.monotonic() > started + LIMIT:
                sys.exit("bench: sockwatch did not start: run it by hand to see why")
            time.sleep(0.001)
        seconds = time.monotonic() - started
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _ in range(DATAGRAMS):
                sock.sendto(b"x" * 64, WATCHED)
        time.sleep(0.2)
        return seconds, measure.pss(tracer.pid)
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait()


def main() -> None:
    """Prints the medians and the spread."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as folder:
        results = [start(Path(folder)) for _ in range(runs)]
    seconds, sizes = zip(*results, strict=True)
    megabytes = [size / 1e6 for size in sizes]
    print(f"{runs} runs:")
    print(f"  ready after exec, seconds              {measure.spread(seconds)}")
    print(f"  proportional set size while tracing, MB {measure.spread(megabytes, 1)}")


if __name__ == "__main__":
    main()
