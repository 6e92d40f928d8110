# SPDX-License-Identifier: Apache-2.0
"""A ZooKeeper on 127.0.0.1, from Debian's package."""

import contextlib
import socket
from pathlib import Path

from tests.servers import process

_JAR = Path("/usr/share/java/zookeeper.jar")
_CONFIG = """\
tickTime=500
dataDir={folder}
clientPortAddress=127.0.0.1
clientPort={port}
admin.enableServer=false
4lw.commands.whitelist=ruok
"""


def is_installed():
    return _JAR.exists()


@contextlib.contextmanager
def running(folder):
    """Yields its port, once it answers."""
    folder.mkdir()
    (port,) = process.free_ports(1)
    config = folder / "zoo.cfg"
    config.write_text(_CONFIG.format(folder=folder, port=port))
    command = [
        "java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
        "-cp", str(_JAR), "org.apache.zookeeper.server.quorum.QuorumPeerMain", str(config),
    ]  # fmt: skip
    with process.started(command, folder, lambda: _answers(port)):
        yield port


def _answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as asked:
            asked.sendall(b"ruok")
            return asked.recv(4) == b"imok"
    except OSError:
        return False
