# SPDX-License-Identifier: Apache-2.0
"""Sends in one way, and says what it sent: the truth that tests compare a log with.

    generator.py CASE DESTINATION [NAME=VALUE...]

prints a JSON line for each event that the tracer should see, then exits.

    generator.py serve

does the same for each JSON line {"case", "dst", "options", "netns"} of its standard input,
each in a process of its own. Runs under any python3; sends to DESTINATION only.
"""

import array
import contextlib
import ctypes
import fcntl
import inspect
import json
import mmap
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

PORT = 9999
MTU = 1500  # of the test's links

Truth = dict[str, object]
CASES: dict[str, Callable[..., Iterator[Truth]]] = {}

libc = ctypes.CDLL(None, use_errno=True)


def case(function: Callable[..., Iterator[Truth]]) -> Callable[..., Iterator[Truth]]:
    CASES[function.__name__] = function
    return function


def family_of(addr: str) -> int:
    return socket.AF_INET6 if ":" in addr else socket.AF_INET


def udp(addr: str) -> socket.socket:
    return socket.socket(family_of(addr), socket.SOCK_DGRAM)


def read_line(path: str) -> str:
    with open(path) as file:
        return file.read().strip()


def myself() -> Truth:
    return {
        "pid": os.getpid(),
        "tid": threading.get_native_id(),
        "ppid": os.getppid(),
        "uid": os.getuid(),
        "comm": read_line("/proc/self/comm"),
        "thread": read_line("/proc/thread-self/comm"),
    }


def truth(sock: socket.socket, dst: str, size: int, port: object = PORT, **other: object) -> Truth:
    return {
        "event": "send",
        "proto": "udp",
        "outcome": "sent",
        "error": None,
        **myself(),
        "sport": sock.getsockname()[1],
        "dst": dst.removeprefix("::ffff:"),
        "dport": int(port),
        "bytes": size,
        **other,
    }


def failed(
    sock: socket.socket, dst: str, error: str, port: object = PORT, **other: object
) -> Truth:
    return truth(sock, dst, 0, port, outcome="failed", error=error, **other)


@contextlib.contextmanager
def expecting(number: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != number:
            raise
    else:
        raise AssertionError(f"expected {os.strerror(number)}")


# One datagram


@case
def sendto(dst: str, count: str = "1", size: str = "", port: str = str(PORT)) -> Iterator[Truth]:
    with udp(dst) as sock:
        for i in range(int(count)):
            payload = b"x" * int(size or i)
            sock.sendto(payload, (dst, int(port)))
            yield truth(sock, dst, len(payload), port)


@contextlib.contextmanager
def connected(dst: str, port: str) -> Iterator[socket.socket]:
    """With a receiver, so that no error comes back."""
    with udp(dst) as receiver, udp(dst) as sock:
        receiver.bind((dst, int(port)))
        sock.connect((dst, int(port)))
        yield sock


@case
def send(dst: str, port: str = str(PORT)) -> Iterator[Truth]:
    with udp(dst) as sock:
        sock.connect((dst, int(port)))
        sock.send(b"connected")
        yield truth(sock, dst, 9, port)


@case
def write(dst: str, port: str) -> Iterator[Truth]:
    with connected(dst, port) as sock:
        os.write(sock.fileno(), b"written")
        yield truth(sock, dst, 7, port)


@case
def writev(dst: str, port: str) -> Iterator[Truth]:
    with connected(dst, port) as sock:
        os.writev(sock.fileno(), [b"in ", b"three ", b"parts"])
        yield truth(sock, dst, 14, port)


IP_PKTINFO = 8


@case
def pktinfo(dst: str, port: str) -> Iterator[Truth]:
    with udp(dst) as sock:
        local = socket.inet_aton("127.0.0.9")
        control = [(socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=i4s4s", 0, local, bytes(4)))]
        sock.sendmsg([b"from another address"], control, 0, (dst, int(port)))
        yield truth(sock, dst, 20, port)


@case
def override(dst: str, port: str) -> Iterator[Truth]:
    """The address that comes with a message wins over the connected peer."""
    with udp(dst) as sock:
        sock.connect(("127.0.0.8", 9))
        sock.sendto(b"elsewhere", (dst, int(port)))
        yield truth(sock, dst, 9, port)


def enter(cgroup: str) -> None:
    """One whose programs replace destinations."""
    with open(f"{cgroup}/cgroup.procs", "w") as procs:
        procs.write(str(os.getpid()))


def replaced(to: str, port: str) -> Truth:
    """``by_packet`` is the destination that its packet has: all that a probe on packets knows."""
    there = (to, int(port) + 1)
    return {"nat_dst": there[0], "nat_dport": there[1], "by_packet": there}


@case
def rewritten(dst: str, port: str, cgroup: str, to: str, mapped: str = "") -> Iterator[Truth]:
    """A program of the cgroup sends it elsewhere than was asked; then, what is asked for."""
    enter(cgroup)
    with udp(mapped + dst) as sock:
        sock.sendto(b"to the service", (mapped + dst, int(port)))
        yield truth(sock, dst, 14, port, **replaced(to, port))
        sock.sendto(b"past it", (mapped + to, int(port) + 1))
        yield truth(sock, to, 7, int(port) + 1, nat_dst=None)


@case
def rewritten_connected(
    dst: str, port: str, cgroup: str, to: str, mapped: str = ""
) -> Iterator[Truth]:
    enter(cgroup)
    there = (mapped + to, int(port) + 1)
    with udp(to) as receiver, udp(mapped + dst) as sock:
        receiver.bind((to, int(port) + 1))
        sock.connect((mapped + dst, int(port)))
        for _ in range(2):
            sock.send(b"to the service")
            yield truth(sock, dst, 14, port, **replaced(to, port))
        sock.send(b"held ", socket.MSG_MORE)
        sock.send(b"back")
        yield truth(sock, dst, 9, port, **replaced(to, port))
        if not mapped:  # there, the kernel itself names the peer in each call
            sock.sendto(b"past it", there)
            yield truth(sock, to, 7, int(port) + 1, nat_dst=None)
        sock.connect(there)
        sock.send(b"connected past it")
        yield truth(sock, to, 17, int(port) + 1, nat_dst=None)


@case
def rewritten_corked(dst: str, port: str, cgroup: str, to: str) -> Iterator[Truth]:
    enter(cgroup)
    with udp(dst) as sock:
        for _ in range(2):
            sock.sendto(b"held ", socket.MSG_MORE, (dst, int(port)))
            sock.sendto(b"back", (dst, int(port)))
            yield truth(sock, dst, 9, port, **replaced(to, port))


@case
def zero_bytes(dst: str, port: str = str(PORT)) -> Iterator[Truth]:
    with udp(dst) as sock:
        sock.sendto(b"", (dst, int(port)))
        yield truth(sock, dst, 0, port)


@case
def mapped(dst: str, port: str = str(PORT)) -> Iterator[Truth]:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"mapped", (f"::ffff:{dst}", int(port)))
        yield truth(sock, dst, 6, port)


@case
def mapped_connected(dst: str, port: str) -> Iterator[Truth]:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.connect((f"::ffff:{dst}", int(port)))
        sock.send(b"mapped peer")
        yield truth(sock, dst, 11, port)


class Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_char_p), ("length", ctypes.c_size_t))


class Msghdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.POINTER(Iovec)),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class Mmsghdr(ctypes.Structure):
    _fields_ = (("header", Msghdr), ("length", ctypes.c_uint))


def sockaddr_in(addr: str, port: int, family: int = socket.AF_INET) -> bytes:
    return struct.pack("=H", family) + struct.pack("!H4s8x", port, socket.inet_aton(addr))


