# SPDX-License-Identifier: Apache-2.0
"""A server's process: started, waited for until it answers, and ended."""

import contextlib
import socket
import subprocess
import time

_TIMEOUT = 60.0  # seconds to start


def free_ports(number):
    """Returns ports of 127.0.0.1 that nobody listens on."""
    with contextlib.ExitStack() as held:
        found = []
        for _ in range(number):
            one = held.enter_context(socket.socket())
            one.bind(("127.0.0.1", 0))
            found.append(one.getsockname()[1])
        return found


def start(command, folder, answers, cwd=None):
    """Returns the process, once it answers."""
    with open(folder / "output", "ab") as output:
        begun = subprocess.Popen(
            command, cwd=cwd or folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    until = time.monotonic() + _TIMEOUT
    while not answers():
        if begun.poll() is not None or time.monotonic() > until:
            begun.kill()
            begun.wait()
            raise RuntimeError((folder / "output").read_text()[-2000:])
        time.sleep(0.02)  # between two questions
    return begun


@contextlib.contextmanager
def started(command, folder, answers, cwd=None):
    begun = start(command, folder, answers, cwd)
    try:
        yield begun
    finally:
        begun.kill()
        begun.wait()
