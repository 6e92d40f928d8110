# SPDX-License-Identifier: Apache-2.0
"""Which namespaces that only a thread, a descriptor or a socket leads to are named."""

import os

from tracer.host import netns, open_files
from tracer.host.netns import Namespaces
from tracer.inventory.bypasses import hidden
from tracer.inventory.bypasses.here import Machine
from tracer.inventory.bypasses.hidden import Hidden

NOBODY = 2**30  # a pid that nobody has
MACHINE = Machine(open_files.OpenFiles({}, [], [], [], {}))


def looks(monkeypatch, *found):
    """Each look finds these inodes."""
    answers = iter(found)
    monkeypatch.setattr(
        hidden, "_look", lambda _: {one: Hidden(one, "a thread", NOBODY) for one in next(answers)}
    )


def test_none(monkeypatch):
    looks(monkeypatch, ())
    assert list(hidden.hidden(MACHINE)) == []


def test_what_is_gone_at_the_second_look_is_not_named(monkeypatch):
    looks(monkeypatch, (5, 6), (6, 7))
    (said,) = hidden.hidden(MACHINE)
    assert said == f"the network namespace 6, which only a thread of ? (pid {NOBODY}) leads to"


def test_of_many_three_are_named(monkeypatch):
    looks(monkeypatch, range(5), range(5))
    said = list(hidden.hidden(MACHINE))
    assert [text.split(",")[0] for text in said[:3]] == [
        f"the network namespace {number}" for number in range(3)
    ]
    assert said[3:] == ["2 more such network namespaces"]


def test_what_this_process_has_does_not_count(monkeypatch):
    """Whatever the namespace: none is known here."""
    monkeypatch.setattr(hidden.netns, "all_namespaces", lambda: Namespaces({}, 0))
    with open(netns.OWN_NETNS) as _:
        found = hidden._look(Machine(open_files.find()))
    assert os.getpid() not in {one.pid for one in found.values()}


def test_what_a_name_or_a_process_leads_to_does_not_count():
    found = hidden._look(Machine(open_files.find()))
    assert netns.own() not in found
