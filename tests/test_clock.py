# SPDX-License-Identifier: Apache-2.0
import re
import time

import pytest

from tracer.clock import WallClock, boot_now


def test_now_is_now():
    assert abs(WallClock().wall(boot_now()) - time.time_ns()) < 50_000_000


def test_iso_is_utc_to_the_nanosecond():
    clock = WallClock()
    boot = 5_000_000_001
    text = clock.iso(boot)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", text)
    assert text[:19] == time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(clock.wall(boot) // 10**9))
    assert int(text[20:29]) == clock.wall(boot) % 10**9


HOUR = 3600 * 10**9


class Clocks:
    """The machine's two, which tests set."""

    def __init__(self):
        self.boot, self.wall = 100 * 10**9, 1_700_000_000 * 10**9

    def read(self, number):
        return {time.CLOCK_REALTIME: self.wall, time.CLOCK_BOOTTIME: self.boot}[number]

    def run(self, nanoseconds, step=0):
        self.boot += nanoseconds
        self.wall += nanoseconds + step


@pytest.fixture
def clocks(monkeypatch):
    made = Clocks()
    monkeypatch.setattr(time, "clock_gettime_ns", made.read)
    return made


def test_a_stepped_clock_moves_later_events_only(clocks):
    clock = WallClock()
    before = clock.iso(10**12)
    clocks.run(10**9, step=HOUR)
    assert clock.iso(10**12) == before
    shift = -clock.wall(0)
    clock.measure()
    shift += clock.wall(0)
    assert shift == HOUR


def test_a_process_starts_by_the_clock_of_that_time(clocks):
    """And at one time only."""
    clock = WallClock()
    earlier, old, new = 50 * 10**9, 100 * 10**9 + 5, 103 * 10**9
    before = [clock.iso_start(earlier), clock.iso_start(old)]
    assert before[1] == "2023-11-14T22:13:20.000000005Z"
    clocks.run(2 * 10**9, step=HOUR)
    clock.measure()
    clocks.run(2 * 10**9)
    clock.measure()
    assert [clock.iso_start(earlier), clock.iso_start(old)] == before
    assert clock.iso_start(new) == clock.iso(new) == "2023-11-14T23:13:23.000000000Z"
    clocks.run(10**9, step=-2 * HOUR)
    clock.measure()
    assert clock.iso_start(new) == "2023-11-14T23:13:23.000000000Z"
    assert clock.iso_start(106 * 10**9) == "2023-11-14T21:13:26.000000000Z"


def test_a_drifting_clock_is_no_step(clocks):
    clock = WallClock()
    clocks.run(10**9, step=20_000_000)
    clock.measure()
    assert clock.iso_start(102 * 10**9) == "2023-11-14T22:13:22.000000000Z"
