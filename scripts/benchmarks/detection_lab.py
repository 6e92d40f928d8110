# SPDX-License-Identifier: Apache-2.0
"""The namespaces of scripts/benchmarks/detection.py, the peer in them, and one scenario run there.
Nothing of it leads out of them."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import detection_wire as wire
import tools
from detection_scenarios import SCENARIOS
from detection_score import Truth

LIMIT: Final = 300  # seconds for one scenario, also under emulation
_HERE: Final = Path(__file__).parent


class Lab(NamedTuple):
    """``client`` (10.0.0.1, fd00::1) and ``peer`` (10.0.0.5, fd00::5) are joined by a veth pair;
    ``box`` (10.0.1.2) is behind the client, as a container is."""

    client: str
    peer: str
    box: str

    def inside(self, place: str, *argv: str) -> list[str]:
        """A command in one of the namespaces."""
        return ["ip", "netns", "exec", getattr(self, place), *argv]

    def script(self, place: str, name: str, *arguments: str) -> list[str]:
        """One of ours in there."""
        return self.inside(place, sys.executable, str(_HERE / f"{name}.py"), *arguments)


@contextlib.contextmanager
def laboratory() -> Iterator[Lab]:
    """Until the block ends."""
    with contextlib.ExitStack() as cleanup:
        lab = Lab(*cleanup.enter_context(tools.namespaces("swdetect", len(Lab._fields))))
        _join(lab)
        for place, name in (("peer", "peer"), ("client", "loopback")):
            cleanup.enter_context(_server(lab, place, name))
        yield lab


def _join(lab: Lab) -> None:
    """Addresses, and the way from the box to the peer."""
    far = f"far address {wire.PEER_MAC} netns {lab.peer}"
    _ip(lab.client, f"""
        link add near address {wire.CLIENT_MAC} type veth peer {far}
        link add inner type veth peer outer netns {lab.box}
        link set near up
        link set inner up
        address add {wire.CLIENT}/24 dev near
        address add fd00::1/64 dev near nodad
        address add 10.0.1.1/24 dev inner
    """)  # fmt: skip
    _ip(lab.peer, f"""
        link set far up
        address add {wire.PEER}/24 dev far
        address add {wire.PEER6}/64 dev far nodad
        route add 10.0.1.0/24 via {wire.CLIENT}
    """)  # fmt: skip
    _ip(lab.box, """
        link set outer up
        address add 10.0.1.2/24 dev outer
        route add 10.0.0.0/24 via 10.0.1.1
    """)  # fmt: skip
    forward = "echo 1 > /proc/sys/net/ipv4/ip_forward"
    subprocess.run(lab.inside("client", "sh", "-c", forward), check=True)


def _ip(netns: str, lines: str) -> None:
    """One command of ip(8) a line."""
    subprocess.run(["ip", "-n", netns, "-batch", "-"], input=lines, text=True, check=True)


@contextlib.contextmanager
def _server(lab: Lab, place: str, name: str) -> Iterator[None]:
    """Once it listens, until the block ends."""
    argv = lab.script(place, "detection_server", name)
    server = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout
        if server.stdout.readline() != "ready\n":
            sys.exit("bench: the peer does not start")
        yield
    finally:
        server.kill()
        server.communicate()


def run(lab: Lab, name: str, scale: float) -> Truth:
    """One scenario; bounded in time."""
    scenario = SCENARIOS[name]
    argv = lab.script(scenario.place, "detection_scenarios", name, str(scale))
    since = time.time()
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, timeout=LIMIT, check=True)
        found = json.loads(done.stdout)
    except subprocess.SubprocessError:  # it has said why
        found = {"missing": "its client failed"}
    moved, missing = found.get("moved", []), found.get("missing")
    return Truth(scenario.address, scenario.moves, moved, since, time.time(), missing)
