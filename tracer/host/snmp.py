# SPDX-License-Identifier: Apache-2.0
"""How many UDP datagrams a network namespace says that it has sent, by ``/proc/net/snmp`` and
``snmp6`` (snmp_seq_show(), net/ipv4/proc.c; snmp6_seq_show(), net/ipv6/proc.c)."""

import contextlib
import os
from pathlib import Path
from typing import Final, NamedTuple

_FOLDER: Final = Path("/proc/thread-self/net")
_LARGEST: Final = 1 << 16  # bytes; the files have some 4 KB


class Datagrams(NamedTuple):
    """Sent by IPv4 and by IPv6, those of UDP-Lite with them."""

    ipv4: int = 0
    ipv6: int = 0


class UdpCounters:
    """The counters of the network namespace that this is made in, which it keeps alive."""

    def __init__(self) -> None:
        """Raises OSError."""
        with contextlib.ExitStack() as undo:
            self._ipv4 = undo.enter_context((_FOLDER / "snmp").open("rb", buffering=0))
            self._ipv6 = None
            with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
                self._ipv6 = undo.enter_context((_FOLDER / "snmp6").open("rb", buffering=0))
            self._open = undo.pop_all()

    def sent(self) -> Datagrams:
        """Reads them: no less than at the call. Raises OSError."""
        ipv4 = os.pread(self._ipv4.fileno(), _LARGEST, 0).decode()
        ipv6 = os.pread(self._ipv6.fileno(), _LARGEST, 0).decode() if self._ipv6 else ""
        return Datagrams(of_snmp(ipv4), of_snmp6(ipv6))

    def close(self) -> None:
        """Lets the namespace go."""
        self._open.close()


def of_snmp(text: str) -> int:
    """Decodes what was sent by IPv4: each protocol has a line of names, and one of values."""
    lines = [line.split() for line in text.splitlines()]
    pairs = [dict(zip(*pair, strict=True)) for pair in zip(lines[::2], lines[1::2], strict=True)]
    return sum(int(found["OutDatagrams"]) for found in pairs if "OutDatagrams" in found)


def of_snmp6(text: str) -> int:
    """Decodes what was sent by IPv6: each line is a name and a value."""
    lines = [line.split() for line in text.splitlines()]
    return sum(int(value) for name, value in lines if name.endswith("OutDatagrams"))
