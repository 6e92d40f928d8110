# SPDX-License-Identifier: Apache-2.0
import pytest

from tracer.model.fields import LOSSES
from tracer.trace import losses
from tracer.trace.losses import Losses

NONE = dict.fromkeys(LOSSES, 0)


class Run:
    """What counts, what is written, and who is told."""

    def __init__(self):
        self.now = 100.0
        self.found = dict(NONE)
        self.marks, self.said, self.recovered = [], [], []
        self.watched = Losses(self, self, self.said.append, self.recovered.append)

    def losses(self):
        return dict(self.found)

    def mark(self, event, boot_ns, fields):
        self.marks.append((event, boot_ns, fields))

    def check(self, seconds=1.0, **more):
        self.now += seconds
        self.watched.check(**more)


@pytest.fixture
def run(monkeypatch):
    made = Run()
    monkeypatch.setattr(losses.time, "monotonic", lambda: made.now)
    monkeypatch.setattr(losses, "boot_now", lambda: 7)
    return made


def test_nothing_lost(run):
    run.check()
    assert (run.marks, run.said, run.recovered, run.watched.any) == ([], [], [], False)


def test_what_is_lost_is_written_and_said(run):
    run.found = NONE | {"lost": 2, "skipped": 1}
    run.check()
    assert run.marks == [("lost", 7, NONE | {"lost": 2, "skipped": 1})]
    assert run.said == ["not recorded: events lost 2, hook busy 1; --buffer-pages gives more room"]
    assert run.watched.any


def test_only_what_is_new_is_written(run):
    run.found = NONE | {"lost": 2}
    run.check()
    run.check()
    run.found = NONE | {"lost": 5}
    run.check()
    assert [fields["lost"] for _, _, fields in run.marks] == [2, 3]


def test_more_room_helps_where_the_ring_was_full_only(run):
    run.found = NONE | {"skipped": 1}
    run.check()
    assert run.said == ["not recorded: hook busy 1"]


def test_descendants_that_are_lost_are_said(run):
    run.found = NONE | {"unfollowed": 3}
    run.check()
    assert run.said == [
        "not recorded: descendants not followed 3; not all descendants are followed"
    ]
    assert run.marks == [("lost", 7, NONE | {"unfollowed": 3})]
    assert run.watched.any


def test_the_dead_are_looked_for_where_their_end_was_missed(run):
    run.found = NONE | {"lost": 1}
    run.check()
    assert run.recovered == []
    run.found = NONE | {"lost": 1, "processes_lost": 1}
    run.check()
    assert run.recovered == [7]


def test_it_looks_now_and_then(run):
    run.check()
    run.found = NONE | {"lost": 1}
    run.check(0.05)
    assert run.marks == []
    run.check(0.06)
    assert len(run.marks) == 1


def test_it_looks_at_once_if_asked(run):
    run.check()
    run.found = NONE | {"lost": 1}
    run.check(0.0, at_once=True)
    assert len(run.marks) == 1


def test_a_user_is_told_once_a_second(run):
    for number in range(1, 21):
        run.found = NONE | {"lost": number}
        run.check(0.25)
    assert len(run.marks) == 20
    assert len(run.said) == 5
