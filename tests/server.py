# SPDX-License-Identifier: Apache-2.0
"""A server that holds what it accepts.

    server.py ADDRESS PORT alone|workers|child|nobody

says as JSON who accepts, says "accepted" for each connection, and closes it once its other end has.
``workers``: another process holds the listening socket, too. ``child``: the acceptor leaves the
connection to a child. ``nobody`` accepts, and two processes could. Exits when its standard input
ends.
"""

import json
import os
import socket
import sys


def serve(server, leave_to_child):
    while True:
        sock, _ = server.accept()
        if leave_to_child and os.fork():
            sock.close()
            continue
        if leave_to_child:
            server.close()
        print("accepted", flush=True)
        while sock.recv(64):
            pass
        sock.close()
        print("closed", flush=True)
        if leave_to_child:
            os._exit(0)


def in_child(server, mode):
    if mode != "nobody":
        serve(server, mode == "child")
    os.read(0, 1)


def main():
    addr, port, mode = sys.argv[1:]
    family = socket.AF_INET6 if ":" in addr else socket.AF_INET
    server = socket.create_server((addr, int(port)), family=family, dualstack_ipv6=":" in addr)
    child = os.fork()
    if not child:
        in_child(server, mode)
        return
    if mode in ("alone", "child"):
        server.close()
    print(json.dumps({"pid": child}), flush=True)
    sys.stdin.read()
    os.kill(child, 9)
    os.waitpid(child, 0)


if __name__ == "__main__":
    main()
