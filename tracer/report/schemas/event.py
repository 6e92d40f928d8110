# SPDX-License-Identifier: Apache-2.0
"""An event of the log, with its ends as other schemas mean them: a source and a destination."""

import shlex
from pathlib import PurePath
from typing import Any, Final, NamedTuple

from tracer.model import protocols
from tracer.report import times

_CONNECTS: Final = ("connect", "connected", "connect_failed")
_OUTGOING: Final = (*_CONNECTS, "send")
_INCOMING: Final = ("accept", "receive")
_OF_PACKETS: Final = ("receive", "forward")  # their count is one of packets


class End(NamedTuple):
    """One end: what it is called, what NAT made of it, and what it has sent, in bytes of payload
    and packets; None: not known. ``is_here``: it is this machine's."""

    addr: str | None
    port: int | None
    zone: str | None
    name: str | None
    nat_addr: str | None
    nat_port: int | None
    bytes: int | None = None
    packets: int | None = None
    is_here: bool = False

    @property
    def host(self) -> str | None:
        """The address with its zone."""
        return f"{self.addr}%{self.zone}" if self.addr and self.zone else self.addr


class Event:
    """An event, read by paths as ``process.pid``; what is null or missing is None.

    ``source`` is who sends or connects, ``destination`` the other end: of ``accept`` and
    ``receive`` the source is the peer. Where that is not known (``close``, ``existing``,
    ``volume``), the source is this machine. ``here`` and ``there`` are ``src`` and ``dst``;
    ``local`` and ``peer`` are the same, but not of what is handed on for others. ``client`` and
    ``server`` are known of an attempt to connect, and of what was accepted.
    """

    def __init__(self, line: dict[str, Any], *, no_args: bool = False) -> None:
        """Raises ValueError, KeyError or TypeError if it is no event."""
        self._line = line
        self.kind: str = line["event"]
        self.protocol = protocols.number(line["proto"])  # below IP
        self.args: list[str] | None = None if no_args else self["process.args"]
        if not isinstance(self.args, list | None):
            raise TypeError("the arguments are no list")
        self.here, self.there = self._ends()
        is_incoming = self.kind in _INCOMING
        self.source, self.destination = self.here, self.there
        if is_incoming:
            self.source, self.destination = self.there, self.here
        if self.kind in _OF_PACKETS:
            self.source = self.source._replace(packets=self["count"])
        self.is_incoming = is_incoming
        self.is_outgoing = self.kind in _OUTGOING
        self.local = self.here if self.here.is_here else None
        self.peer = self.there if self.here.is_here else None
        self.client: End | None = None
        self.server: End | None = None
        if self.kind in _CONNECTS or self.kind == "accept":
            self.client, self.server = self.source, self.destination

    def __getitem__(self, path: str) -> Any:
        found: Any = self._line
        for name in path.split("."):
            if type(found) is not dict:
                return None
            found = found.get(name)
        return found

    @property
    def version(self) -> int | None:
        """The version of IP; None: neither address is known."""
        addr = self.there.addr or self.here.addr
        return None if addr is None else 6 if ":" in addr else 4

    @property
    def transport(self) -> str | None:
        """The protocol's name, if it has one."""
        name: str = self["proto"]
        return None if name.isdecimal() else name

    @property
    def has_ports(self) -> bool:
        """Whether its protocol has ports."""
        return self["proto"] in protocols.WITH_PORTS

    @property
    def is_aggregated(self) -> bool:
        """Whether it stands for several."""
        return (self["count"] or 0) > 1

    @property
    def moved(self) -> int | None:
        """What both ends have sent; None: it is not known of both."""
        sent, received = self.here.bytes, self.there.bytes
        return None if sent is None or received is None else int(sent + received)

    @property
    def duration(self) -> int | None:
        """Nanoseconds that the connection lived, or the attempt took."""
        lived: float | None = self["duration"]
        took: int | None = self["latency_us"] if lived is None else round(lived * 1e6)
        return None if took is None else took * 1000

    @property
    def process_id(self) -> str | None:
        """What tells a process from all others: boot, pid in the initial pid namespace (else as it
        is shown), and start since the boot."""
        started, boot = self["process.start_boottime"], self["host.boot_id"]
        pid = self["process.initial_pid"]
        if pid is None:
            pid = self["process.pid"]
        if started is None or pid is None:
            return None
        return "/".join(str(part) for part in (boot, pid, started) if part is not None)

    @property
    def whole_args(self) -> list[str] | None:
        """The arguments, unless some are left out."""
        return None if self["process.args_truncated"] else self.args

    @property
    def number_of_args(self) -> int | None:
        """How many arguments there are, unless some are left out."""
        return None if self.whole_args is None else len(self.whole_args)

    @property
    def command_line(self) -> str | None:
        """The arguments as a shell takes them, unless some are left out."""
        return None if self.whole_args is None else shlex.join(self.whole_args)

    @property
    def exe_name(self) -> str | None:
        """The program's file name."""
        path = self._text("process.exe")
        return path and PurePath(path.removesuffix(" (deleted)")).name

    @property
    def parent(self) -> dict[str, Any]:
        """The parent process; empty: not known."""
        first = next(iter(self["process.parents"] or ()), None)
        return first if isinstance(first, dict) else {}

    def nanoseconds(self, path: str) -> int | None:
        """Returns a time in nanoseconds since the epoch. Raises ValueError if it is none."""
        text = self._text(path)
        if text is None:
            return None
        time = times.checked(text.encode())
        return times.seconds(time[:19]) * 10**9 + int(time[20:29])

    def milliseconds(self, path: str) -> int | None:
        """Returns the same in milliseconds."""
        found = self.nanoseconds(path)
        return None if found is None else found // 10**6

    def _text(self, path: str) -> str | None:
        found = self[path]
        if found is not None and type(found) is not str:
            raise TypeError(f"{path} is no text")
        return found

    def _ends(self) -> tuple[End, End]:
        """Returns this machine's end, and the other one. A packet that is handed on has neither."""
        sent, received = self._moved()
        is_here = self.kind != "forward"
        here = self._end("src")._replace(bytes=sent, is_here=is_here)
        return here, self._end("dst")._replace(bytes=received)

    def _end(self, name: str) -> End:
        nat = f"nat.{name}."
        parts = (f"{name}.addr", f"{name}.port", f"{name}.zone", f"{name}.name")
        return End(*(self[path] for path in (*parts, f"{nat}addr", f"{nat}port")))

    def _moved(self) -> tuple[int | None, int | None]:
        """Returns what was sent and received since the lines before, so that sums are right."""
        if self.kind == "close":
            return self["bytes_since"], self["bytes_received_since"]
        if self.kind == "existing":
            return None, None
        return None if self.kind == "receive" else self["bytes"], self["bytes_received"]
