# SPDX-License-Identifier: Apache-2.0
import re
import time

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


def test_a_stepped_clock_moves_later_events_only(monkeypatch):
    clock = WallClock()
    before = clock.iso(10**12)
    real = time.clock_gettime_ns
    step = 3600 * 10**9

    def stepped(number):
        return real(number) + (step if number == time.CLOCK_REALTIME else 0)

    monkeypatch.setattr(time, "clock_gettime_ns", stepped)
    assert clock.iso(10**12) == before
    shift = -clock.wall(0)
    clock.measure()
    shift += clock.wall(0)
    assert abs(shift - step) < 50_000_000
