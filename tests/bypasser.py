# SPDX-License-Identifier: Apache-2.0
"""Holds a way past the hooks.

    bypasser.py WAY [ARGUMENT...]

Prints "ready" once it is there, or the error for which it cannot be. Each line of its standard
input is written into what it holds (bytes, in hexadecimal), and answered by an empty line. It exits
when that ends.
"""

import base64
import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from pyroute2 import IPRoute, WireGuard

from tracer.kernel import syscall

SOL_PACKET, PACKET_TX_RING, PACKET_QDISC_BYPASS = 263, 13, 20
AF_XDP, CLONE_FILES, CLONE_NEWNET = 44, 0x400, 0x40000000
AF_RDS, AF_TIPC, AF_SMC, IPPROTO_L2TP = 21, 30, 43, 115
NETLINK_NETFILTER, NFQNL_MSG_CONFIG, NFQA_CFG_CMD = 12, 3 << 8 | 2, 1
NFQNL_MSG_VERDICT, NFQA_CFG_PARAMS, NFQA_PACKET_HDR, NFQA_VERDICT_HDR = 3 << 8 | 1, 2, 1, 2
NFQNL_COPY_META, NF_ACCEPT = 1, 1
IP_VS_SO_SET_ADD, IP_VS_SO_SET_ADDDEST = 1154, 1159  # include/uapi/linux/ip_vs.h
NBD_SET_SOCK, NBD_DO_IT, NBD_SET_SIZE_BLOCKS = 0xAB00, 0xAB03, 0xAB07  # include/uapi/linux/nbd.h
TUNSETIFF, IFF_TUN, IFF_TAP = 0x400454CA, 1, 2
BPF_LINK_CREATE, XDP_SKB_MODE = 28, 2
XDP, SCHED_CLS, SK_MSG, SOCK_ADDR = 6, 3, 16, 18  # enum bpf_prog_type
ON_XDP, TCX_EGRESS, MSG_VERDICT, CONNECT4 = 37, 47, 7, 10  # enum bpf_attach_type
UDP4_SENDMSG = 14
XDP_PASS, XDP_TX = 2, 3
EGRESS = 0xFFFFFFF3  # of a clsact


libc = ctypes.CDLL(None)
ALL = []  # what must not be closed


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


def smc(*_):
    return socket.socket(AF_SMC, socket.SOCK_STREAM, 0)


def rds(*_):
    return socket.socket(AF_RDS, socket.SOCK_SEQPACKET, 0)


def tipc(*_):
    return socket.socket(AF_TIPC, socket.SOCK_RDM, 0)


def l2tp(*_):
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM, IPPROTO_L2TP)


def queue(number):
    """Binds it: NFQNL_CFG_CMD_BIND."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    sock.bind((0, 0))
    configure(sock, number, struct.pack("=HHBBH", 8, NFQA_CFG_CMD, 1, 0, 0))
    return sock


def configure(sock, number, attribute):
    ask(sock, NFQNL_MSG_CONFIG, number, attribute, 4)
    (error,) = struct.unpack_from("=i", sock.recv(4096), 16)
    if error:
        raise OSError(-error, os.strerror(-error))


def ask(sock, kind, number, attribute, flags=0):
    body = struct.pack("=BB2s", 0, 0, int(number).to_bytes(2)) + attribute
    sock.send(struct.pack("=IHHII", 16 + len(body), kind, 1 | flags, 0, 0) + body)


def queue_that_accepts(number):
    """Its reader lets each packet go on."""
    sock = queue(number)
    meta = struct.pack("!IB3x", 0, NFQNL_COPY_META)
    configure(sock, number, struct.pack("=HH", 9, NFQA_CFG_PARAMS) + meta)

    def accept():
        while True:
            message = sock.recv(65536)
            # behind the headers comes NFQA_PACKET_HDR first, its number at its beginning
            verdict = struct.pack("!I", NF_ACCEPT) + message[24:28]
            ask(sock, NFQNL_MSG_VERDICT, number, struct.pack("=HH", 12, NFQA_VERDICT_HDR) + verdict)

    threading.Thread(target=accept, daemon=True).start()
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


def ipvs(service, server):
    """What is for port 9999 of SERVICE goes to SERVER: by struct ip_vs_service_user and others."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    port, mask = socket.htons(9999), socket.inet_aton("255.255.255.255")
    address = struct.pack("=H2x4sH2xI", socket.IPPROTO_UDP, socket.inet_aton(service), port, 0)
    asked = address + struct.pack("=16sII4s", b"rr", 0, 0, mask)
    sock.setsockopt(socket.IPPROTO_IP, IP_VS_SO_SET_ADD, asked)
    end = struct.pack("=4sH2xIiII", socket.inet_aton(server), port, 0, 1, 0, 0)
    sock.setsockopt(socket.IPPROTO_IP, IP_VS_SO_SET_ADDDEST, asked + end)
    return sock


