# SPDX-License-Identifier: Apache-2.0
import pytest

from tracer.trace import alive
from tracer.trace.alive import PERIOD, Alive


class Run:
    def __init__(self):
        self.now = self.complete = 10**12
        self.marks = []
        self.asked = 0

    def mark(self, event, boot_ns, fields):
        self.marks.append((event, boot_ns, fields))

    def fields(self):
        self.asked += 1
        return {"seen": self.asked}


@pytest.fixture
def run(monkeypatch):
    made = Run()
    monkeypatch.setattr(alive, "boot_now", lambda: made.now)
    return made


def test_a_line_a_minute(run):
    alive = Alive(run, lambda: run.complete, run.fields)
    for _ in range(59):
        run.now += PERIOD // 60
        alive.check()
    assert (run.marks, run.asked) == ([], 0)
    run.now += PERIOD // 60
    alive.check()
    alive.check()
    assert run.marks == [("alive", run.complete, {"seen": 1})]
    run.now += 3 * PERIOD  # the machine was suspended
    alive.check()
    alive.check()
    assert len(run.marks) == 2


def test_its_time_is_never_to_come(run):
    alive = Alive(run, lambda: run.now + 5, run.fields)
    run.now += PERIOD
    alive.check()
    assert run.marks[0][1] == run.now
