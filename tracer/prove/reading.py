# SPDX-License-Identifier: Apache-2.0
"""Compares what a device says that it has sent with what its driver was handed.

Packets are sent while the counters are read. A reading is therefore the driver's count before and
after the device's: what the device has counted lies between those that the driver had taken before
and those that it was handed after.
"""

from typing import NamedTuple

from tracer.host.netlink.devices import Counters, Link
from tracer.kernel.sent import Sent


class Reading(NamedTuple):
    """One look at a device. The default is that of a new one: nothing was sent."""

    before: Sent = Sent()
    counters: Counters = Counters()
    after: Sent = Sent()

    @property
    def uncertain(self) -> int:
        """How many packets were on their way while it was read."""
        return self.after.started - self.before.ended


class Comparison(NamedTuple):
    """How many packets a device has counted that no hook saw (``unseen``), how many it has not
    counted though its driver was handed them and did not drop them (``missing``), and to how many
    packets this is certain."""

    unseen: int
    missing: int
    uncertain: int

    @property
    def agrees(self) -> bool:
        """Whether both counts are the same."""
        return not (self.unseen or self.missing)


def counts_segments(link: Link) -> bool:
    """Says whether a device may count what hardware makes of a packet. Those made of software count
    packets."""
    return link.kind is None


def compare(first: Reading, last: Reading, *, segments: bool) -> Comparison:
    """Compares what was counted between two readings. ``segments``: the device may count packets or
    what hardware makes of them.

    A driver may have dropped packets, which it then counts as dropped, or says at once. As many may
    be missing without a difference.
    """
    sent = last.counters.packets - first.counters.packets
    dropped = max(
        last.counters.dropped - first.counters.dropped, last.after.failed - first.before.failed, 0
    )
    uncertain = first.uncertain + last.uncertain
    found = [
        _difference(
            sent,
            dropped,
            last.before.ended - first.after.started,
            last.after.started - first.before.ended,
        )
    ]
    if segments:
        found.append(
            _difference(
                sent,
                dropped,
                last.before.segments - first.after.segments,
                last.after.segments - first.before.segments,
            )
        )
    return Comparison(*min(found, key=sum), uncertain)


def _difference(sent: int, dropped: int, least: int, most: int) -> tuple[int, int]:
    return max(0, sent - most), max(0, least - sent - dropped)
