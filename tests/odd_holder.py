# SPDX-License-Identifier: Apache-2.0
"""A process that holds a connected UDP socket in a place where few look.

    odd_holder.py PLACE ADDRESS PORT

``ended``: the first thread has ended, another one goes on; ``table``: a thread has a descriptor
table of its own; ``ring``: it is registered with an io_uring, and its descriptor is closed;
``flight``: it is in a message that nobody has received. Says as JSON which socket it is, sends a
datagram for each line of its standard input (the first two), and exits when that ends.
"""

import array
import contextlib
import ctypes
import json
import os
import platform
import socket
import subprocess
import sys
import threading
import time

CLONE_FILES = 0x400
EXIT = {"x86_64": 60, "aarch64": 93}[platform.machine()]  # of a thread, not of the process
IO_URING_SETUP, IO_URING_REGISTER = 425, 427
IORING_REGISTER_FILES = 2

libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def holding(place, addr="127.0.0.5", port=7099, netns=None):
    """Runs one; yields it, and what it says."""
    inside = ["ip", "netns", "exec", netns] if netns else []
    argv = [*inside, sys.executable, __file__, place, addr, str(port)]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True) as process:
        line = process.stdout.readline()
        assert line, "it could not start"
        yield process, json.loads(line)
        process.stdin.close()


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def connected(addr, port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((addr, port))
    return sock


def hold(sock):
    said = {"pid": os.getpid(), "inode": os.fstat(sock.fileno()).st_ino}
    print(json.dumps(said), flush=True)
    for _ in sys.stdin:
        sock.send(b"from an odd holder")
        print(flush=True)
    os._exit(0)


def hold_without_descriptor(sock, keep):
    said = {"pid": os.getpid(), "inode": os.fstat(sock.fileno()).st_ino}
    keep(sock)
    sock.close()
    print(json.dumps(said), flush=True)
    sys.stdin.read()


def in_ring(sock):
    ring = check(libc.syscall(IO_URING_SETUP, 8, ctypes.create_string_buffer(120)))
    files = (ctypes.c_int * 1)(sock.fileno())
    check(libc.syscall(IO_URING_REGISTER, ring, IORING_REGISTER_FILES, files, 1))


def in_flight(sock):
    global ends  # noqa: PLW0603  they stay open
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    descriptors = array.array("i", [sock.fileno()])
    ends[0].sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])


def with_own_table(addr, port):
    check(libc.unshare(CLONE_FILES))
    hold(connected(addr, port))


def outlive_main(addr, port, main):
    while os.path.exists(f"/proc/{main}/exe"):  # noqa: PTH110  the first thread is there
        time.sleep(0.01)
    hold(connected(addr, port))


def main():
    place, addr, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if place == "ended":
        threading.Thread(target=outlive_main, args=(addr, port, os.getpid())).start()
        libc.syscall(EXIT, 0)
    elif place == "table":
        thread = threading.Thread(target=with_own_table, args=(addr, port))
        thread.start()
        thread.join()
    else:
        hold_without_descriptor(
            connected(addr, port), {"ring": in_ring, "flight": in_flight}[place]
        )


if __name__ == "__main__":
    main()
