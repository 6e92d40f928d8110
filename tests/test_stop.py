# SPDX-License-Identifier: Apache-2.0
import os
import signal
from types import SimpleNamespace

import pytest

from tracer.trace import stop
from tracer.trace.stop import Stop


class Command:
    def __init__(self):
        self.over, self.signals = False, []

    def ended(self):
        return self.over

    def signal(self, number):
        self.signals.append(number)


@pytest.fixture(autouse=True)
def _signals():
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture
def screen():
    return SimpleNamespace(closed=False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal(screen, number):
    told = Stop(screen)
    assert not told()
    os.kill(os.getpid(), number)
    assert told()
    assert told.signalled == number


def test_the_command_gets_the_first_signal(screen):
    command = Command()
    told = Stop(screen, command)
    os.kill(os.getpid(), signal.SIGTERM)
    assert (command.signals, told(), told.signalled) == ([signal.SIGTERM], False, 0)
    os.kill(os.getpid(), signal.SIGINT)
    assert (command.signals, told(), told.signalled) == ([signal.SIGTERM], True, signal.SIGINT)


def test_the_commands_end(screen):
    command = Command()
    told = Stop(screen, command)
    command.over = True
    assert told()
    assert told.signalled == 0


def test_a_reader_that_went_away(screen):
    told = Stop(screen)
    screen.closed = True
    assert told()


def test_a_terminal_that_went_away(screen):
    told = Stop(screen)
    told.hang_up()
    assert told()
    assert told.signalled == signal.SIGHUP


def test_time(screen, monkeypatch):
    now = [5_000_000_000]
    monkeypatch.setattr(stop, "boot_now", lambda: now[0])
    told = Stop(screen)
    told.after(1.5)
    for late, over in ((6_499_999_999, False), (6_500_000_000, True)):
        now[0] = late
        assert told() is over
    told.after(None)
    assert not told()
