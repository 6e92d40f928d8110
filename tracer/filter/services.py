# SPDX-License-Identifier: Apache-2.0
"""Names of services, as /etc/services has them."""

import contextlib
import ctypes
import functools
import socket


def ports(name: str) -> frozenset[int]:
    """Returns the ports that a service has with TCP and UDP; empty if there is no such service."""
    _ask_no_server()
    found = set()
    for protocol in ("tcp", "udp"):
        with contextlib.suppress(OSError, ValueError):
            found.add(socket.getservbyname(name, protocol))
    return frozenset(found)


@functools.cache
def _ask_no_server() -> None:
    """Limits look-ups to the file: nsswitch.conf(5) may have a directory server asked, and a
    question is traffic. Declared in glibc's <nss.h>; other C libraries read the file only."""
    libc = ctypes.CDLL(None)
    with contextlib.suppress(AttributeError):
        libc["__nss_configure_lookup"](b"services", b"files")