def wireguard(name, server):
    """Gives the device a peer; keys that belong to nobody."""
    with WireGuard() as asks:
        key = base64.b64encode(bytes(range(32))).decode()
        peer = {"public_key": key, "endpoint_addr": server, "endpoint_port": 51820,
                "allowed_ips": ["10.8.0.0/24"]}  # fmt: skip
        asks.set(name, private_key=key, peer=peer)


def nbd(path):
    """A block device whose server, here too, does not answer."""
    server = socket.create_server(("127.0.0.5", 7101))
    client = socket.create_connection(("127.0.0.5", 7101))
    file = os.open(path, os.O_RDWR)
    fcntl.ioctl(file, NBD_SET_SOCK, client.fileno())
    fcntl.ioctl(file, NBD_SET_SIZE_BLOCKS, 16)
    threading.Thread(target=fcntl.ioctl, args=(file, NBD_DO_IT), daemon=True).start()
    for _ in range(1000):  # it is connected once the kernel says by whom
        if Path("/sys/block", Path(path).name, "pid").exists():
            break
        time.sleep(0.01)
    ALL.append((server, client))


def unnamed(keeps, way):
    """Holds another way in a network namespace without a name, to which leads a "thread", a
    descriptor ("file"), or nothing but its sockets ("socket")."""
    ready, end, held = threading.Event(), threading.Event(), []

    def run():
        libc.unshare(CLONE_NEWNET)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        held.append(globals()[way]())
        if keeps == "file":
            ALL.append(open("/proc/thread-self/ns/net"))  # noqa: SIM115
        ready.set()
        if keeps == "thread":
            end.wait()

    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    ready.wait()
    if keeps != "thread":
        worker.join()
    return held[0]


def connection():
    """A TCP connection; one end of it."""
    ALL.append(socket.create_server(("127.0.0.5", 7100)))
    ALL.append(socket.create_connection(("127.0.0.5", 7100)))
    return ALL[-1].fileno()


def bypass_on_lo():
    ALL.append(bypass())
    ALL[-1].bind(("lo", 0x0800))
    return ALL[-1].fileno()


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


def load(kind, attach_type=0, result=0, before=b""):
    return syscall.prog_load(
        syscall.Program("past", before + program(result), kind, attach_type=attach_type)
    )


def program(result):
    """r0 = result; exit"""
    return bytes.fromhex(f"b7000000{result:02x}000000 9500000000000000")


def link(descriptor, target, attach_type, flags=0):
    return syscall._bpf(
        BPF_LINK_CREATE, struct.pack("=IIII", descriptor, target, attach_type, flags)
    )


def xdp(name, result=XDP_PASS):
    return link(load(XDP, ON_XDP, result), socket.if_nametoindex(name), ON_XDP, XDP_SKB_MODE)


def xdp_answers(name):
    """Sends back what the device TAP receives: holds both."""
    file = tap(name)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    ALL.append(xdp(name, XDP_TX))
    return file


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


def sendmsg4(cgroup, to):
    """What the cgroup sends goes to one address: bpf_sock_addr.user_ip4, 4 bytes from r1, is r2."""
    before = bytes.fromhex("b7020000") + socket.inet_aton(to) + bytes.fromhex("6321040000000000")
    descriptor = os.open(cgroup, os.O_RDONLY)
    return link(load(SOCK_ADDR, UDP4_SENDMSG, 1, before), descriptor, UDP4_SENDMSG)


def main():
    try:
        held = globals()[sys.argv[1]](*sys.argv[2:])
    except OSError as error:
        print(error, flush=True)
        return
    print("ready", flush=True)
    for line in sys.stdin:
        os.write(held, bytes.fromhex(line))
        print(flush=True)
    del held


if __name__ == "__main__":
    main()
