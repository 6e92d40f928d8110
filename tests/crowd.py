# SPDX-License-Identifier: Apache-2.0
"""Sockets in every state that loopback allows: makes them, says what it made, and holds them until
its standard input ends. To be run in a network namespace of its own, with ``lo`` up."""

import json
import os
import resource
import socket
import subprocess
import sys
import time
from socket import AF_INET, AF_INET6, SOCK_DGRAM, SOCK_STREAM

V4, V6 = (AF_INET, "127.0.0.1"), (AF_INET6, "::1")
MAPPED = (AF_INET6, "::ffff:127.0.0.1")
FIN_WAIT_2 = 5  # include/net/tcp_states.h; tcpi_state, the first byte of struct tcp_info
SILENT_PORT = 4444  # what is sent there is dropped
DROP = f"""
table inet crowd {{
    chain input {{
        type filter hook input priority 0;
        tcp dport {SILENT_PORT} drop
    }}
}}
"""

held = []  # all that must stay open
made: dict[str, int] = {}  # state (as ss writes it) to how many there must be at least


def count(*states, number=1):
    for state in states:
        made[state] = made.get(state, 0) + number


def new(family, kind=SOCK_STREAM):
    sock = socket.socket(family, kind)
    held.append(sock)
    return sock


def listener(family, addr, backlog=512, port=0):
    sock = new(family)
    sock.bind((addr, port))
    sock.listen(backlog)
    count("LISTEN")
    return sock


def port_of(sock):
    return sock.getsockname()[1]


def pair(server, family, addr):
    client = new(family)
    client.connect((addr, port_of(server)))
    accepted, _ = server.accept()
    held.append(accepted)
    return client, accepted


def let_go(sock):
    held.remove(sock)
    sock.close()


def silence(sock):
    """Whatever it sends from now on is lost."""
    nft(f"add rule inet crowd input tcp sport {port_of(sock)} drop")


def connections(number):
    for family, addr in (V4, V6):
        server = listener(family, addr)
        for _ in range(number):
            pair(server, family, addr)
        count("ESTAB", number=2 * number)
    dual = listener(AF_INET6, "::")
    for family, addr in (V4, V6, MAPPED):
        pair(dual, family, addr)
    count("ESTAB", number=6)


def endings(number):
    for family, addr in (V4, V6):
        server = listener(family, addr)
        for _ in range(number):
            client, accepted = pair(server, family, addr)
            let_go(client)
            let_go(accepted)
            client, _ = pair(server, family, addr)
            client.shutdown(socket.SHUT_WR)
            client, _ = pair(server, family, addr)
            let_go(client)  # FIN-WAIT-2, which nobody holds
            count("TIME-WAIT", *["CLOSE-WAIT", "FIN-WAIT-2"] * 2)
        client, _ = pair(server, family, addr)
        silence(client)
        client.shutdown(socket.SHUT_WR)
        server = listener(family, addr)
        client, accepted = pair(server, family, addr)
        client.shutdown(socket.SHUT_WR)
        while client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != FIN_WAIT_2:
            time.sleep(0.001)
        silence(accepted)
        accepted.shutdown(socket.SHUT_WR)
        count("FIN-WAIT-1", "ESTAB", "LAST-ACK", "FIN-WAIT-2")


def closing():
    """Each side's FIN is sent, and one of them is lost."""
    server = listener(*V4)
    client, accepted = pair(server, *V4)
    silence(client)
    client.shutdown(socket.SHUT_WR)
    accepted.shutdown(socket.SHUT_WR)
    count("CLOSING", "FIN-WAIT-1")


def beginnings(number):
    for family, addr in (V4, V6):
        for _ in range(number):
            client = new(family)
            client.setblocking(False)
            client.connect_ex((addr, SILENT_PORT))
            count("SYN-SENT")
        server = listener(family, addr)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 600)
        for _ in range(number):
            client = new(family)
            client.connect((addr, port_of(server)))  # which says nothing: not yet accepted
            count("ESTAB", "SYN-RECV")


def listeners(number):
    for _ in range(number):
        for family, addr in (V4, V6, (AF_INET, "0.0.0.0"), (AF_INET6, "::")):
            listener(family, addr)
    only = new(AF_INET6)
    only.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    only.bind(("::", 0))
    only.listen()
    to_device = new(AF_INET)
    to_device.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    to_device.bind(("0.0.0.0", 0))
    to_device.listen()
    count("LISTEN", number=2)


def bound(number):
    """Neither listening nor connected; to the inodes."""
    inodes = []
    for family, addr in (V4, V6, (AF_INET6, "::")):
        for _ in range(number):
            sock = new(family)
            sock.bind((addr, 0))
            inodes.append(os.fstat(sock.fileno()).st_ino)
    return inodes


def datagrams(number):
    for family, addr in (V4, V6, MAPPED, (AF_INET, "0.0.0.0"), (AF_INET6, "::")):
        for i in range(number):
            sock = new(family, SOCK_DGRAM)
            sock.bind((addr, 0))
            if i % 2 and addr not in ("0.0.0.0", "::"):
                sock.connect((addr, 9))
                count("ESTAB")
            else:
                count("UNCONN")
    waiting = new(AF_INET, SOCK_DGRAM)
    waiting.bind(("127.0.0.1", 0))
    sender = new(AF_INET, SOCK_DGRAM)
    sender.sendto(b"nobody reads it", waiting.getsockname())
    count("UNCONN", number=2)


def shared():
    """Held by a child as well, by one that it was passed to, and three times by one process."""
    inherited = new(AF_INET, SOCK_DGRAM)
    inherited.bind(("127.0.0.1", 0))
    twice = os.dup(os.dup(inherited.fileno()))
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    passed = new(AF_INET, SOCK_DGRAM)
    passed.bind(("127.0.0.1", 0))
    os.set_inheritable(inherited.fileno(), True)
    code = (
        "import socket,sys; s=socket.socket(fileno=int(sys.argv[1]));"
        "_,fds,_,_=socket.recv_fds(s,1,1); print(flush=True); sys.stdin.read()"
    )
    os.set_inheritable(theirs.fileno(), True)
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(theirs.fileno())],
        pass_fds=[inherited.fileno(), theirs.fileno()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    socket.send_fds(ours, [b"x"], [passed.fileno()])
    assert child.stdout.readline()
    count("UNCONN", number=2)
    return child, {
        "pids": [os.getpid(), child.pid],
        "inherited": os.fstat(inherited.fileno()).st_ino,
        "fds": sorted([inherited.fileno(), twice, twice - 1]),
        "passed": os.fstat(passed.fileno()).st_ino,
    }


def nft(text):
    subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)


def main():
    """Arguments: how many connections and datagram sockets of each kind."""
    number = int(sys.argv[1])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    nft(DROP)
    connections(number)
    endings(number // 10)
    closing()
    beginnings(5)
    listeners(number // 10)
    inodes = bound(5)
    datagrams(number)
    child, sharing = shared()
    print(json.dumps({"made": made, "bound_inactive": inodes, "shared": sharing}), flush=True)
    sys.stdin.read()
    child.stdin.close()
    child.wait()


if __name__ == "__main__":
    main()
