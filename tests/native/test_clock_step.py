# SPDX-License-Identifier: Apache-2.0
"""The clock is set while a process runs: only in a guest, whose clock is its own."""

import os
import time
from datetime import datetime

import pytest

from tests.cases import HERE
from tests.native.conftest import talking, wait_for

pytestmark = pytest.mark.skipif(
    not os.environ.get("SOCKWATCH_PROBES"), reason="it would set this machine's clock"
)
HOUR = 3600


@pytest.fixture
def step():
    """Sets the clock; at the end, back."""
    began = time.clock_gettime(time.CLOCK_BOOTTIME), time.time()
    yield lambda seconds: time.clock_settime(time.CLOCK_REALTIME, time.time() + seconds)
    passed = time.clock_gettime(time.CLOCK_BOOTTIME) - began[0]
    time.clock_settime(time.CLOCK_REALTIME, began[1] + passed)


def starts(event):
    return event["process"]["start_time"], event["process"]["start_boottime"]


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
def test_a_process_stays_one(start, step, seconds):
    tracer = start("--dst", HERE)
    with talking("udp", HERE, "9999") as old:
        old.talk()
        step(seconds)
        old.talk()
        wait_for(
            lambda: tracer.log.read_text().count('"event":"send"') == 2
        )  # it has seen the step
        stepped = time.time()
        with talking("udp", HERE, "9999") as new:
            new.talk()
        first, again, another = tracer.finish().events
        assert first["process"] == again["process"]
        began = datetime.fromisoformat(f"{starts(another)[0][:26]}+00:00")
        assert abs(began.timestamp() - stepped) < 60
        later = start("--dst", HERE)
        old.talk()
        (in_another_run,) = later.finish().events
    assert starts(in_another_run)[1] == starts(first)[1]
