# SPDX-License-Identifier: Apache-2.0
"""The processes of the filter, with the kernel's side in Python; the real one is in
native/test_follow.py."""

import os
import subprocess
import sys

import pytest

from tests.odd_holder import holding
from tracer.filter.filters import Filters
from tracer.trace import descendants


class Hooks:
    def __init__(self, *pids):
        self.followed = set(pids)
        self.told = None

    def pids(self):
        return frozenset(self.followed)

    def follow(self, pid):
        self.followed.add(pid)

    def forget_pid(self, pid):
        self.followed.discard(pid)

    def follows_all(self, filters):
        self.told = filters


@pytest.fixture
def child():
    """A child of ours, and a grandchild."""
    code = "import os, sys\nif os.fork(): print(flush=True)\nsys.stdin.read()"
    argv, pipe = [sys.executable, "-c", code], subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe) as process:
        assert process.stdout.readline()
        yield process.pid
        process.stdin.close()


def test_all_generations(child):
    hooks = Hooks(os.getpid())
    descendants.follow(hooks, Filters(follow=True))
    assert {os.getpid(), child} < hooks.followed
    assert len(hooks.followed) == 3
    assert hooks.told == Filters(follow=True)


def test_one_that_came_into_reach_during_the_look(monkeypatch):
    """It is looked once more: what it had forked before was in nobody's reach."""
    looks = iter([{}, {9: (5, 1)}, {}, {}])
    monkeypatch.setattr(descendants, "processes", lambda: next(looks))
    monkeypatch.setattr(descendants.procfs, "has_ended", lambda *_: False)
    monkeypatch.setattr(descendants.procfs, "is_alive", lambda *_: True)
    hooks = Hooks(5)
    descendants.follow(hooks, Filters())
    assert hooks.followed == {5, 9}


@pytest.mark.parametrize(("ended", "alive"), [(True, True), (False, False)])
def test_one_that_ends_while_it_is_added(monkeypatch, ended, alive):
    """Its hook may have come before; or its pid is a stranger's by now."""
    looks = iter([{9: (5, 1)}, {}, {}])
    monkeypatch.setattr(descendants, "processes", lambda: next(looks))
    monkeypatch.setattr(descendants.procfs, "has_ended", lambda *_: ended)
    monkeypatch.setattr(descendants.procfs, "is_alive", lambda *_: alive)
    hooks = Hooks(5)
    descendants.follow(hooks, Filters())
    assert hooks.followed == {5}


def test_the_dead_are_forgotten():
    """A zombie is one of them; a process whose first thread has ended is not."""
    with subprocess.Popen(["true"]) as zombie, holding("ended") as (_, held):
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        alive = {os.getpid(), held["pid"]}
        hooks = Hooks(*alive, zombie.pid)
        descendants.forget_the_dead(hooks, hooks.pids())
    assert hooks.followed == alive
