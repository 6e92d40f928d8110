# SPDX-License-Identifier: Apache-2.0
import io
import sys

import pytest

from tracer.cli import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("reads", "seconds", "shown"),
    [
        (10, 0.15, False),  # 1.5 s in all
        (10, 0.3, True),
        (100, 0.3, True),
        (1, 9, False),  # it is over when that is known
    ],
)
def test_what_takes_long_has_a_bar(monkeypatch, reads, seconds, shown):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress.progress(reads * 10) as advance:
        for _ in range(reads):
            now[0] += seconds
            advance(10)
    assert ("reading" in sys.stderr.getvalue()) == shown
    assert ("100%" in sys.stderr.getvalue()) == shown


def test_there_is_none_but_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress.progress(100) as advance:
        advance(100)
    assert sys.stderr.getvalue() == ""
