# SPDX-License-Identifier: Apache-2.0
"""Times as a log has them, and the parts that a sparkline shows."""

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracer.report import times
from tracer.report.times import BUCKETS, START, Period, Timeline

EVER = Period("", "")


def logged(second):
    return times.as_logged(dt.datetime.fromtimestamp(second, dt.UTC))


def placed(timeline, second):
    text = logged(second).encode()
    return timeline.place_of(START + text[:20], text)


@pytest.mark.parametrize(
    "text",
    [
        "1970-01-01T00:00:00.000000000Z",
        "2026-11-24T01:31:46.855381454Z",
        "2262-04-11T23:47:16.854775807Z",
    ],
)
def test_a_time(text):
    assert times.checked(text.encode()) == text.encode()


@pytest.mark.parametrize(
    "text",
    [
        "0001-01-01T00:00:00.000000000Z",
        "1969-12-31T23:59:59.999999999Z",
        "2262-04-11T23:47:17.000000000Z",
        "9999-12-31T23:59:59.999999999Z",
        "2026-11-24T01:31:60.000000000Z",
        "2026-02-30T00:00:00.000000000Z",
        "2026-11-24 01:31:46.855381454Z",
        "2026-W48-2T01:31:46.855381454Z",
        "2026-11-24T01:31:46.85538145Z",
        "2026-11-24T01:31:46.8553814540",
        "2026-11-24T01:31:46.85538145\u0664Z",
        "20261124T013146",
        "",
    ],
)
def test_no_time(text):
    with pytest.raises(ValueError, match=r"."):
        times.checked(text.encode())


@pytest.mark.parametrize("year", [1, 999, 2026, 9999])
def test_text_compares_as_time_does(year):
    logged_time = times.as_logged(dt.datetime(year, 5, 6, tzinfo=dt.UTC))
    assert logged_time == f"{year:04}-05-06T00:00:00.000000000Z"


@settings(deadline=None)
@given(st.lists(st.integers(0, 9_000_000_000) | st.integers(1_800_000_000, 1_800_000_100)))
def test_counts_are_of_equal_parts_of_the_whole_time(seconds):
    timeline = Timeline(EVER)
    activity = {}
    for second in seconds:
        place = placed(timeline, second)
        activity[place] = activity.get(place, 0) + 1
    if not seconds:
        return
    parts = timeline.parts(activity)
    begin, length = min(seconds), timeline._length
    assert len(parts) <= BUCKETS
    assert length == 1 or len(parts) >= BUCKETS // 2  # as fine as it can be
    expected = [0] * len(parts)
    for second in seconds:
        expected[second // length - begin // length] += 1
    assert parts == expected


def test_what_is_outside_of_the_period_does_not_stretch_it():
    timeline = Timeline(Period(logged(1000), logged(1009)))
    places = [placed(timeline, second) for second in (0, 1000, 1009, 9_000_000)]
    assert timeline.parts(dict.fromkeys(places[1:3], 1)) == [1, *[0] * 8, 1]


def test_only_the_latest_places_are_remembered(monkeypatch):
    monkeypatch.setattr(times, "_MAX_PLACES", 10)
    timeline = Timeline(EVER)
    for second in range(100):
        placed(timeline, second)
        assert len(timeline.places) <= 10


def test_places_are_forgotten_when_the_parts_become_longer():
    """A group would keep more parts than there are."""
    timeline = Timeline(EVER)
    for second in (0, 1, 1000):
        placed(timeline, second)
    assert len(timeline.places) == 1


def test_a_line_begins_with_its_time():
    with pytest.raises(ValueError, match=r"."):
        Timeline(EVER).place_of(b'{"tame":"' + logged(5).encode()[:20], logged(5).encode())
