# SPDX-License-Identifier: Apache-2.0
"""Brings the processes of the filter up to date, once the hooks are attached: removes those that
have ended already, and adds the descendants that exist already (``--follow``)."""

from collections.abc import Iterable
from typing import Protocol

from tracer.filter.filters import Filters
from tracer.host import procfs
from tracer.host.descendants import descendants, processes


class Hooks(Protocol):
    """The kernel's side (:class:`tracer.kernel.session.Session`): bpf/follow.bpf.c."""

    def pids(self) -> frozenset[int]:
        """Returns the processes in the filter."""

    def follow(self, pid: int) -> None:
        """Adds one. Raises UsageError if there is no room."""

    def forget_pid(self, pid: int) -> None:
        """Removes one."""

    def follows_all(self, filters: Filters) -> None:
        """Tells them that all descendants have been added."""


def forget_the_dead(hooks: Hooks, pids: Iterable[int]) -> None:
    """Stops waiting for pids that nobody has: the kernel may give them to a stranger, whose
    descendants would be followed, too. From here on the hooks remove a process at its end."""
    for pid in pids:
        if procfs.has_ended(pid):
            hooks.forget_pid(pid)


def follow(hooks: Hooks, filters: Filters) -> None:
    """Adds the descendants that exist already. The hooks keep each of them in reach; the last look
    is for what was forked by one that came into reach in the look before it. Raises UsageError."""
    quiet = 0
    while quiet < 2:
        listed = processes()
        new = descendants(listed, hooks.pids())
        for pid in new:
            _add(hooks, pid, listed[pid][1])
        quiet = 0 if new else quiet + 1
    hooks.follows_all(filters)


def _add(hooks: Hooks, pid: int, start_time: int) -> None:
    """Adds a process. Its end removes it, unless that is over already."""
    hooks.follow(pid)
    if procfs.has_ended(pid) or not procfs.is_alive(pid, start_time):
        hooks.forget_pid(pid)
