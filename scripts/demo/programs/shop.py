# SPDX-License-Identifier: Apache-2.0
"""Keeps one connection to its database, and asks it something every second."""

import os
import socket
import time

with socket.create_connection((os.environ["SERVER"], 5432)) as sock:
    print("ready", flush=True)
    while True:
        sock.sendall(bytes(200))
        sock.recv(4096)
        time.sleep(1)
