# SPDX-License-Identifier: Apache-2.0
import pytest

from tracer.trace.rhythm import MAX_BEATS, joined, rhythm
from tracer.trace.totals import Total

SECOND = 10**9


def beats(*seconds):
    return [round(second * SECOND) for second in seconds]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ((0, 60, 120, 180), "every 60 s"),
        ((180, 0, 120, 60), "every 60 s"),
        ((0, 60, 119, 181, 240), "every 60 s"),
        ((0, 60, 120), None),  # two gaps may be alike by chance
        ((), None),
        ((0, 1, 5, 9, 30, 31), None),
        ((0, 1, 2, 3), "every 1 s"),
        ((0, 61, 122, 183), "every 61 s"),
        ((0, 300, 600, 900), "every 5 min"),
        ((0, 90, 180, 270), "every 90 s"),
        ((0, 3600, 7200, 10801), "every 1 h"),
        ((0, 86400, 172800, 259201), "every 1 d"),
        ((*range(0, 600, 60), 630), "every 60 s"),  # one out of step
    ],
)  # fmt: skip
def test_rhythms(seconds, expected):
    assert rhythm(beats(*seconds)) == expected


def test_what_several_send_at_once_is_one_beat():
    assert joined(beats(0, 0.1, 0.4, 60, 60.2)) == beats(0, 60)


def test_the_oldest_are_forgotten():
    assert joined(beats(*range(1000))) == beats(*range(1000 - MAX_BEATS, 1000))


def test_looks_at_open_connections_are_no_beats():
    """They come at intervals of our own."""
    total = Total(None, "a", "tcp", None, 0, 0)
    for second in range(0, 100, 10):
        total.add(0, 1, *beats(second, second))
    assert total.beats == []
    for second in (100, 160, 220, 280):
        total.add(1, 1, *beats(second, second))
        total.add(0, 1, *beats(second + 59.9, second + 59.9))  # just before the next
    assert rhythm(total.beats) == "every 60 s"
