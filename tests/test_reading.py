# SPDX-License-Identifier: Apache-2.0
"""A device's counter against what its driver was handed."""

import pytest

from tracer.host.netlink.devices import Counters
from tracer.kernel.sent import Sent
from tracer.prove.reading import Reading, compare

NONE = Reading()


def quiet(packets, sent, *, dropped=0, failed=0, segments=None):
    """A reading while nothing is on its way."""
    counted = Sent(sent, sent if segments is None else segments, sent, failed)
    return Reading(counted, Counters(packets, dropped), counted)


def found(first, last, *, segments=False):
    comparison = compare(first, last, segments=segments)
    return comparison.unseen, comparison.missing, comparison.uncertain


def test_what_was_before_does_not_count():
    assert found(quiet(700, 3), quiet(705, 8)) == (0, 0, 0)


@pytest.mark.parametrize(("packets", "unseen", "missing"), [(101, 1, 0), (98, 0, 2)])
def test_a_difference(packets, unseen, missing):
    assert found(NONE, quiet(packets, 100)) == (unseen, missing, 0)


def test_a_reading_is_as_certain_as_nothing_was_on_its_way():
    """Two were in the driver before, one more was handed over after: 98 to 101 are possible."""
    last = Reading(Sent(100, 100, 98), Counters(101), Sent(101, 101, 101))
    assert found(NONE, last) == (0, 0, 3)
    assert found(NONE, last._replace(counters=Counters(102))) == (1, 0, 3)
    assert found(NONE, last._replace(counters=Counters(97))) == (0, 1, 3)
    assert found(last, quiet(111, 111)) == (0, 0, 3)
    assert found(last, quiet(115, 111)) == (1, 0, 3)


def test_as_many_may_be_missing_as_were_dropped():
    """As the device says, or as its driver said at once."""
    assert found(NONE, quiet(90, 100, dropped=10)) == (0, 0, 0)
    assert found(NONE, quiet(90, 100, failed=10)) == (0, 0, 0)
    assert found(NONE, quiet(90, 100, failed=10, dropped=10)) == (0, 0, 0)
    assert found(NONE, quiet(89, 100, dropped=10)) == (0, 1, 0)
    assert found(NONE, quiet(101, 100, dropped=10)) == (1, 0, 0)
    assert found(quiet(0, 0, dropped=10), quiet(90, 100, dropped=10)) == (0, 10, 0)


def test_a_card_may_count_segments_and_a_virtual_device_may_not():
    last = quiet(45, 1, segments=45)
    assert found(NONE, last, segments=True) == (0, 0, 0)
    assert found(NONE, last) == (44, 0, 0)
    assert found(NONE, quiet(1, 1, segments=45), segments=True) == (0, 0, 0)
    assert found(NONE, quiet(46, 1, segments=45), segments=True) == (1, 0, 0)


def test_counters_that_were_reset_disagree():
    assert found(quiet(700, 0), quiet(1, 1)) == (0, 700, 0)
