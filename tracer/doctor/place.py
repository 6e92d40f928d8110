# SPDX-License-Identifier: Apache-2.0
"""Where the ways are tried: two network namespaces of a child process, joined by a link of their
own. Nothing leads out of them, and they end with the child."""

import contextlib
import ctypes
import json
import os
import signal
import socket
import traceback
from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from pathlib import Path
from typing import Any, Final

from tracer.doctor import ways
from tracer.errors import SockwatchError
from tracer.filter.parse import OWN_NETNS
from tracer.host import netns
from tracer.host.netlink import veth

_CLONE_NEWNET: Final = 0x40000000
_LINE: Final = 1 << 16
_PATIENCE: Final = 60.0  # seconds for all ways

_NEAR: Final = (ip_interface(f"{ways.NEAR}/24"), ip_interface("fd00::1/64"))
_FAR: Final = (ip_interface(f"{ways.FAR}/24"), ip_interface(f"{ways.FAR_IPV6}/64"))

_libc: Final = ctypes.CDLL(None, use_errno=True)


class Place:
    """The child. ``netns`` is the inode of the namespace that it sends in."""

    def __init__(self, channel: socket.socket, netns: int) -> None:
        self._channel = channel
        self.netns = netns

    def send_all(self) -> dict[str, str | None]:
        """See :func:`tracer.doctor.ways.send_all`."""
        found: dict[str, str | None] = _ask(self._channel, "send_all")
        return found

    def flood(self, count: int) -> None:
        """See :func:`tracer.doctor.ways.flood`."""
        _ask(self._channel, "flood", count)


@contextlib.contextmanager
def made() -> Iterator[Place]:
    """Makes the place. Raises SockwatchError."""
    ours, childs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(_PATIENCE)
    pid = os.fork()
    if pid == 0:
        ours.close()
        _run_child(childs)
    childs.close()
    try:
        with ours:
            inode: int = _ask(ours, "make")
            if inode == netns.own():
                raise AssertionError("the child is in our own network namespace")
            yield Place(ours, inode)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _ask(channel: socket.socket, what: str, *arguments: int) -> Any:
    """Lets the child do something; returns what it found."""
    channel.send(json.dumps([what, *arguments]).encode())
    try:
        answer = json.loads(channel.recv(_LINE) or b'{"refused": "it ended"}')
    except TimeoutError:
        answer = {"refused": "it takes too long"}
    if "bug" in answer:
        raise RuntimeError(f"in the sender:\n{answer['bug']}")
    if "refused" in answer:
        raise SockwatchError(
            f"a network namespace to send in cannot be made ({answer['refused']})",
            "run it as root, on a kernel with network namespaces and veth",
        )
    return answer["found"]


def _run_child(channel: socket.socket) -> None:
    """Does what it is asked; never returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        listening: list[socket.socket] = []
        while line := channel.recv(_LINE):
            what, *arguments = json.loads(line)
            channel.send(json.dumps(_answer(what, arguments, listening)).encode())
    finally:
        os._exit(0)


def _answer(what: str, arguments: list[int], listening: list[socket.socket]) -> dict[str, Any]:
    try:
        if what == "make":
            listening += _make()
            return {"found": netns.own()}
        return {"found": getattr(ways, what)(*arguments)}
    except OSError as error:
        return {"refused": error.strerror or str(error)}
    except Exception:  # noqa: BLE001  a bug: its traceback belongs to the parent
        return {"bug": traceback.format_exc()[-_LINE // 4 :]}


def _make() -> list[socket.socket]:
    """Makes both namespaces, and stays in the near one. Returns the sockets that listen in the far
    one, which keep it. Raises OSError."""
    before = netns.own()
    far = _new_namespace()
    listening = [_listen(socket.AF_INET), _listen(socket.AF_INET6)]
    _new_namespace()
    if before == netns.own():
        raise OSError(0, "it is no new one")
    veth.make(ways.DEVICE, "far", far)
    veth.set_up("lo")
    veth.set_up(ways.DEVICE, _NEAR)
    with contextlib.suppress(OSError):  # sysctls that cannot be written: no ping sockets
        Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 0")
    with netns.inside(f"/proc/self/fd/{far}", os.fstat(far).st_ino):
        veth.set_up("lo")
        veth.set_up("far", _FAR)
        _check(_FAR)
    _check(_NEAR)
    os.close(far)
    return listening


def _new_namespace() -> int:
    """Enters a new network namespace; returns a descriptor of it. Raises OSError."""
    if _libc.unshare(_CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return os.open(OWN_NETNS, os.O_RDONLY | os.O_CLOEXEC)


def _listen(family: socket.AddressFamily) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind(("", ways.LISTENING))
    sock.listen()
    return sock


def _check(addresses: tuple[IPv4Interface | IPv6Interface, ...]) -> None:
    """Raises OSError if one of the addresses is not there."""
    for address in addresses:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.bind((str(address.ip), 0))
