# SPDX-License-Identifier: Apache-2.0
"""Writes metrics now and then: how the tracer is, and what it has counted."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from tracer import __version__
from tracer.model.address import Network
from tracer.model.counts import COUNTS
from tracer.model.fields import LOSSES
from tracer.output.prometheus import Metric, MetricsFile, render
from tracer.trace.traffic import NamedDestination, Traffic

PERIOD: Final = 15.0  # seconds between two times

Counts = Mapping[str, int | None]  # by the names of the log's ``stop`` line; None: not known

# What the tracer counts besides, by name.
_COUNTERS: Final = {
    "seen": ("sockwatch_looked_at_total", "packets and changes of connections looked at"),
    "matched": ("sockwatch_matched_events_total", "events that match"),
    "undecided": ("sockwatch_undecided_events_total", COUNTS["undecided"].meaning),
    "unfinished": ("sockwatch_unfinished_events_total", COUNTS["unfinished"].meaning),
    "kernel_replies": ("sockwatch_kernel_packets_total", COUNTS["kernel_replies"].meaning),
    "log_lines_lost": ("sockwatch_log_lines_lost_total", COUNTS["log_lines_lost"].meaning),
}
_GAUGES: Final = {
    "existing": ("sockwatch_existing_sockets", COUNTS["existing"].meaning),
    "flows": ("sockwatch_flows", "flows that are remembered now"),
}
_LOST: Final = "what was missed, by kind, as sockwatch-log(5) explains them"


class MetricsOptions(NamedTuple):
    """Where metrics are written, and the values of ``--dst`` that traffic is counted by."""

    path: Path
    destinations: tuple[NamedDestination, ...] = ()

    @property
    def networks(self) -> tuple[Network, ...]:
        """All that the destinations stand for."""
        return tuple(dict.fromkeys(net for _, to in self.destinations for net in to.networks))


class Metrics:
    """Writes the metrics at once, every 15 seconds, and at the end. It is asked in passing, and
    wakes nobody by itself."""

    def __init__(
        self, file: MetricsFile, probe: str, traffic: Traffic, counts: Callable[[], Counts]
    ) -> None:
        self._file = file
        self._probe = probe
        self._traffic = traffic
        self._counts = counts
        self._started = time.time()
        self._write(up=True)

    def check(self) -> None:
        """Writes if it is time to."""
        if time.monotonic() >= self._next:
            self._write(up=True)

    def finish(self) -> None:
        """Writes for the last time."""
        self._write(up=False)

    def _write(self, *, up: bool) -> None:
        self._next = time.monotonic() + PERIOD
        run = _of_run(self._probe, self._started, up=up)
        health = _of_counts(self._counts())
        self._file.write(render([*run, *health, *self._traffic.metrics()]))


def _of_run(probe: str, started: float, *, up: bool) -> Iterator[Metric]:
    yield Metric(
        "sockwatch_build_info",
        "gauge",
        "The version, and the probe that it sees by.",
        [({"version": __version__, "probe": probe}, 1)],
    )
    for name, meaning, value in (
        ("up", "1: it traces; 0: it has ended.", int(up)),
        ("start_time_seconds", "When tracing began, in seconds since the epoch.", started),
        ("last_update_timestamp_seconds", "When this was written, likewise.", time.time()),
    ):
        yield Metric(f"sockwatch_{name}", "gauge", meaning, [({}, round(value, 3))])


def _of_counts(counts: Counts) -> Iterator[Metric]:
    for name, (metric, meaning) in _GAUGES.items():
        yield Metric(metric, "gauge", _sentence(meaning), _samples(counts, name))
    for name, (metric, meaning) in _COUNTERS.items():
        yield Metric(metric, "counter", _sentence(meaning), _samples(counts, name))
    lost = [({"kind": name}, value) for name in LOSSES for _, value in _samples(counts, name)]
    yield Metric("sockwatch_lost_events_total", "counter", _sentence(_LOST), lost)


def _samples(counts: Counts, name: str) -> list[tuple[dict[str, str], int]]:
    """Returns none where the count is not known."""
    value = counts.get(name)
    return [] if value is None else [({}, value)]


def _sentence(meaning: str) -> str:
    return f"{meaning[0].upper()}{meaning[1:]}."
