# SPDX-License-Identifier: Apache-2.0
"""Sends in one way, and says what it sent: the truth that tests compare a log with.

    generator.py CASE DESTINATION [NAME=VALUE...]

prints a JSON line for each event that the tracer should see, then exits. Runs under any
python3, in any network namespace; sends to DESTINATION only.
"""

import ctypes
import inspect
import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator

PORT = 9999

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


def truth(sock: socket.socket, dst: str, size: int, port: int = PORT, **other: object) -> Truth:
    with open("/proc/self/comm") as comm:
        name = comm.read().strip()
    with open("/proc/thread-self/comm") as comm:
        thread = comm.read().strip()
    return {
        "event": "send",
        "proto": "udp",
        "outcome": "sent",
        "pid": os.getpid(),
        "tid": threading.get_native_id(),
        "ppid": os.getppid(),
        "uid": os.getuid(),
        "comm": name,
        "thread": thread,
        "sport": sock.getsockname()[1],
        "dst": dst.removeprefix("::ffff:"),
        "dport": port,
        "bytes": size,
        **other,
    }


@case
def sendto(dst: str, count: str = "1", size: str = "", port: str = str(PORT)) -> Iterator[Truth]:
    with udp(dst) as sock:
        for i in range(int(count)):
            payload = b"x" * int(size or i)
            sock.sendto(payload, (dst, int(port)))
            yield truth(sock, dst, len(payload), int(port))


@case
def send(dst: str) -> Iterator[Truth]:
    with udp(dst) as sock:
        sock.connect((dst, PORT))
        sock.send(b"connected")
        yield truth(sock, dst, 9)


@case
def zero_bytes(dst: str) -> Iterator[Truth]:
    with udp(dst) as sock:
        sock.sendto(b"", (dst, PORT))
        yield truth(sock, dst, 0)


@case
def mapped(dst: str) -> Iterator[Truth]:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"mapped", (f"::ffff:{dst}", PORT))
        yield truth(sock, dst, 6)


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


def sockaddr_in(addr: str, port: int) -> bytes:
    return (
        socket.AF_INET.to_bytes(2, sys.byteorder)
        + port.to_bytes(2, "big")
        + socket.inet_pton(socket.AF_INET, addr)
        + bytes(8)
    )


@case
def sendmmsg(dst: str) -> Iterator[Truth]:
    payloads = [b"a" * 10, b"b" * 20, b"c" * 30]
    names = [sockaddr_in(dst, port) for port in (PORT, PORT + 1, PORT)]
    iovecs = [(Iovec * 1)(Iovec(payload, len(payload))) for payload in payloads]
    messages = (Mmsghdr * 3)()
    for message, name, iovec in zip(messages, names, iovecs, strict=True):
        message.header = Msghdr(name, len(name), iovec, 1, None, 0, 0)
    with udp(dst) as sock:
        assert libc.sendmmsg(sock.fileno(), messages, 3, 0) == 3
        for payload, port in zip(payloads, (PORT, PORT + 1, PORT), strict=True):
            yield truth(sock, dst, len(payload), port)


@case
def thread(dst: str) -> Iterator[Truth]:
    found: list[Truth] = []

    def work() -> None:
        with open("/proc/thread-self/comm", "w") as comm:
            comm.write("worker-7")
        found.extend(sendto(dst, "2", "5"))

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert found[0]["tid"] != os.getpid()
    yield from found


@case
def two_destinations(dst: str, other: str) -> Iterator[Truth]:
    with udp(dst) as sock:
        for addr in (dst, other, dst):
            sock.sendto(b"to one of two", (addr, PORT))
            yield truth(sock, addr, 13)


UDP_SEGMENT = 103  # include/uapi/linux/udp.h


@case
def gso(dst: str) -> Iterator[Truth]:
    with udp(dst) as sock:
        sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 100)
        sock.sendto(b"x" * 950, (dst, PORT))
        yield truth(sock, dst, 950, segments=10)


@case
def fragments(dst: str) -> Iterator[Truth]:
    with udp(dst) as sock:
        sock.sendto(b"x" * 5000, (dst, PORT))
        yield truth(sock, dst, 5000)


@case
def bound(dst: str, sport: str = "40001") -> Iterator[Truth]:
    with udp(dst) as sock:
        sock.bind(("", int(sport)))
        sock.sendto(b"from a known port", (dst, PORT))
        yield truth(sock, dst, 17)


@case
def name(dst: str, comm: str) -> Iterator[Truth]:
    with open("/proc/self/comm", "w") as own:
        own.write(comm.encode().decode("unicode_escape"))
    yield from sendto(dst, "1", "3")


@case
def user(dst: str, uid: str) -> Iterator[Truth]:
    os.setuid(int(uid))
    yield from sendto(dst, "1", "3")


@case
def connect(dst: str, port: str) -> Iterator[Truth]:
    with socket.socket(family_of(dst), socket.SOCK_STREAM) as sock:
        result = sock.connect_ex((dst, int(port)))
        assert result in (0, 111), os.strerror(result)
        yield truth(sock, dst, 0, int(port), event="connect", proto="tcp", outcome=None, sport=None)


def main() -> None:
    with open("/proc/self/comm", "w") as comm:
        comm.write("generator")
    name, dst, *options = sys.argv[1:]
    function = CASES[name]
    known = inspect.signature(function).parameters
    given = dict(option.split("=", 1) for option in options)
    assert set(given) <= set(known), f"{name} takes {list(known)}"
    for line in function(dst, **given):
        print(json.dumps(line))


if __name__ == "__main__":
    main()