def sockaddr_in6(addr: str, port: int, family: int = socket.AF_INET6) -> bytes:
    raw = socket.inet_pton(socket.AF_INET6, addr)
    return struct.pack("=H", family) + struct.pack("!HI16sI", port, 0, raw, 0)


def raw_sendto(sock: socket.socket, payload: bytes, address: bytes) -> None:
    """sendto() with an address that Python's socket module would not make."""
    sent = libc.sendto(sock.fileno(), payload, len(payload), 0, address, len(address))
    if sent < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@case
def ipv4_on_ipv6(dst: str, port: str) -> Iterator[Truth]:
    """A sockaddr_in on an IPv6 socket."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        raw_sendto(sock, b"plain IPv4", sockaddr_in(dst, int(port)))
        yield truth(sock, dst, 10, port)


@case
def unspec(dst: str, port: str) -> Iterator[Truth]:
    """To IPv4 sockets, AF_UNSPEC is another name of AF_INET (udp_sendmsg)."""
    with udp(dst) as sock:
        raw_sendto(sock, b"no family", sockaddr_in(dst, int(port), socket.AF_UNSPEC))
        yield truth(sock, dst, 9, port)


@case
def unspec_ipv6(dst: str, port: str) -> Iterator[Truth]:
    """To IPv6 sockets, AF_UNSPEC stands for the connected peer (udpv6_sendmsg)."""
    with connected(dst, port) as sock:
        raw_sendto(sock, b"to the peer", sockaddr_in6("::2", 9, socket.AF_UNSPEC))
        yield truth(sock, dst, 11, port)


@case
def reuseport(dst: str, port: str) -> Iterator[Truth]:
    with udp(dst) as one, udp(dst) as other:
        for sock in (one, other):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind(("", 0))
        other.bind(("", one.getsockname()[1]))
        for sock in (one, other, one):
            sock.sendto(b"shared port", (dst, int(port)))
            yield truth(sock, dst, 11, port)


# Several datagrams, or several calls for one


@case
def sendmmsg(dst: str, port: str = str(PORT)) -> Iterator[Truth]:
    payloads = [b"a" * 10, b"b" * 20, b"c" * 30]
    ports = (int(port), int(port) + 1, int(port))
    names = [sockaddr_in(dst, number) for number in ports]
    iovecs = [(Iovec * 1)(Iovec(payload, len(payload))) for payload in payloads]
    messages = (Mmsghdr * 3)()
    for message, name, iovec in zip(messages, names, iovecs, strict=True):
        message.header = Msghdr(name, len(name), iovec, 1, None, 0, 0)
    with udp(dst) as sock:
        assert libc.sendmmsg(sock.fileno(), messages, 3, 0) == 3
        for payload, number in zip(payloads, ports, strict=True):
            yield truth(sock, dst, len(payload), number)


@case
def two_destinations(dst: str, other: str) -> Iterator[Truth]:
    with udp(dst) as sock:
        for addr in (dst, other, dst):
            sock.sendto(b"to one of two", (addr, PORT))
            yield truth(sock, addr, 13)


UDP_CORK, UDP_SEGMENT = 1, 103  # include/uapi/linux/udp.h


@case
def gso(dst: str, port: str = str(PORT)) -> Iterator[Truth]:
    with udp(dst) as sock:
        sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 100)
        sock.sendto(b"x" * 950, (dst, int(port)))
        yield truth(sock, dst, 950, port, segments=10)


@case
def gso_control(dst: str, port: str) -> Iterator[Truth]:
    with udp(dst) as sock:
        control = [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", 200))]
        sock.sendmsg([b"x" * 900], control, 0, (dst, int(port)))
        yield truth(sock, dst, 900, port, segments=5)


@case
def more(dst: str, port: str) -> Iterator[Truth]:
    with udp(dst) as sock:
        for _ in range(2):
            sock.sendto(b"first, ", socket.MSG_MORE, (dst, int(port)))
            sock.sendto(b"second, ", socket.MSG_MORE, (dst, int(port)))
            sock.sendto(b"last", (dst, int(port)))
            yield truth(sock, dst, 19, port)
        sock.sendto(b"alone", (dst, int(port)))
        yield truth(sock, dst, 5, port)


@case
def cork(dst: str, port: str) -> Iterator[Truth]:
    with connected(dst, port) as sock:
        for _ in range(2):
            sock.setsockopt(socket.IPPROTO_UDP, UDP_CORK, 1)
            sock.send(b"held ")
            sock.send(b"back")
            sock.setsockopt(socket.IPPROTO_UDP, UDP_CORK, 0)
            yield truth(sock, dst, 9, port)
        sock.send(b"alone")
        yield truth(sock, dst, 5, port)


@case
def cork_ipv6(dst: str, port: str) -> Iterator[Truth]:
    yield from cork(dst, port)


@case
def splice(dst: str, port: str) -> Iterator[Truth]:
    with connected(dst, port) as sock:
        reader, writer = os.pipe()
        os.write(writer, b"through a pipe")
        assert os.splice(reader, sock.fileno(), 14) == 14
        yield truth(sock, dst, 14, port)


@case
def sendfile(dst: str, port: str) -> Iterator[Truth]:
    with connected(dst, port) as sock, tempfile.TemporaryFile() as file:
        file.write(b"from a file")
        file.flush()
        assert os.sendfile(sock.fileno(), file.fileno(), 0, 11) == 11
        yield truth(sock, dst, 11, port)


@case
def fragments(dst: str, port: str = str(PORT)) -> Iterator[Truth]:
    """Larger than what the device takes at once."""
    with udp(dst) as sock:
        sock.sendto(b"x" * 5000, (dst, int(port)))
        yield truth(sock, dst, 5000, port)


IPV6_HOPOPTS, IPV6_RTHDRDSTOPTS, IPV6_RTHDR, IPV6_DSTOPTS = 54, 55, 57, 59
PADDING = bytes([0, 0, 1, 4, 0, 0, 0, 0])


def segments(*stops: str) -> bytes:
    """A routing header of type 4 (RFC 8754), from the end to the first stop."""
    raw = b"".join(socket.inet_pton(socket.AF_INET6, stop) for stop in stops)
    return bytes([0, len(raw) // 8, 4, len(stops) - 1, len(stops) - 1, 0, 0, 0]) + raw


@case
def extension_headers(dst: str, port: str, size: str = "4") -> Iterator[Truth]:
    """Four, and a fifth where it is fragmented."""
    with udp(dst) as sock:
        for option, value in (
            (IPV6_HOPOPTS, PADDING),
            (IPV6_RTHDRDSTOPTS, PADDING),
            (IPV6_RTHDR, segments(dst)),
            (IPV6_DSTOPTS, PADDING),
        ):
            sock.setsockopt(socket.IPPROTO_IPV6, option, value)
        sock.sendto(b"x" * int(size), (dst, int(port)))
        yield truth(sock, dst, int(size), port)


@case
def routing_header(dst: str, port: str, hop: str) -> Iterator[Truth]:
    with udp(dst) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RTHDR, segments(dst, hop))
        sock.sendto(b"by way", (dst, int(port)))
        yield truth(sock, dst, 6, port, hop=hop)


@case
def source_route(dst: str, port: str, hop: str) -> Iterator[Truth]:
    with udp(dst) as sock:
        option = bytes([131, 7, 4]) + socket.inet_aton(hop) + b"\0"
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, option)
        sock.sendto(b"by way", (dst, int(port)))
        yield truth(sock, dst, 6, port, hop=hop)


@case
def broadcast(dst: str, port: str) -> Iterator[Truth]:
    with udp(dst) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.sendto(b"to all", (dst, int(port)))
        yield truth(sock, dst, 6, port)


@case
def multicast(dst: str, port: str, device: str) -> Iterator[Truth]:
    with udp(dst) as sock:
        index = socket.if_nametoindex(device)
        if ":" in dst:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        else:
            sock.setsockopt(
                socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", b"", b"", index)
            )
        sock.sendto(b"to a group", (dst, int(port)))
        yield truth(sock, dst, 10, port)


# Who sends


@case
def thread(dst: str, port: str = str(PORT)) -> Iterator[Truth]:
    found: list[Truth] = []

    def work() -> None:
        with open("/proc/thread-self/comm", "w") as comm:
            comm.write("worker-7")
        found.extend(sendto(dst, "2", "5", port))

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert found[0]["tid"] != os.getpid()
    yield from found


def in_child(work: Callable[[], list[Truth]]) -> list[Truth]:
    """Runs in a forked process; what it returns comes back through a pipe."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            os.write(writer, json.dumps(work()).encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as pipe:
        found: list[Truth] = json.loads(pipe.read())
    os.waitpid(pid, 0)
    return found


