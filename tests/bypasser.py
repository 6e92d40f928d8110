# SPDX-License-Identifier: Apache-2.0
"""Holds a way past the hooks, of which nothing is sent.

    bypasser.py WAY [ARGUMENT]

Prints "ready" once it is there, or the error for which it cannot be, and exits when its standard
input ends.
"""

import ctypes
import fcntl
import os
import socket
import struct
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from pyroute2 import IPRoute

from tracer.kernel import syscall

SOL_PACKET, PACKET_TX_RING, PACKET_QDISC_BYPASS = 263, 13, 20
AF_XDP, CLONE_FILES = 44, 0x400
NETLINK_NETFILTER, NFQNL_MSG_CONFIG, NFQA_CFG_CMD = 12, 3 << 8 | 2, 1
TUNSETIFF, IFF_TUN, IFF_TAP = 0x400454CA, 1, 2
BPF_LINK_CREATE, XDP_SKB_MODE = 28, 2
XDP, SCHED_CLS, SK_MSG, SOCK_ADDR = 6, 3, 16, 18  # enum bpf_prog_type
ON_XDP, TCX_EGRESS, MSG_VERDICT, CONNECT4 = 37, 47, 7, 10  # enum bpf_attach_type
EGRESS = 0xFFFFFFF3  # of a clsact


libc = ctypes.CDLL(None)


def packet(*_):
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)


def bypass(*_):
    sock = packet()
    sock.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
    return sock


def ring(*_):
    sock = packet()
    sock.setsockopt(SOL_PACKET, PACKET_TX_RING, struct.pack("=4I", 4096, 1, 2048, 2))
    return sock


def xdp_socket(*_):
    return socket.socket(AF_XDP, socket.SOCK_RAW, 0)


def raw(*_):
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)


def raw6(*_):
    return socket.socket(socket.AF_INET6, socket.SOCK_RAW, 255)


def ping(*_):
    """It is listed from its first packet on, or once it is bound (ping_get_port())."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    sock.bind(("127.0.0.1", 7))
    return sock


def sctp(*_):
    return socket.socket(socket.AF_INET, socket.SOCK_SEQPACKET, socket.IPPROTO_SCTP)


def queue(number):
    """Binds it: NFQNL_CFG_CMD_BIND."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    sock.bind((0, 0))
    command = struct.pack("=HHBBH", 8, NFQA_CFG_CMD, 1, 0, 0)
    body = struct.pack("=BB2s", 0, 0, int(number).to_bytes(2)) + command
    sock.send(struct.pack("=IHHII", 16 + len(body), NFQNL_MSG_CONFIG, 1 | 4, 0, 0) + body)
    (error,) = struct.unpack_from("=i", sock.recv(4096), 16)
    if error:
        raise OSError(-error, os.strerror(-error))
    return sock


def thread(*_):
    """A socket that only a thread's own table of descriptors has."""
    ready, end = threading.Event(), threading.Event()

    def run():
        libc.unshare(CLONE_FILES)
        with bypass():
            ready.set()
            end.wait()

    threading.Thread(target=run, daemon=True).start()
    ready.wait()
    return end


def device(name, flags):
    file = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(file, TUNSETIFF, struct.pack("=16sH22x", name.encode(), flags | 0x1000))
    return file


def tun(name):
    return device(name, IFF_TUN)


def tap(name):
    return device(name, IFF_TAP)


def opened(path):
    return os.open(path, os.O_RDWR)


def load(kind, attach_type=0, result=0):
    return syscall.prog_load(
        syscall.Program("past", program(result), kind, attach_type=attach_type)
    )


def program(result):
    """r0 = result; exit"""
    return bytes.fromhex(f"b7000000{result:02x}000000 9500000000000000")


def link(descriptor, target, attach_type, flags=0):
    return syscall._bpf(
        BPF_LINK_CREATE, struct.pack("=IIII", descriptor, target, attach_type, flags)
    )


def xdp(name):
    return link(load(XDP, ON_XDP, 2), socket.if_nametoindex(name), ON_XDP, XDP_SKB_MODE)


def tcx(name):
    descriptor = load(SCHED_CLS, result=0xFF)  # TCX_NEXT, -1, as a byte: passed on in any case
    return link(descriptor, socket.if_nametoindex(name), TCX_EGRESS)


def tc_bpf(name):
    """By netlink: it stays, whatever becomes of us."""
    descriptor, index = load(SCHED_CLS), socket.if_nametoindex(name)
    with IPRoute() as route:
        route.tc("add", "clsact", index)
        route.tc("add-filter", "bpf", index, fd=descriptor, name="past", parent=EGRESS, classid=1)
    return descriptor


def sk_msg(*_):
    return load(SK_MSG, MSG_VERDICT, 1)


def connect4(cgroup):
    descriptor = os.open(cgroup, os.O_RDONLY)
    return link(load(SOCK_ADDR, CONNECT4, 1), descriptor, CONNECT4)


def main():
    try:
        held = globals()[sys.argv[1]](*sys.argv[2:])
    except OSError as error:
        print(error, flush=True)
        return
    print("ready", flush=True)
    sys.stdin.read()
    del held


if __name__ == "__main__":
    main()
