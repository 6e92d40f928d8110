# SPDX-License-Identifier: Apache-2.0
"""Sends 24 MB."""

import os
import socket

MEGABYTE = bytes(1_000_000)

with socket.create_connection((os.environ["SERVER"], 873)) as sock:
    for _ in range(24):
        sock.sendall(MEGABYTE)
    sock.shutdown(socket.SHUT_WR)
    sock.recv(4)
