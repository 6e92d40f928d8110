# SPDX-License-Identifier: Apache-2.0
"""What a user is shown of a run, where nobody reads for a while."""

import json
import os
import time

import pytest

from tracer.clock import WallClock
from tracer.trace import screen


@pytest.fixture
def ends():
    reader, ours = os.pipe()
    with open(reader, "rb") as reading, open(ours, "w") as writing:
        yield reading, writing


@pytest.mark.parametrize("as_json", [True, False])
def test_what_stands_where_lines_are_missing(ends, as_json):
    reading, writing = ends
    shown = screen.stdout_of(writing, WallClock(), pytest.fail, json=as_json)
    shown.write("one\n" * 4_000_000)
    dropped = shown.lost
    assert dropped > 0
    text = os.read(reading.fileno(), 1 << 20)
    while shown.pending:
        shown.flush(0)
        text += os.read(reading.fileno(), 1 << 20)
    last = text.splitlines()[-1]
    if as_json:
        line = json.loads(last)
        assert line.pop("time").endswith("Z")
        assert line == {"event": "lost", "lost": 0, "output_lines_lost": dropped}
    else:
        assert last.decode() == f"… {dropped} lines missing: nobody read them"


def test_a_pause_takes_its_time_and_writes_meanwhile(ends):
    reading, writing = ends
    shown = screen.stdout_of(writing, WallClock(), pytest.fail, json=False)
    shown.write("x" * 100_000 + "\n")
    assert shown.pending
    os.read(reading.fileno(), 1 << 16)
    before = time.monotonic()
    screen.pause(0.01, shown)
    assert not shown.pending
    assert time.monotonic() - before >= 0.01
