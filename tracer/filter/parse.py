# SPDX-License-Identifier: Apache-2.0
"""Parses what a user typed into what a filter holds."""

import contextlib
import functools
import os
import pwd
import re
import shutil
import socket
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Final, NamedTuple

from tracer.errors import UsageError
from tracer.filter import services
from tracer.model import protocols
from tracer.model.address import IPV4_MAPPED, Network, has_zone
from tracer.model.process import COMM_LEN, File
from tracer.model.socket import STATE_GROUPS, STATE_NAMES, STATES, STATES_ASKED_FOR

# also one in another: user@1000.service/app.scope
_UNIT_NAME: Final = re.compile(
    r"(?:[A-Za-z0-9:_.\\@-]{1,247}\.(?:service|scope)/)?[A-Za-z0-9:_.\\@-]{1,255}"
)
PID_MAX: Final = 1 << 22  # PID_MAX_LIMIT, include/linux/threads.h; inodes of namespaces are larger
NAMED_NETNS: Final = Path("/run/netns")
OWN_NETNS: Final = "/proc/thread-self/ns/net"
_PORTS: Final = 65_536
# A slice is for other units: no process counts as its own, so it is asked for as a cgroup.
_UNITS_OF_NOBODY: Final = (".target", ".path", ".timer", ".automount", ".device", ".slice")
_UNITS: Final = (".service", ".scope", ".socket", ".mount", ".swap", *_UNITS_OF_NOBODY)
_SHORT: Final = {name.lower(): number for number, name in STATES.items()}


