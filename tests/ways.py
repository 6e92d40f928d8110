# SPDX-License-Identifier: Apache-2.0
"""Sends by a machine's two links in many ways, and keeps the sockets.

    ways.py WAY,DESTINATION,PORT...

A link-local DESTINATION has its zone: ``fe80::5%d0``. Prints a line once all is sent, and exits
when its standard input ends.
"""

import os
import socket
import struct
import sys
import threading

IP_PKTINFO = 8  # include/uapi/linux/in.h
IP_UNICAST_IF = 50
SO_MARK = 36  # include/uapi/asm-generic/socket.h
MARK = 7
OWNER = 65_534
DEVICE = "d1"  # what a way names, and its address
ADDRESS = "10.91.0.1"
SHARED = 200  # datagrams of each thread of ``shared``


def datagram_socket(addr):
    family = socket.AF_INET6 if ":" in addr else socket.AF_INET
    return socket.socket(family, socket.SOCK_DGRAM)


def address(addr, port):
    """With the zone as the kernel takes it: a number."""
    return socket.getaddrinfo(addr, port, type=socket.SOCK_DGRAM)[0][4]


def sendto(addr, port):
    sock = datagram_socket(addr)
    try:
        sock.sendto(b"way", address(addr, port))
    except OSError as error:
        print(f"{addr}: {error}", file=sys.stderr)
    return sock


def connected(addr, port):
    sock = datagram_socket(addr)
    sock.connect(address(addr, port))
    sock.send(b"way")
    return sock


def bound(addr, port):
    sock = datagram_socket(addr)
    sock.bind((ADDRESS, 0))
    sock.sendto(b"way", (addr, port))
    return sock


def owned(addr, port):
    """A socket belongs to who made it, whoever sends with it."""
    os.seteuid(OWNER)
    sock = datagram_socket(addr)
    os.seteuid(0)
    sock.sendto(b"way", (addr, port))
    return sock


def marked(addr, port):
    sock = datagram_socket(addr)
    sock.setsockopt(socket.SOL_SOCKET, SO_MARK, MARK)
    sock.sendto(b"way", (addr, port))
    return sock


def multicast_if(addr, port):
    sock = datagram_socket(addr)
    if ":" in addr:
        index = socket.if_nametoindex(DEVICE)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(ADDRESS))
    sock.sendto(b"way", (addr, port))
    return sock


def unicast_if(addr, port):
    sock = datagram_socket(addr)
    index = struct.pack("!I", socket.if_nametoindex(DEVICE))
    sock.setsockopt(socket.IPPROTO_IP, IP_UNICAST_IF, index)
    sock.sendto(b"way", (addr, port))
    return sock


def with_pktinfo(addr, port, index):
    sock = datagram_socket(addr)
    info = struct.pack("=I4s4s", index, socket.inet_aton(ADDRESS), bytes(4))
    sock.sendmsg([b"way"], [(socket.IPPROTO_IP, IP_PKTINFO, info)], 0, (addr, port))
    return sock


def pktinfo(addr, port):
    return with_pktinfo(addr, port, socket.if_nametoindex(DEVICE))


def pktinfo_source(addr, port):
    return with_pktinfo(addr, port, 0)


def to_device(addr, port):
    sock = datagram_socket(addr)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, DEVICE.encode())
    sock.sendto(b"way", (addr, port))
    return sock


def raw(addr, port):
    """The kernel looks for its route without ports."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    sock.sendto(struct.pack("!4H", port, port, 8, 0), (addr, 0))
    return sock


def tcp(addr, port):
    family = socket.AF_INET6 if ":" in addr else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.connect_ex(address(addr, port))
    return sock


def marked_tcp(addr, port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_MARK, MARK)
    sock.setblocking(False)
    sock.connect_ex((addr, port))
    return sock


def shared(addr, port):
    """Two threads send with one socket at the same time, each by its link: to PORT by d0, to the
    next one by d1."""
    sock = datagram_socket(addr)
    ends = [address(f"{addr}%d{number}", port + number) for number in (0, 1)]

    def send(end):
        for _ in range(SHARED):
            sock.sendto(b"way", end)

    threads = [threading.Thread(target=send, args=(end,)) for end in ends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sock


def main():
    kept = []
    for asked in sys.argv[1:]:
        way, addr, port = asked.split(",")
        kept.append(globals()[way](addr, int(port)))
    print("sent", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