@case
def fork_shared(dst: str, port: str) -> Iterator[Truth]:
    with udp(dst) as sock:

        def share() -> list[Truth]:
            sock.sendto(b"the child's", (dst, int(port)))
            return [truth(sock, dst, 11, port)]

        yield from in_child(share)
        sock.sendto(b"the parent's", (dst, int(port)))
        yield truth(sock, dst, 12, port)


@case
def passed(dst: str, port: str) -> Iterator[Truth]:
    """A descriptor passed over a Unix socket to a process that did not open it."""
    ours, theirs = socket.socketpair()

    def use() -> list[Truth]:
        _, control, _, _ = theirs.recvmsg(1, 64)
        descriptor = array.array("i", control[0][2][:4])[0]
        with socket.socket(fileno=descriptor) as sock:
            sock.sendto(b"passed on", (dst, int(port)))
            return [truth(sock, dst, 9, port)]

    with udp(dst) as sock:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("=i", sock.fileno()))]
        ours.sendmsg([b"x"], rights)
    yield from in_child(use)


@case
def short_lived(dst: str, port: str) -> Iterator[Truth]:
    """Gone within a millisecond of sending."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        sock = udp(dst)
        said = {**myself(), "ppid": os.getppid()}
        sock.bind(("", 0))
        line = truth(sock, dst, 5, port, **said)
        os.write(writer, json.dumps(line).encode())
        sock.sendto(b"brief", (dst, int(port)))
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(writer)
    with open(reader) as pipe:
        yield json.loads(pipe.read())


SYS_IO_URING_SETUP, SYS_IO_URING_ENTER = 425, 426
IORING_OP_SENDMSG = 9
IORING_ENTER_GETEVENTS = 1


class Ring:
    """As little of io_uring as it takes to submit one request after the other, and wait for it."""

    def __init__(self) -> None:
        params = ctypes.create_string_buffer(120)
        self.fd = libc.syscall(SYS_IO_URING_SETUP, 4, params)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        entries, self.cq_entries = struct.unpack_from("=II", params)
        _, self.tail_at, *_, self.array_at = struct.unpack_from("=7I", params, 40)
        self.head_at, *_, self.cqes_at = struct.unpack_from("=6I", params, 80)
        size = max(self.array_at + 4 * entries, self.cqes_at + 16 * self.cq_entries)
        self.rings = mmap.mmap(self.fd, size, offset=0)  # its array is zeros: always entry 0
        self.entries = mmap.mmap(self.fd, 64 * entries, offset=0x10000000)
        self.submitted = 0

    def sendmsg(self, descriptor: int, header: Msghdr) -> int:
        return self.request(IORING_OP_SENDMSG, descriptor, ctypes.addressof(header), 1)

    def request(self, opcode: int, descriptor: int, address: int, length: int) -> int:
        """What the call itself would return, or a negative error number."""
        entry = struct.pack("=BBHiQQII", opcode, 0, 0, descriptor, 0, address, length, 0)
        self.entries[: len(entry)] = entry
        place = self.submitted % self.cq_entries
        self.submitted += 1
        struct.pack_into("=I", self.rings, self.tail_at, self.submitted)
        done = libc.syscall(SYS_IO_URING_ENTER, self.fd, 1, 1, IORING_ENTER_GETEVENTS, None, 0)
        assert done == 1, os.strerror(ctypes.get_errno())
        result = struct.unpack_from("=Qi", self.rings, self.cqes_at + 16 * place)[1]
        struct.pack_into("=I", self.rings, self.head_at, self.submitted)
        return result


@case
def io_uring(dst: str, port: str) -> Iterator[Truth]:
    payload, address = b"by the ring", sockaddr_in(dst, int(port))
    iovec = (Iovec * 1)(Iovec(payload, len(payload)))
    header = Msghdr(address, len(address), iovec, 1, None, 0, 0)
    with udp(dst) as sock:
        assert Ring().sendmsg(sock.fileno(), header) == len(payload)
        yield truth(sock, dst, len(payload), port)


@case
def bound(dst: str, sport: str = "40001", port: str = str(PORT)) -> Iterator[Truth]:
    with udp(dst) as sock:
        sock.bind(("", int(sport)))
        sock.sendto(b"from a known port", (dst, int(port)))
        yield truth(sock, dst, 17, port)


@case
def name(dst: str, comm: str) -> Iterator[Truth]:
    with open("/proc/self/comm", "w") as own:
        own.write(comm.encode().decode("unicode_escape"))
    yield from sendto(dst, "1", "3")


@case
def user(dst: str, uid: str) -> Iterator[Truth]:
    os.setuid(int(uid))
    yield from sendto(dst, "1", "3")


# What fails

ECONNREFUSED, EMSGSIZE, ENETUNREACH, EACCES, EAGAIN, EINVAL = 111, 90, 101, 13, 11, 22


@case
def refused(dst: str, port: str) -> Iterator[Truth]:
    """Nobody listens: the second send is told of the first one's ICMP error."""
    with udp(dst) as sock:
        sock.connect((dst, int(port)))
        sock.send(b"is anybody there?")
        yield truth(sock, dst, 17, port)
        with expecting(ECONNREFUSED):
            sock.send(b"hello?")
        yield failed(sock, dst, "ECONNREFUSED", port)


@case
def too_long(dst: str, port: str) -> Iterator[Truth]:
    with udp(dst) as sock:
        sock.bind(("", 0))
        with expecting(EMSGSIZE):
            sock.sendto(b"x" * 65_508, (dst, int(port)))
        yield failed(sock, dst, "EMSGSIZE", port)


@case
def no_destination(dst: str, port: str) -> Iterator[Truth]:
    """Neither an address nor a peer. ``port`` is the local one."""
    with udp(dst) as sock:
        sock.bind(("", int(port)))
        with expecting(89):
            sock.send(b"to whom?")
        yield {**failed(sock, dst, "EDESTADDRREQ"), "dst": None, "dport": None}


@case
def no_route(dst: str, port: str, error: str = "ENETUNREACH") -> Iterator[Truth]:
    with udp(dst) as sock:
        sock.bind(("", 0))
        with expecting({"ENETUNREACH": ENETUNREACH, "EACCES": EACCES, "EINVAL": EINVAL}[error]):
            sock.sendto(b"nowhere", (dst, int(port)))
        yield failed(sock, dst, error, port)


@case
def filtered(dst: str, port: str) -> Iterator[Truth]:
    """Dropped by netfilter on its way out."""
    with udp(dst) as sock:
        sock.bind(("", 0))
        with expecting(1):
            sock.sendto(b"forbidden", (dst, int(port)))
        yield failed(sock, dst, "EPERM", port)


@case
def translated(dst: str, port: str) -> Iterator[Truth]:
    """NAT gives it another source port: still this process's."""
    with udp(dst) as sock:
        sock.sendto(b"from elsewhere", (dst, int(port)))
        src = "fd00::1" if ":" in dst else "10.0.0.1"
        yield truth(sock, dst, 14, port, nat_src=src, nat_dst=None)