def networks(value: str) -> tuple[Network, ...]:
    """Parses an address, a CIDR or a host name (all its addresses); a link-local address may have a
    zone, as ``fe80::5%eth0``. Raises UsageError."""
    with contextlib.suppress(ValueError):
        return (_network(value),)
    if not _may_be_name(value):
        raise UsageError(f"'{value}' is not an address", "give an address, a CIDR or a host name")
    try:
        found = socket.getaddrinfo(value, None, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not a valid name"
        raise UsageError(
            f"'{value}' cannot be resolved ({reason})", "give an address, a CIDR or a host name"
        ) from None
    return tuple(dict.fromkeys(_network(str(sockaddr[0])) for *_, sockaddr in found))


def is_address(value: str) -> bool:
    """Says whether it is an address or a CIDR, which no server is asked for."""
    try:
        _network(value)
    except ValueError:
        return False
    return True


def _network(value: str) -> Network:
    """Parses ``ADDRESS[%ZONE][/LENGTH]`` (RFC 4007 11). Raises ValueError, UsageError."""
    head, slash, length = value.partition("/")
    addr, percent, zone = head.partition("%")
    net = _unmapped(ip_network(addr + slash + length, strict=False))
    if not percent:
        return net
    if not (has_zone(net.network_address.packed) and has_zone(net.broadcast_address.packed)):
        raise UsageError(
            f"'{value}' has a zone, which only link-local IPv6 addresses have", f"leave out %{zone}"
        )
    return IPv6Network(f"{net.network_address}%{zone}/{net.prefixlen}")


def _may_be_name(value: str) -> bool:
    """Says whether it may be the name of a host. One that ends in a number is an address or none
    (https://url.spec.whatwg.org/#ends-in-a-number-checker), which the resolver would read by rules
    of its own: 010.0.0.5 as 8.0.0.5, 10.77 as 10.0.0.77."""
    last = value.removesuffix(".").rpartition(".")[2]
    return bool(re.fullmatch(r"[\w.-]+", value)) and not re.fullmatch(
        "[0-9]+|0x[0-9a-f]*", last, re.IGNORECASE
    )


def _unmapped(net: Network) -> Network:
    """Converts IPv4-mapped IPv6 prefixes to IPv4."""
    if net.version == 6 and net.prefixlen >= 96 and net.network_address.packed[:12] == IPV4_MAPPED:
        return IPv4Network((net.network_address.packed[12:], net.prefixlen - 96))
    return net


def ports(value: str) -> frozenset[int]:
    """Parses a list of ports, ranges and services, as ``53,8000-8100,https``. Raises
    UsageError."""
    return frozenset(port for part in value.split(",") for port in _ports(part.strip()))


def _ports(part: str) -> Iterable[int]:
    first, dash, last = part.partition("-")
    low, high = _number(first), _number(last if dash else first)
    if low is None or high is None:
        found: Iterable[int] = services.ports(part)
    else:
        found = range(low, high + 1) if high < _PORTS else ()
    if not found:
        raise UsageError(
            f"'{part}' is not a port",
            "give ports from 0 to 65535, or names of services, as 53,8000-8100,https",
        )
    return found


def _number(value: str) -> int | None:
    return int(value) if re.fullmatch("[0-9]{1,10}", value) else None


def protocol(value: str) -> str:
    """Returns the name of a protocol below IP, given by name or number. Raises UsageError."""
    found = protocols.find(value)
    if found is None:
        raise UsageError(
            f"there is no protocol '{value}'",
            "give a name of /etc/protocols, as icmp, ipv6-icmp, sctp, or a number from 0 to 255",
        )
    return found


def pid(value: str) -> int:
    """Returns a process id. Raises UsageError."""
    number = _number(value)
    if number is None or not 0 < number < PID_MAX:
        raise UsageError(
            f"'{value}' is not a pid", f"give a number from 1 to {PID_MAX - 1}, as 'ps' shows it"
        )
    return number


def user(value: str) -> int:
    """Returns the user id for a name or a number. Raises UsageError."""
    number = _number(value)
    if number is not None and number < 1 << 32:
        return number
    try:
        return pwd.getpwnam(value).pw_uid
    except (KeyError, ValueError):
        raise UsageError(f"there is no user '{value}'", "give a name or a number") from None


def comm(value: str) -> bytes:
    """Returns a process name as the kernel keeps it: the first 15 bytes."""
    return os.fsencode(value)[: COMM_LEN - 1]


def exe(value: str) -> str:
    """Returns a program's path as the kernel has it, without symbolic links. A bare name is
    searched for in PATH. Raises UsageError."""
    path = value if "/" in value else shutil.which(value)
    if path is None:
        raise UsageError(f"there is no program '{value}' in PATH", "give its path")
    return os.path.realpath(path)


def exe_files(value: str) -> frozenset[File]:
    """Returns the file of a program that :func:`exe` has found; empty if it is not there now."""
    try:
        found = Path(value).stat()
    except OSError:
        return frozenset()
    return frozenset({File(os.major(found.st_dev), os.minor(found.st_dev), found.st_ino)})


def is_missing(path: str) -> bool:
    """Says whether there is certainly no such file now."""
    try:
        Path(path).stat()
    except OSError as error:
        return isinstance(error, FileNotFoundError | NotADirectoryError)
    return False


def cgroup(value: str) -> str:
    """Returns a cgroup's path as /proc/PID/cgroup has it; accepts it below /sys/fs/cgroup. The
    root is empty."""
    path = re.sub(r"^/sys/fs/cgroup(/unified|/systemd)?(?=/|$)", "", value.rstrip("/"))
    return path if path.startswith("/") or not path else f"/{path}"


def container(value: str) -> str:
    """Checks a container's id, or how it begins. Raises UsageError."""
    if not re.fullmatch(r"[0-9a-f]{4,64}", value):
        raise UsageError(f"'{value}' is not a container's id", "give 4 to 64 of its hex digits")
    return value


def unit(value: str) -> str:
    """Returns a systemd unit's name; ``.service`` may be left out. Raises UsageError for a name
    that no unit has (systemd.unit(5)), or none that processes are in."""
    name = value if value.endswith(_UNITS) else f"{value}.service"
    if not _UNIT_NAME.fullmatch(name) or name.endswith(_UNITS_OF_NOBODY):
        raise UsageError(
            f"no process is in a unit '{value}'",
            "give a service, scope or socket as ssh.service, a slice by --cgroup",
        )
    return name


class NetnsPlace(NamedTuple):
    """A network namespace as it was asked for, the path that leads there (None: the inode was
    given), and its inode."""

    asked: str
    path: str | None
    inode: int


def netns(value: str) -> NetnsPlace:
    """Finds a network namespace given as a name (``ip netns``), a path, a pid, the inode itself, or
    as ``self``: the caller's. Raises UsageError."""
    if value == "self":
        value = OWN_NETNS
    number = _number(value)
    if number is not None and PID_MAX < number < 1 << 32:
        return NetnsPlace(value, None, number)
    candidates = [Path(value) if "/" in value else NAMED_NETNS / value]
    if number is not None:
        candidates.append(Path(f"/proc/{number}/ns/net"))
    for path in candidates:
        inode = netns_inode(path)
        if inode is not None:
            return NetnsPlace(value, str(path), inode)
    raise UsageError(
        f"there is no network namespace '{value}'",
        "give a name from 'ip netns', a path, a pid, an inode number, or self",
    )


def netns_inode(path: str | Path) -> int | None:
    """Returns the inode of the network namespace at ``path``. None if there is none that we may
    see: a name in /run/netns may be a plain file to us, if the mount on it is hidden from us."""
    try:
        found = os.stat(path)  # noqa: PTH116 (a thousand of them)
    except OSError:
        return None
    return found.st_ino if found.st_dev == _nsfs() else None


@functools.cache
def _nsfs() -> int:
    return Path("/proc/self/ns/net").stat().st_dev


def state(value: str) -> frozenset[int]:
    """Parses a state or a group of states, by the names that ss uses. Raises UsageError."""
    name = value.lower().replace("_", "-")
    if name in STATE_GROUPS:
        return STATE_GROUPS[name]
    number = STATES_ASKED_FOR.get(name, _SHORT.get(name))
    if number is None:
        raise UsageError(f"there is no state '{value}'", f"one of {', '.join(STATE_NAMES)}")
    return frozenset({number})
