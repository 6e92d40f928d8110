# SPDX-License-Identifier: Apache-2.0
"""What ``sockets --exposed`` says, against connections that another machine really makes: a network
namespace on two links, which sends packets for any address through either."""

import contextlib
import json
import select
import socket
import subprocess
import sys
import time
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from tests.native.conftest import DEADLINE, add_link, ip, sockwatch, wait_for
from tracer.host.netns import inside

DENY_NETLINK = Path(__file__).with_name("deny_netlink.py")
V4, V6 = socket.AF_INET, socket.AF_INET6
IP_FREEBIND = 15  # include/uapi/linux/in.h
OF_NEAR, OF_NEAR2, OF_LO, ANY, NOBODYS = (
    "10.0.0.1", "10.0.1.1", "10.0.2.9", "10.0.3.7", "192.0.2.50",
)  # fmt: skip
OF_NEAR_6, OF_NEAR2_6, OF_LO_6 = "fd00::1", "fd01::1", "fd02::9"
ANY_NET = "10.0.3.0/24"
ADDRESSES = (OF_NEAR, OF_NEAR2, OF_LO, ANY, NOBODYS, "127.0.0.1", OF_NEAR_6, OF_NEAR2_6, OF_LO_6)

# what listens: its address, and the device that it is bound to
LISTENERS = (
    *((addr, device) for addr in ("0.0.0.0", *ADDRESSES[:6]) for device in ("", "near", "lo")),
    *((addr, device) for addr in ("::", *ADDRESSES[6:]) for device in ("", "near", "lo")),
    ("::1", ""),
    ("v6only", ""),
    ("link-local", "near"),
    ("link-local", "near2"),
)


# what the machines have besides what they have in every test
OF_NEAR_TOO = (
    (OF_NEAR2 + "/24", "near2"), (OF_NEAR2_6 + "/64", "near2"), (OF_LO, "lo"), (OF_LO_6, "lo"),
)  # fmt: skip
OF_FAR_TOO = (("10.0.1.5/24", "far2"), ("fd01::5/64", "far2"))
GATEWAYS = {"far": (OF_NEAR, OF_NEAR_6), "far2": (OF_NEAR2, OF_NEAR2_6)}


@pytest.fixture
def links(namespaces) -> Any:
    """Every address of ``near`` is sent to through each of its two links."""
    near, far = namespaces.near, namespaces.far
    add_link(near, "near2", "type", "veth", "peer", "far2", "netns", far)
    for netns, extra in ((near, OF_NEAR_TOO), (far, OF_FAR_TOO)):
        for addr, device in extra:
            ip("-n", netns, "addr", "add", addr, "dev", device, *["nodad"] * (":" in addr))
    for netns, device in ((near, "near2"), (far, "far2")):
        ip("-n", netns, "link", "set", device, "up")
    ip("-n", near, "route", "add", "local", ANY_NET, "dev", "lo")
    send_by_either_link(far)
    for netns, devices in ((near, ("all", "near", "near2")), (far, ("all", *GATEWAYS))):
        for device in devices:
            set_for(netns, device, "rp_filter", 0)
        wait_for(lambda netns=netns: not ip("-n", netns, "-6", "addr", "show", "tentative"))
    assert "10.0.0.5/" in ip("-n", far, "-4", "addr", "show", "dev", "far")
    return namespaces


def send_by_either_link(far: str) -> None:
    """Whatever the address: as the device that a socket is bound to says."""
    for net in ("127.0.0.1", "127.0.0.0/8"):
        ip("-n", far, "route", "del", "local", net, "dev", "lo", "table", "local")
    for table, (device, gateways) in enumerate(GATEWAYS.items(), 100):
        for gateway in gateways:
            version, by = "-6" if ":" in gateway else "-4", ("table", str(table))
            way = ("via", gateway, "dev", device, "onlink")
            ip("-n", far, version, "route", "add", "default", *way, *by)
            ip("-n", far, version, "rule", "add", "oif", device, "pref", "10", *by)


def set_for(netns: str, device: str, name: str, value: int) -> None:
    with inside_of(netns):
        Path(f"/proc/sys/net/ipv4/conf/{device}/{name}").write_text(str(value))


def inside_of(netns: str) -> contextlib.AbstractContextManager[None]:
    path = Path(f"/run/netns/{netns}")
    return inside(str(path), path.stat().st_ino)


def link_local(netns: str, device: str) -> str:
    shown = ip("-n", netns, "-6", "addr", "show", "dev", device, "scope", "link")
    return shown.split("inet6 ")[1].split("/")[0]