@case
def nat_dst(dst: str, port: str, to: str) -> Iterator[Truth]:
    """NAT gives it another destination, on the next port."""
    with udp(dst) as sock:
        sock.sendto(b"to elsewhere", (dst, int(port)))
        yield truth(sock, dst, 12, port, nat_src=None, nat_dst=to, nat_dport=int(port) + 1)


def track_ipvs(whether: str) -> None:
    """In this network namespace."""
    with open("/proc/sys/net/ipv4/vs/conntrack", "w") as file:
        file.write(whether)


def forwarded(to: str, port: str, conntrack: str) -> Truth:
    """What IPVS has changed is known where it tells the connection tracking of it."""
    if conntrack == "1":
        return {"nat_dst": to, "nat_dport": int(port) + 1}
    return {"nat_dst": None, "by_packet": (to, int(port) + 1)}


@case
def ipvs(dst: str, port: str, to: str, conntrack: str) -> Iterator[Truth]:
    """Sent to a virtual service, and forwarded to a real server."""
    track_ipvs(conntrack)
    with udp(dst) as sock:
        for _ in range(2):
            sock.sendto(b"to the service", (dst, int(port)))
            yield truth(sock, dst, 14, port, **forwarded(to, port, conntrack))


@case
def nat_connected(dst: str, port: str, to: str) -> Iterator[Truth]:
    """The same with a socket that has a peer; the kernel puts the datagram together."""
    with udp(dst) as sock:
        sock.connect((dst, int(port)))
        sock.send(b"put ", socket.MSG_MORE)
        sock.send(b"together")
        yield truth(sock, dst, 12, port, nat_src=None, nat_dst=to, nat_dport=int(port) + 1)


@case
def nat_answer(dst: str, port: str, to: str) -> Iterator[Truth]:
    """Who is reached by NAT answers: NAT gives it the source that was asked."""
    with udp(dst) as client, udp(to) as server:
        server.bind((to, int(port) + 1))
        client.sendto(b"question", (dst, int(port)))
        _, (addr, sport, *_) = server.recvfrom(64)
        server.sendto(b"answer", (addr, sport))
        assert client.recvfrom(64)[1][:2] == (dst, int(port))
        nat = {"nat_src": dst, "nat_sport": int(port), "nat_dst": None}
        yield truth(server, addr, 6, sport, **nat)


@case
def full_buffer(dst: str, port: str) -> Iterator[Truth]:
    """What waits for a neighbour that never answers fills the socket's buffer."""
    with udp(dst) as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
        for _ in range(100):
            try:
                sock.sendto(b"x" * 1000, (dst, int(port)))
            except BlockingIOError:
                yield failed(sock, dst, "EAGAIN", port)
                return
            yield truth(sock, dst, 1000, port)
    raise AssertionError("the buffer never filled")


# Sent in another process's system call


def drained(sock: socket.socket) -> None:
    """Waits until no datagram of the socket waits in a device's queue any more."""
    for _ in range(1000):
        waiting = array.array("i", [0])
        fcntl.ioctl(sock, termios.TIOCOUTQ, waiting)
        if not waiting[0]:
            return
        time.sleep(0.005)
    raise AssertionError("the queue was never empty")


SO_MAX_PACING_RATE = 47  # include/uapi/asm-generic/socket.h


def send_queued(dst: str, port: str, pause: float, count: int = 12, rate: int = 0) -> list[Truth]:
    """RATE: bytes a second at which an fq queue lets them go; 0: at once."""
    with udp(dst) as sock:
        if rate:
            sock.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, rate)
        lines = []
        for _ in range(count):
            sock.sendto(b"x" * 1000, (dst, int(port)))
            lines.append(truth(sock, dst, 1000, port))
            time.sleep(pause)
        drained(sock)
        return lines


@case
def queued(dst: str, port: str) -> Iterator[Truth]:
    """Through a device with a queue: who sends next sends what waits there, too."""
    with ThreadPoolExecutor() as pool:
        pauses = (0.0, 0.004)
        for lines in pool.map(
            lambda pause: in_child(lambda: send_queued(dst, port, pause)), pauses
        ):
            yield from lines


@case
def rewritten_queued(dst: str, port: str, cgroup: str, to: str) -> Iterator[Truth]:
    """Who hands a packet on from the queue knows nothing of what its sender has named."""
    enter(cgroup)
    for line in queued(dst, port):
        yield {**line, **replaced(to, port)}


@case
def paced(dst: str, port: str) -> Iterator[Truth]:
    """One process's datagrams wait for their time; another one, which sends, sends them, too."""
    with ThreadPoolExecutor() as pool:
        waits = pool.submit(lambda: in_child(lambda: send_queued(dst, port, 0, 20, 50_000)))
        yield from in_child(lambda: send_queued(dst, port, 0.0005, 500))
        yield from waits.result()


TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 2, 0x1000


def answer_arp(tap: int) -> int:
    """Answers one request, as a virtual machine would. Returns the number of datagrams before."""
    for number in range(100):
        assert select.select([tap], [], [], 60)[0]
        frame = os.read(tap, 2000)
        if frame[12:14] == b"\x08\x06":
            mac = bytes.fromhex("020000000005")
            head = frame[6:12] + mac + b"\x08\x06" + frame[14:20] + b"\0\2"
            os.write(tap, head + mac + frame[38:42] + frame[22:32])
            return number
    raise AssertionError("nobody asked")


@case
def answered_by_tap(dst: str, port: str) -> Iterator[Truth]:
    """Datagrams wait for their neighbour; its answer, written into a tap, sends them."""
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", b"tap0", IFF_TAP | IFF_NO_PI))
    network = dst.rpartition(".")[0]
    for words in (f"addr add {network}.1/24 dev tap0", "link set tap0 up"):
        subprocess.run(["ip", *words.split()], check=True)

    def send_some() -> list[Truth]:
        with udp(dst) as sock:
            lines = []
            for _ in range(5):
                sock.sendto(b"hello", (dst, int(port)))
                lines.append(truth(sock, dst, 5, port))
            drained(sock)
            return lines

    with ThreadPoolExecutor() as pool:
        sent = pool.submit(in_child, send_some)
        answer_arp(tap)
        yield from sent.result()
    os.close(tap)


# Past udp_sendmsg()


def udp_packet(payload: bytes, sport: int, port: int, length: int | None = None) -> bytes:
    """``length`` is what the header says, which may be a lie."""
    said = 8 + len(payload) if length is None else length
    return struct.pack("!HHHH", sport, port, said, 0) + payload


