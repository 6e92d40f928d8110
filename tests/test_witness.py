# SPDX-License-Identifier: Apache-2.0
"""What the witness says of devices that it did not find."""

import pytest

from tracer.kernel.sent import Device, Sent
from tracer.prove.witness import Witness

BEFORE, UNFOUND, LATE = Device(1, 1, 1), Device(2, 2, 1), Device(3, 3, 1)


class FakeSent:
    """Counts by device, without a kernel."""

    def __init__(self):
        self.counts = {}

    def devices(self):
        return list(self.counts)

    def of(self, device):
        return self.counts.get(device, Sent())


@pytest.fixture
def sent(monkeypatch):
    monkeypatch.setattr(Witness, "_look", lambda *_, **__: None)
    counts = FakeSent()
    counts.counts[BEFORE] = Sent(7, 7, 7)
    return counts


def test_a_device_that_was_not_found_is_said(sent):
    witness = Witness(sent, None, None, None)
    sent.counts[UNFOUND] = Sent(3, 3, 3)
    (said,) = witness.finish().unread
    assert said.startswith("3 packets on 1 device were looked at, but no counter confirms it")


def test_what_began_to_send_before_is_not_said_unless_it_goes_on(sent):
    witness = Witness(sent, None, None, None)
    assert witness.finish().unread == []
    sent.counts[BEFORE] = Sent(8, 8, 8)
    assert len(witness.finish().unread) == 1


def test_what_begins_to_send_after_the_end_is_not_asked_for(sent, monkeypatch):
    def late(*_):
        sent.counts[LATE] = Sent(3, 3, 3)

    witness = Witness(sent, None, None, None)
    monkeypatch.setattr(witness, "_settle", late)
    assert witness.finish().unread == []
