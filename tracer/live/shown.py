# SPDX-License-Identifier: Apache-2.0
"""What is done with events besides logging them, with all or with those that are new."""

from collections.abc import Hashable, Sequence

from tracer.live.news import News
from tracer.trace.event import Event
from tracer.trace.options import Console, MakeSink
from tracer.trace.pipeline import Sink
from tracer.trace.streams import Stream


class Both:
    """Gives events to several sinks."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks

    def write(self, events: Sequence[Event]) -> None:
        """Gives a batch to each."""
        for sink in self._sinks:
            sink.write(events)


def as_json(console: Console) -> Sink:
    """Makes a sink that prints the log's lines."""
    return console.lines_to(Stream(console.out.write, lambda: console.out.lost))


def made(makers: Sequence[MakeSink], known: set[Hashable] | None, console: Console) -> Sink:
    """Makes one sink of several. ``known``: only what is new is given to them; None: all is."""
    sink = Both([make(console) for make in makers])
    return sink if known is None else News(known, sink)