def ip_packet(src: str, dst: str, datagram: bytes, proto: int = 17, fragment: int = 0) -> bytes:
    ends = socket.inet_aton(src) + socket.inet_aton(dst)
    length = 20 + len(datagram)
    header = struct.pack("!BBHHHBBH", 0x45, 0, length, 1, fragment, 64, proto, 0) + ends
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return (
        header[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + header[12:] + datagram
    )


def raw_truth(dst: str, size: int, port: str, via: str, proto: str = "udp") -> Truth:
    return {
        "event": "send",
        "proto": proto,
        "outcome": "sent",
        **myself(),
        "sport": 4321,
        "dst": dst,
        "dport": int(port),
        "bytes": size,
        "via": via,
    }


@case
def raw_hdrincl(dst: str, port: str) -> Iterator[Truth]:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
        packet = ip_packet("127.0.0.1", dst, udp_packet(b"own header", 4321, int(port)))
        sock.sendto(packet, (dst, 0))
        yield raw_truth(dst, 10, port, "raw")


@case
def raw(dst: str, port: str) -> Iterator[Truth]:
    with socket.socket(family_of(dst), socket.SOCK_RAW, socket.IPPROTO_UDP) as sock:
        sock.sendto(udp_packet(b"raw", 4321, int(port)), (dst, 0))
        yield raw_truth(dst, 3, port, "raw")


@case
def raw_other_protocol(dst: str, port: str) -> Iterator[Truth]:
    """Made for ICMP, used for UDP with a header of its own."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
        packet = ip_packet("127.0.0.1", dst, udp_packet(b"disguised", 4321, int(port)))
        sock.sendto(packet, (dst, 0))
        yield raw_truth(dst, 9, port, "raw")


@case
def raw_udplite(dst: str, port: str = "9999", size: str = "5000") -> Iterator[Truth]:
    """In fragments, none of which says how long the whole is."""
    with socket.socket(family_of(dst), socket.SOCK_RAW, socket.IPPROTO_UDPLITE) as sock:
        for number in range(2):
            payload = b"l" * (int(size) + number)
            sock.sendto(udp_packet(payload, 4321, int(port), 8), (dst, 0))
            yield raw_truth(dst, len(payload), port, "raw", "udplite")


@case
def raw_first_fragment(dst: str, port: str = "9999") -> Iterator[Truth]:
    """Of a datagram that is never sent to its end."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
        begins = udp_packet(b"begins", 4321, int(port), 8)
        packet = ip_packet("10.0.0.1", dst, begins, socket.IPPROTO_UDPLITE, 0x2000)
        sock.sendto(packet, (dst, 0))
        yield {**raw_truth(dst, 6, port, "raw", "udplite"), "outcome": None}


@case
def raw_lies(dst: str, port: str) -> Iterator[Truth]:
    """What a header says of its length need not be true."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
        for length in (0, 7, 60_000):
            datagram = udp_packet(b"four", 4321, int(port), length)
            sock.sendto(ip_packet("127.0.0.1", dst, datagram), (dst, 0))
            yield raw_truth(dst, 4, port, "raw")


# Other protocols


def portless(dst: str, size: int, via: str, proto: str, **other: object) -> Truth:
    """Of a protocol without ports; or of a packet too short for a header that has them."""
    return {**raw_truth(dst, size, "0", via, proto), "sport": None, "dport": None, **other}


def echo(dst: str) -> tuple[int, str, int]:
    """The protocol of an echo request, its name, and the request's type."""
    if ":" in dst:
        return socket.IPPROTO_ICMPV6, "ipv6-icmp", 128
    return socket.IPPROTO_ICMP, "icmp", 8


def internet_sum(raw: bytes) -> int:
    """The checksum of RFC 1071."""
    padded = raw + b"\0" * (len(raw) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo_request(kind: int, size: int, code: int = 0) -> bytes:
    message = struct.pack("!BBHHH", kind, code, 0, 7, 1) + b"x" * size
    return message[:2] + struct.pack("!H", internet_sum(message)) + message[4:]


@case
def ping(dst: str, size: str = "56", count: str = "1", via: str = "socket") -> Iterator[Truth]:
    """By a socket that needs no privilege, or by a raw one; "device": by a rule's copy."""
    protocol, name, request = echo(dst)
    kind = "SOCK_RAW" if via == "raw" else "SOCK_DGRAM"
    with socket.socket(family_of(dst), getattr(socket, kind), protocol) as sock:
        for _ in range(int(count)):
            sock.sendto(echo_request(request, int(size)), (dst, 0))
            yield portless(dst, int(size), via, name, icmp_type=request, icmp_code=0)


@case
def raw_icmp(dst: str) -> Iterator[Truth]:
    """An error, to which nobody answers; and too little for a header."""
    protocol, name, _ = echo(dst)
    with socket.socket(family_of(dst), socket.SOCK_RAW, protocol) as sock:
        sock.sendto(echo_request(3, 20, 1), (dst, 0))
        yield portless(dst, 20, "raw", name, icmp_type=3, icmp_code=1)
        if ":" not in dst:  # rawv6_push_pending_frames() wants room for the checksum
            sock.sendto(b"\x0a\x01\x00\x00\x00", (dst, 0))
            yield portless(dst, 5, "raw", name, icmp_type=0, icmp_code=0)


def tcp_segment(port: int, payload: bytes = b"", words: int = 5) -> bytes:
    """A SYN, whose checksum is wrong, so that nobody answers."""
    head = struct.pack("!HHIIBBHHH", 4321, port, 1, 0, words << 4, 2, 1024, 1, 0)
    return head + b"\1" * (4 * words - 20) + payload


@case
def raw_tcp(dst: str, port: str, count: str = "1") -> Iterator[Truth]:
    """As SYN scanners do."""
    with socket.socket(family_of(dst), socket.SOCK_RAW, socket.IPPROTO_TCP) as sock:
        for number in range(int(count)):
            sock.sendto(tcp_segment(int(port), b"x" * number, 5 + number), (dst, 0))
            yield raw_truth(dst, number, port, "raw", "tcp")


@case
def raw_tcp_short(dst: str) -> Iterator[Truth]:
    with socket.socket(family_of(dst), socket.SOCK_RAW, socket.IPPROTO_TCP) as sock:
        sock.sendto(tcp_segment(PORT)[:19], (dst, 0))
        yield portless(dst, 19, "raw", "tcp")


@case
def packet_tcp(dst: str, port: str, device: str = "lo") -> Iterator[Truth]:
    segment = tcp_segment(int(port), b"framed", 8)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((device, 0x0800))
        sock.send(bytes(12) + b"\x08\x00" + ip_packet("127.0.0.1", dst, segment, 6))
        yield raw_truth(dst, 6, port, "packet", "tcp")


@case
def raw_protocol(
    dst: str, number: str = "253", name: str = "253", size: str = "30"
) -> Iterator[Truth]:
    with socket.socket(family_of(dst), socket.SOCK_RAW, int(number)) as sock:
        for more in range(2):
            sock.sendto(b"x" * (int(size) + more), (dst, 0))
            yield portless(dst, int(size) + more, "raw", name)


# What the kernel answers: to SRC, an address of this machine


@case
def answered_ping(dst: str, src: str, size: str = "56") -> Iterator[Truth]:
    protocol, name, request = echo(dst)
    with socket.socket(family_of(dst), socket.SOCK_DGRAM, protocol) as sock:
        sock.bind((src, 0))
        sock.sendto(echo_request(request, int(size)), (dst, 0))
        assert len(sock.recv(65536)) == 8 + int(size)
        yield portless(dst, int(size), "socket", name, icmp_type=request, icmp_code=0)


@case
def reset(dst: str, src: str) -> Iterator[Truth]:
    """Nobody listens."""
    with tcp(dst) as sock:
        sock.bind((src, 0))
        with expecting(ECONNREFUSED):
            sock.connect((dst, PORT))
        yield from attempt(sock, dst, str(PORT), "ECONNREFUSED")


@case
def unreachable(dst: str, src: str) -> Iterator[Truth]:
    """Nobody is there, an ICMP error says."""
    with udp(dst) as sock:
        sock.bind((src, 0))
        sock.connect((dst, PORT))
        sock.send(b"to nobody")
        line = truth(sock, dst, 9)
        with expecting(ECONNREFUSED):
            sock.recv(1)
        yield line


@case
def answered_connection(dst: str, src: str, port: str = str(PORT)) -> Iterator[Truth]:
    """Accepted by the kernel, before any process; then both ends reset it."""
    with listening(dst, port) as server, tcp(dst) as client:
        client.bind((src, 0))
        client.connect((dst, int(port)))
        yield tcp_truth(client, dst, port, "connect")
        yield tcp_truth(client, dst, port, "connected")
        peer, _ = server.accept()
        for sock in (client, peer):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
            sock.close()


@case
def late_ack(dst: str, src: str) -> Iterator[Truth]:
    """To a socket that listens and knows of no connection: refused."""
    ends = socket.inet_aton(src) + socket.inet_aton(dst)
    with (
        listening(dst, str(PORT)),
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as sock,
    ):
        sock.bind((src, 0))
        head = struct.pack("!HHIIBBHHH", 4321, PORT, 1, 1, 5 << 4, 16, 1024, 0, 0)
        total = internet_sum(ends + struct.pack("!HH", socket.IPPROTO_TCP, len(head)) + head)
        sock.sendto(head[:16] + struct.pack("!HH", total, 0), (dst, 0))
        assert sock.recv(100)[33] & 4  # RST
        yield raw_truth(dst, 0, str(PORT), "raw", "tcp")


SOCK_DCCP, IPPROTO_DCCP = 6, 33  # include/linux/net.h


def connect_refused(sock: socket.socket, dst: str, port: str, proto: str) -> Iterator[Truth]:
    """The packet of a call; how long it is the kernel decides."""
    with sock:
        sock.bind((dst, 0))
        sport = sock.getsockname()[1]
        with expecting(ECONNREFUSED):
            sock.connect((dst, int(port)))
        line = {**raw_truth(dst, 0, port, "socket", proto), "sport": sport}
        del line["bytes"]
        yield line


@case
def sctp(dst: str, port: str) -> Iterator[Truth]:
    sock = socket.socket(family_of(dst), socket.SOCK_STREAM, socket.IPPROTO_SCTP)
    yield from connect_refused(sock, dst, port, "sctp")


@case
def dccp(dst: str, port: str) -> Iterator[Truth]:
    sock = socket.socket(family_of(dst), SOCK_DCCP, IPPROTO_DCCP)
    yield from connect_refused(sock, dst, port, "dccp")


@case
def packet_tagged(dst: str, port: str, device: str = "lo") -> Iterator[Truth]:
    """Frames that are not what their sender calls them."""
    datagram = ip_packet("127.0.0.1", dst, udp_packet(b"tagged", 4321, int(port)))
    ipv4, tag, another = b"\x08\x00", b"\x81\x00\x00\x00", 0x88B5
    for claimed, above in (
        (another, ipv4),
        (0x8100, tag + ipv4),
        (another, tag + tag + ipv4),
        (0x0800, tag + ipv4),
    ):
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
            sock.bind((device, claimed))
            sock.send(bytes(12) + above + datagram)
            yield raw_truth(dst, 6, port, "packet")


def send_fragments(dst: str, port: str, device: str, first: int) -> None:
    """Those of a datagram of 40 bytes, from number ``first`` on."""
    datagram = udp_packet(b"x" * 32, 4321, int(port))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((device, 0x0800))
        for at in range(16 * first, 40, 16):
            part, more = datagram[at : at + 16], 0x2000 * (at < 32)
            packet = ip_packet("127.0.0.1", dst, part, fragment=at // 8 | more)
            sock.send(bytes(12) + b"\x08\x00" + packet)


@case
def packet_fragments(dst: str, port: str, device: str = "lo") -> Iterator[Truth]:
    send_fragments(dst, port, device, 0)
    yield raw_truth(dst, 32, port, "packet")


@case
def packet_lone_fragments(dst: str, port: str, device: str = "lo") -> Iterator[Truth]:
    """No first one."""
    send_fragments(dst, port, device, 1)
    yield from ()


def send_frames(device: str, claimed: int, content: bytes, *above: bytes) -> None:
    """One for each ``above``, what stands between the addresses and the content."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((device, claimed))
        for head in above:
            sock.send(bytes(12) + head + content)


@case
def packet_many_tags(dst: str, port: str, device: str = "lo") -> Iterator[Truth]:
    """More VLAN tags than are stepped over."""
    datagram = ip_packet("127.0.0.1", dst, udp_packet(b"tagged", 4321, int(port)))
    send_frames(device, 0x8100, datagram, 5 * b"\x81\x00\x00\x00" + b"\x08\x00")
    yield from ()


@case
def packet_claims(dst: str, port: str, device: str = "lo") -> Iterator[Truth]:
    """No IPv4 is in the first frame, whatever its sender says."""
    datagram = ip_packet("127.0.0.1", dst, udp_packet(b"framed", 4321, int(port)))
    send_frames(device, 0x0800, datagram, b"\x88\xb5", b"\x08\x00")
    yield raw_truth(dst, 6, port, "packet")


@case
def packet_unreadable(
    dst: str, port: str, size: str = "5000", device: str = "lo"
) -> Iterator[Truth]:
    """A frame of more than a page, of which only the Ethernet header is linear."""
    payload = b"x" * int(size)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((device, 0x0800))
        datagram = udp_packet(payload, 4321, int(port))
        sock.send(bytes(12) + b"\x08\x00" + ip_packet("127.0.0.1", dst, datagram))
        yield raw_truth(dst, len(payload), port, "packet")


PACKET_TX_RING, SOL_PACKET = 13, 263
FRAME = 1 << 13


@case
def packet_ring(dst: str, port: str, device: str = "lo") -> Iterator[Truth]:
    """By PACKET_TX_RING: the frame lies in memory that the process shares with the kernel."""
    datagram = udp_packet(b"from the ring", 4321, int(port))
    frame = bytes(12) + b"\x08\x00" + ip_packet("127.0.0.1", dst, datagram)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.setsockopt(SOL_PACKET, PACKET_TX_RING, struct.pack("4I", 8 * FRAME, 1, FRAME, 8))
        sock.bind((device, 0x0800))
        with mmap.mmap(sock.fileno(), 8 * FRAME) as ring:
            ring[32 : 32 + len(frame)] = frame  # behind struct tpacket_hdr
            struct.pack_into("LII", ring, 0, 1, len(frame), len(frame))  # TP_STATUS_SEND_REQUEST
            sock.send(b"")
            yield raw_truth(dst, 13, port, "packet")


PACKET_QDISC_BYPASS = 20


@case
def packet_bypass(dst: str, port: str, device: str = "lo") -> Iterator[Truth]:
    """Past the device's queue."""
    frame = bytes(12) + b"\x08\x00"
    frame += ip_packet("127.0.0.1", dst, udp_packet(b"past it", 4321, int(port)))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        sock.bind((device, 0x0800))
        sock.send(frame)
        yield {**raw_truth(dst, 7, port, "packet"), "bypasses": True}


AF_XDP, SOL_XDP, CHUNK = 44, 283, 4096  # include/uapi/linux/if_xdp.h
XDP_MMAP_OFFSETS, XDP_TX_RING, XDP_UMEM_REG = 1, 3, 4
XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING = 5, 6
XDP_COPY, XDP_PGOFF_TX_RING = 2, 0x80000000


@case
def xdp_copy(dst: str, port: str, device: str = "lo") -> Iterator[Truth]:
    """From memory that the process shares with the kernel, which copies it."""
    frame = bytes(12) + b"\x08\x00"
    frame += ip_packet("127.0.0.1", dst, udp_packet(b"by xdp", 4321, int(port)))
    with socket.socket(AF_XDP, socket.SOCK_RAW) as sock, mmap.mmap(-1, 4 * CHUNK) as memory:
        memory[: len(frame)] = frame
        start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        area = struct.pack("=QQIII4x", start, 4 * CHUNK, CHUNK, 0, 0)
        sock.setsockopt(SOL_XDP, XDP_UMEM_REG, area)
        for ring in (XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_TX_RING):
            sock.setsockopt(SOL_XDP, ring, 4)
        # of each ring: producer, consumer, descriptors, flags; the second one is for sending
        offsets = struct.unpack("=16Q", sock.getsockopt(SOL_XDP, XDP_MMAP_OFFSETS, 128))[4:8]
        with mmap.mmap(sock.fileno(), CHUNK, offset=XDP_PGOFF_TX_RING) as ring:
            index = socket.if_nametoindex(device)
            address = struct.pack("=HHIII", AF_XDP, XDP_COPY, index, 0, 0)
            if libc.bind(sock.fileno(), address, len(address)):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            struct.pack_into("=QII", ring, offsets[2], 0, len(frame), 0)
            struct.pack_into("=I", ring, offsets[0], 1)
            sock.send(b"", socket.MSG_DONTWAIT)
        yield {**raw_truth(dst, 6, port, "packet"), "bypasses": True}


@case
def packet_frame(dst: str, port: str, device: str = "lo") -> Iterator[Truth]:
    """A whole Ethernet frame, as DHCP clients send it."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((device, 0x0800))
        frame = bytes(12) + b"\x08\x00"
        sock.send(frame + ip_packet("127.0.0.1", dst, udp_packet(b"framed", 4321, int(port))))
        yield raw_truth(dst, 6, port, "packet")


@case
def packet(dst: str, port: str, device: str = "lo") -> Iterator[Truth]:
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as sock:
        frame = ip_packet("127.0.0.1", dst, udp_packet(b"by frame", 4321, int(port)))
        sock.sendto(frame, (device, 0x0800, 0, 0, b"\0" * 6))
        yield raw_truth(dst, 8, port, "packet")


@case
def tunnel(dst: str, port: str) -> Iterator[Truth]:
    """``dst`` is behind a vxlan device: its outer packets are the kernel's own."""
    with udp(dst) as sock:
        sock.sendto(b"x" * 100, (dst, int(port)))
        yield truth(sock, dst, 100, port)


@case
def udplite(dst: str, port: str, size: str = "8") -> Iterator[Truth]:
    with socket.socket(family_of(dst), socket.SOCK_DGRAM, socket.IPPROTO_UDPLITE) as sock:
        sock.sendto(b"l" * int(size), (dst, int(port)))
        yield truth(sock, dst, int(size), port, proto="udplite")


# TCP

IPPROTO_MPTCP = 262
TCP_SYNCNT, TCP_USER_TIMEOUT, TCP_FASTOPEN, TCP_FASTOPEN_CONNECT = 7, 18, 23, 30


def tcp(addr: str, protocol: int = 0) -> socket.socket:
    return socket.socket(family_of(addr), socket.SOCK_STREAM, protocol)


def tcp_truth(sock: socket.socket, dst: str, port: object, event: str, **other: object) -> Truth:
    outcomes = {"connect": None, "connected": "connected", "close": "closed", "accept": "accepted"}
    return {
        "event": event,
        "proto": "tcp",
        "outcome": outcomes.get(event, "failed"),
        "error": None,
        **myself(),
        "sport": sock.getsockname()[1] or None,
        "dst": dst.removeprefix("::ffff:"),
        "dport": int(port),
        "bytes": 0,
        **other,
    }


@contextlib.contextmanager
def listening(addr: str, port: str, protocol: int = 0) -> Iterator[socket.socket]:
    with tcp(addr, protocol) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if not protocol:
            sock.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN, 16)
        sock.bind((addr, int(port)))
        sock.listen()
        yield sock


def life(
    server: socket.socket, client: socket.socket, dst: str, port: str, early: bytes = b""
) -> Iterator[Truth]:
    """A connection that has just been made: some talk, and its end."""
    yield tcp_truth(client, dst, port, "connect")
    yield tcp_truth(client, dst, port, "connected")
    peer, _ = server.accept()
    client.sendall(b"request")
    wanted = len(early) + 7
    while wanted:
        wanted -= len(peer.recv(wanted))
    peer.sendall(b"the answer")
    assert client.recv(64) == b"the answer"
    ended = tcp_truth(client, dst, port, "close", bytes=len(early) + 7, bytes_received=10)
    client.close()
    assert peer.recv(64) == b""
    peer.close()
    yield ended


@case
def tcp_connection(dst: str, port: str) -> Iterator[Truth]:
    with listening(dst, port) as server, tcp(dst) as client:
        client.connect((dst, int(port)))
        yield from life(server, client, dst, port)


@case
def tcp_redirected(dst: str, port: str, to: str) -> Iterator[Truth]:
    """NAT gives it another destination; it is known once the first packet is on its way."""
    with listening(to, str(int(port) + 1)) as server, tcp(dst) as client:
        client.connect((dst, int(port)))
        for line in life(server, client, dst, port):
            known = line["event"] != "connect"
            nat = {"nat_dst": to, "nat_dport": int(port) + 1} if known else {"nat_dst": None}
            yield {**line, "nat_src": None, **nat}


@case
def tcp_rewritten(dst: str, port: str, cgroup: str, to: str, mapped: str = "") -> Iterator[Truth]:
    """A program of the cgroup connects it elsewhere than was asked."""
    enter(cgroup)
    with listening(to, str(int(port) + 1)) as server, tcp(mapped + dst) as client:
        client.connect((mapped + dst, int(port)))
        for line in life(server, client, dst, port):
            yield {**line, **replaced(to, port)}


@case
def tcp_rewritten_refused(dst: str, port: str, cgroup: str, to: str) -> Iterator[Truth]:
    enter(cgroup)
    for line in tcp_refused(dst, port):
        yield {**line, **replaced(to, port)}


@case
def tcp_ipvs(dst: str, port: str, to: str, conntrack: str) -> Iterator[Truth]:
    """Refused by the real server."""
    track_ipvs(conntrack)
    for line in tcp_refused(dst, port):
        known = conntrack if line["event"] != "connect" else "0"
        yield {**line, **forwarded(to, port, known), "by_packet": None}


@case
def tcp_mapped(dst: str, port: str) -> Iterator[Truth]:
    with listening(dst, port) as server:
        client = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        client.connect((f"::ffff:{dst}", int(port)))
        yield from life(server, client, dst, port)


@case
def tcp_nonblocking(dst: str, port: str) -> Iterator[Truth]:
    with listening(dst, port) as server, tcp(dst) as client:
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            client.connect((dst, int(port)))
        select.select([], [client], [], 10)
        client.setblocking(True)
        yield from life(server, client, dst, port)


@case
def tcp_fastopen(dst: str, port: str) -> Iterator[Truth]:
    with listening(dst, port) as server, tcp(dst) as client:
        client.sendto(b"early ", socket.MSG_FASTOPEN, (dst, int(port)))
        yield from life(server, client, dst, port, b"early ")


@case
def tcp_fastopen_connect(dst: str, port: str) -> Iterator[Truth]:
    """Once there is a cookie, connect() sends nothing: the first write does."""
    with listening(dst, port) as server:
        for _ in range(2):
            client = tcp(dst)
            client.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
            client.connect((dst, int(port)))
            client.sendall(b"early ")
            yield from life(server, client, dst, port, b"early ")


@case
def tcp_mptcp(dst: str, port: str) -> Iterator[Truth]:
    with listening(dst, port, IPPROTO_MPTCP) as server, tcp(dst, IPPROTO_MPTCP) as client:
        client.connect((dst, int(port)))
        lines = list(life(server, client, dst, port))
        for line in lines:
            del line["bytes"]  # of a subflow: with MPTCP's own
            line.pop("bytes_received", None)
        yield from lines


@case
def tcp_closed_by_peer(dst: str, port: str) -> Iterator[Truth]:
    with listening(dst, port) as server, tcp(dst) as client:
        client.connect((dst, int(port)))
        yield tcp_truth(client, dst, port, "connect")
        yield tcp_truth(client, dst, port, "connected")
        peer, _ = server.accept()
        peer.sendall(b"bye")
        peer.close()
        assert client.recv(64) == b"bye"
        assert client.recv(64) == b""
        yield tcp_truth(client, dst, port, "close", bytes=0, bytes_received=3)


def in_child_alone(sock: socket.socket, use: Callable[[], list[Truth]]) -> list[Truth]:
    """Runs in a child that is the only one to have the socket then."""
    (is_there, there), (may_go, go) = os.pipe(), os.pipe()

    def wait_and_use() -> list[Truth]:
        os.write(there, b"x")
        assert os.read(may_go, 1)
        return use()

    with ThreadPoolExecutor() as pool:
        said = pool.submit(in_child, wait_and_use)
        assert os.read(is_there, 1)
        sock.close()
        os.write(go, b"x")
        lines = said.result()
    for descriptor in (is_there, there, may_go, go):
        os.close(descriptor)
    return lines


@case
def tcp_closed_by_child(dst: str, port: str) -> Iterator[Truth]:
    """As inetd does it: one process connects, its child goes on with the connection."""
    opener = os.getpid()
    with listening(dst, port) as server:
        sock = tcp(dst)
        sock.connect((dst, int(port)))
        peer, _ = server.accept()
        yield tcp_truth(sock, dst, port, "connect")
        yield tcp_truth(sock, dst, port, "connected")

        def use() -> list[Truth]:
            sock.send(b"the child's")
            line = tcp_truth(sock, dst, port, "close", bytes=11, bytes_received=0)
            sock.close()
            return [{**line, "closed_by": "process", "opener": opener}]

        yield from in_child_alone(sock, use)
        assert peer.recv(64) == b"the child's"
        peer.close()


@case
def tcp_accepted_for_child(dst: str, port: str) -> Iterator[Truth]:
    """As inetd does it: one process accepts, its child closes."""
    with listening(dst, port) as server, tcp(dst) as client:
        client.connect((dst, int(port)))
        peer, address = server.accept()
        line = tcp_truth(peer, address[0], address[1], "accept")
        yield {**line, "accepted": True}

        def use() -> list[Truth]:
            line = tcp_truth(peer, address[0], address[1], "close", bytes_received=0)
            peer.close()
            return [{**line, "accepted": True, "closed_by": "process", "opener": line["ppid"]}]

        yield from in_child_alone(peer, use)


@case
def tcp_reset(dst: str, port: str) -> Iterator[Truth]:
    with listening(dst, port) as server, tcp(dst) as client:
        client.connect((dst, int(port)))
        yield tcp_truth(client, dst, port, "connect")
        yield tcp_truth(client, dst, port, "connected")
        peer, _ = server.accept()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
        peer.close()
        with expecting(104):
            client.recv(64)
        yield tcp_truth(
            client, dst, port, "close", outcome="failed", error="ECONNRESET", bytes_received=0
        )


def attempt(sock: socket.socket, dst: str, port: str, error: str) -> Iterator[Truth]:
    """A connection that was tried and failed later."""
    for event, reason in (("connect", None), ("connect_failed", error)):
        yield tcp_truth(sock, dst, port, event, error=reason)


def with_port(lines: Iterator[Truth], sport: int) -> Iterator[Truth]:
    """Of a socket that was bound before."""
    for line in lines:
        yield {**line, "sport": sport, "bound": True}


@case
def tcp_refused(dst: str, port: str) -> Iterator[Truth]:
    with tcp(dst) as sock:
        sock.bind(("", 0))
        sport = sock.getsockname()[1]
        with expecting(ECONNREFUSED):
            sock.connect((dst, int(port)))
        yield from with_port(attempt(sock, dst, port, "ECONNREFUSED"), sport)


@case
def tcp_timed_out(dst: str, port: str) -> Iterator[Truth]:
    with tcp(dst) as sock:
        sock.bind(("", 0))
        sport = sock.getsockname()[1]
        sock.setsockopt(socket.IPPROTO_TCP, TCP_SYNCNT, 1)
        sock.setsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT, 500)
        with expecting(110):
            sock.connect((dst, int(port)))
        yield from with_port(attempt(sock, dst, port, "ETIMEDOUT"), sport)


@case
def tcp_no_route(dst: str, port: str) -> Iterator[Truth]:
    """Fails before the socket's state changes."""
    with tcp(dst) as sock:
        with expecting(ENETUNREACH):
            sock.connect((dst, int(port)))
        yield tcp_truth(sock, dst, port, "connect_failed", error="ENETUNREACH")


@case
def tcp_given_up(dst: str, port: str) -> Iterator[Truth]:
    """Closed by its own process before an answer came."""
    sock = tcp(dst)
    sock.bind(("", 0))
    sport = sock.getsockname()[1]
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        sock.connect((dst, int(port)))
    lines = list(attempt(sock, dst, port, ""))
    lines[1]["error"] = None
    sock.close()
    yield from with_port(iter(lines), sport)


@case
def tcp_dissolved(dst: str, port: str) -> Iterator[Truth]:
    """Taken back by connect() to no family, and the socket used for another destination."""
    with tcp(dst) as sock:
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.connect((dst, int(port)))
        connect, failed = attempt(sock, dst, port, "")
        dissolve = sockaddr_in("0.0.0.0", 0, socket.AF_UNSPEC)
        assert libc.connect(sock.fileno(), dissolve, len(dissolve)) == 0
        with contextlib.suppress(BlockingIOError):
            sock.connect((dst, int(port) + 1))
        again = list(attempt(sock, dst, int(port) + 1, ""))
    for line in (connect, failed, *again):
        line["error"] = None
        yield line


@case
def tcp_unreachable(dst: str, port: str) -> Iterator[Truth]:
    """Nobody has the address: the neighbour's silence ends it (no answer in 3 s)."""
    with tcp(dst) as sock:
        sock.bind(("", 0))
        sport = sock.getsockname()[1]
        with expecting(113):
            sock.connect((dst, int(port)))
        yield from with_port(attempt(sock, dst, port, "EHOSTUNREACH"), sport)


@case
def tcp_accept(dst: str, port: str) -> Iterator[Truth]:
    """From the listening side: the peer is the remote end."""
    with listening(dst, port) as server, tcp(dst) as client:
        client.connect((dst, int(port)))
        peer, address = server.accept()
        yield {**tcp_truth(peer, address[0], address[1], "accept"), "accepted": True}
        client.sendall(b"hello")
        assert peer.recv(64) == b"hello"
        client.close()
        assert peer.recv(64) == b""
        line = tcp_truth(peer, address[0], address[1], "close", bytes_received=5)
        peer.close()
        yield {**line, "accepted": True}


@case
def connect(dst: str, port: str) -> Iterator[Truth]:
    """Nobody listens there."""
    yield from tcp_refused(dst, port)


CLONE_NEWNET = 0x40000000


def perform(request: dict[str, object]) -> dict[str, object]:
    """One case in this process, which is a child made for it."""
    if request.get("netns"):
        with open(f"/run/netns/{request['netns']}") as namespace:
            assert libc.setns(namespace.fileno(), CLONE_NEWNET) == 0
    started = time.monotonic()
    try:
        lines = list(CASES[str(request["case"])](request["dst"], **dict(request["options"])))
    except OSError as error:
        return {"unsupported": f"{error.strerror}"}
    return {"truth": lines, "seconds": time.monotonic() - started}


def serve() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(in_child(lambda request=request: perform(request))), flush=True)


def main() -> None:
    with open("/proc/self/comm", "w") as comm:
        comm.write("generator")
    if sys.argv[1] == "serve":
        serve()
        return
    name, dst, *options = sys.argv[1:]
    function = CASES[name]
    known = inspect.signature(function).parameters
    given = dict(option.split("=", 1) for option in options)
    assert set(given) <= set(known), f"{name} takes {list(known)}"
    for line in function(dst, **given):
        print(json.dumps(line))


if __name__ == "__main__":
    main()