def listen(near: str, addr: str, device: str) -> socket.socket:
    sock = socket.socket(V6 if ":" in addr or addr[0] in "vl" else V4)
    sock.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
    if device:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    if addr == "v6only":
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    scope = socket.if_nametoindex(device) if addr == "link-local" else 0
    addr = {"v6only": "::", "link-local": addr}.get(addr, addr)
    addr = link_local(near, device) if scope else addr
    sock.bind((addr, 0, 0, scope) if sock.family == V6 else (addr, 0))
    sock.listen(64)
    return sock


def connect(addr: str, port: int, link: str) -> socket.socket:
    sock = socket.socket(V6 if ":" in addr else V4)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode())
    sock.setblocking(False)
    to = (addr, port, 0, socket.if_nametoindex(link)) if addr.startswith("fe80") else (addr, port)
    with contextlib.suppress(BlockingIOError, OSError):
        sock.connect(to)
    return sock


def connected(sock: socket.socket) -> bool:
    with contextlib.suppress(OSError):
        sock.getpeername()
        return True
    return False


def reached(far: str, port: int, addresses: list[str], said: set[str]) -> set[str]:
    """The addresses at which that port is reached, by either link. What is said to be reached is
    waited for, and asked last: by then, the others have had their answers."""
    with contextlib.ExitStack() as cleanup:
        with inside_of(far):
            tried = [
                (addr, cleanup.enter_context(connect(addr, port, link)))
                for addr in sorted(addresses, key=lambda addr: addr in said)
                for link in GATEWAYS
            ]
        end = time.monotonic() + 2
        while (late := said - _reached(tried)) and time.monotonic() < end:
            select.select([], [sock for addr, sock in tried if addr in late], [], 0.1)
        return _reached(tried)


def _reached(tried: list[tuple[str, socket.socket]]) -> set[str]:
    return {addr for addr, sock in tried if connected(sock)}


def exposed(*arguments: str, by: tuple[str, ...] = ()) -> dict[int, list[dict[str, Any]]]:
    argv = [*by, *sockwatch("sockets", "--exposed", "--tcp", "--json", *arguments)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 0, done.stderr
    rows = map(json.loads, done.stdout.splitlines())
    return {row["src"]["port"]: row["reachable"] for row in rows}


@pytest.mark.native
@pytest.mark.parametrize("localnet", [0, 1])
def test_what_is_said_is_what_is_reached(links, localnet):
    for name, device in ((links.near, "near"), (links.far, "far")):
        set_for(name, device, "route_localnet", localnet)
    addresses = [*ADDRESSES, link_local(links.near, "near"), link_local(links.near, "near2")]
    wrong = {}
    with contextlib.ExitStack() as cleanup:
        with inside_of(links.near):
            held = [(one, cleanup.enter_context(listen(links.near, *one))) for one in LISTENERS]
        rows = exposed("-N", links.near)
        for listener, sock in held:
            port = sock.getsockname()[1]
            nets = [ip_network(entry["addr"]) for entry in rows.get(port, ())]
            said = {addr for addr in addresses if any(ip_address(addr) in net for net in nets)}
            really = reached(links.far, port, addresses, said)
            if said != really:
                wrong[listener] = {"said": said - really, "not said": really - said}
    assert not wrong


@pytest.mark.native
def test_which_device_has_the_address(links):
    with inside_of(links.near):
        sock, wildcard = listen(links.near, OF_LO, "near"), listen(links.near, "0.0.0.0", "")
    with sock, wildcard:
        rows = exposed("-N", links.near)
        assert rows[sock.getsockname()[1]] == [{"addr": OF_LO, "interface": "lo"}]
        found = {(one["addr"], one["interface"]) for one in rows[wildcard.getsockname()[1]]}
    assert found == {
        (OF_NEAR, "near"), (OF_NEAR2, "near2"), (OF_LO, "lo"), (ANY_NET, "lo"),
    }  # fmt: skip


@pytest.mark.native
def test_addresses_that_the_kernel_does_not_tell(links):
    """Then all that may be reached is listed."""
    with inside_of(links.near):
        held = [listen(links.near, addr, "") for addr in ("0.0.0.0", NOBODYS, "127.0.0.1", "::1")]
    ports = [sock.getsockname()[1] for sock in held]
    by = ("ip", "netns", "exec", links.near, sys.executable, str(DENY_NETLINK))
    rows = exposed(by=by)
    for sock in held:
        sock.close()
    assert {port: rows.get(port) for port in ports} == {
        ports[0]: [{"addr": "0.0.0.0", "interface": None}],
        ports[1]: [{"addr": NOBODYS, "interface": None}],
        ports[2]: None,
        ports[3]: None,
    }
