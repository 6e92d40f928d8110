# SPDX-License-Identifier: Apache-2.0
import socket
import threading

from tracer.host import resolver
from tracer.host.resolver import Names

LOOPBACK = socket.getnameinfo(("127.0.0.1", 0), 0)[0]


def test_asking_does_not_wait(monkeypatch):
    monkeypatch.setattr(resolver, "_look_up", lambda addr: f"name of {addr}")
    known = Names()
    known.of("192.0.2.1")
    known.wait(["192.0.2.1"], 10)
    assert known.of("192.0.2.1") == "name of 192.0.2.1"
    assert not known.pending("192.0.2.1")


def test_a_look_up_that_hangs_holds_nobody_up(monkeypatch):
    monkeypatch.setattr(resolver, "_look_up", lambda _: threading.Event().wait())
    known = Names()
    assert known.of("192.0.2.1") is None
    assert known.pending("192.0.2.1")
    known.wait(["192.0.2.1"], 0.01)
    assert known.of("192.0.2.1") is None


def test_each_address_is_asked_once(monkeypatch):
    asked = []
    monkeypatch.setattr(resolver, "_look_up", asked.append)
    known = Names()
    for _ in range(3):
        known.wait(["192.0.2.1", "192.0.2.2"], 10)
    assert sorted(asked) == ["192.0.2.1", "192.0.2.2"]


def test_old_names_are_forgotten(monkeypatch):
    monkeypatch.setattr(resolver, "_look_up", lambda addr: addr)
    monkeypatch.setattr(resolver, "_MAX_NAMES", 10)
    known = Names()
    known.wait([str(number) for number in range(100)], 10)
    assert len(known._known) <= 10


def test_the_system_is_asked():
    known = Names()
    known.wait(["127.0.0.1"], 10)
    assert known.of("127.0.0.1") == LOOPBACK
