# SPDX-License-Identifier: Apache-2.0
"""What is new: the first event of each program and destination."""

from collections.abc import Hashable, Sequence
from typing import Final

from tracer.model import who
from tracer.model.flow import Flow
from tracer.trace.event import Event
from tracer.trace.pipeline import Sink

# The first port that the kernel gives to a socket that has not asked for one, unless told otherwise
# (net.ipv4.ip_local_port_range). A client's is another one each time.
_CLIENTS: Final = 32768


def pair_of(flow: Flow) -> Hashable:
    """Returns what tells programs and destinations apart: of a program its executable and script,
    of a destination its protocol, address, and port, unless it is a client's."""
    sender: Hashable = flow.sender
    if flow.process:
        role = who.role(flow.process)
        sender = role.program, role.script
    dst = flow.dst
    port = dst.port if dst.port and dst.port < _CLIENTS else None
    return sender, flow.proto, str(dst.addr), port


class News:
    """Gives the first event of each on to another sink."""

    def __init__(self, known: set[Hashable], sink: Sink) -> None:
        """``known`` are those that are not new, as :func:`pair_of`."""
        self._known = known
        self._sink = sink

    def write(self, events: Sequence[Event]) -> None:
        """Gives on those of a batch."""
        new = [event for event in events if self._is_new(event.tracked.flow)]
        if new:
            self._sink.write(new)

    def _is_new(self, flow: Flow) -> bool:
        pair = pair_of(flow)
        if pair in self._known:
            return False
        self._known.add(pair)
        return True
