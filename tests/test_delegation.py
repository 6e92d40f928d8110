# SPDX-License-Identifier: Apache-2.0
"""Folders stand for cgroups, and what they say of their owners is ours."""

from pathlib import Path

import pytest

from tracer.host import delegation
from tracer.host.mounts import Mount
from tracer.model.process import Delegation


class Tree:
    def __init__(self, root):
        self.root = root
        self.owners = {}

    def make(self, path, **owners):
        """The folders on the way; ``owners`` by their names, else root."""
        (self.root / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
        self.owners |= owners


@pytest.fixture
def tree(monkeypatch, tmp_path):
    made = Tree(tmp_path)
    real = Path.stat

    def stat(self, **more):
        found = list(real(self, **more))
        found[4] = made.owners.get(self.name, 0)
        return type(real(self, **more))(found)

    mounted = [
        Mount("0:1", "cgroup", "/", f"{tmp_path}/v1"),
        Mount("0:2", "cgroup2", "/", str(tmp_path)),
    ]
    monkeypatch.setattr(delegation, "mounts", lambda: mounted)
    monkeypatch.setattr(delegation.Path, "stat", stat)
    for cached in (delegation.of, delegation.by_names, delegation._roots):
        cached.cache_clear()
    yield made
    for cached in (delegation.of, delegation._roots):
        cached.cache_clear()


def test_all_is_roots(tree):
    tree.make("/system.slice/app.service/below")
    assert delegation.of("/system.slice/app.service/below") is None
    assert delegation.of("/") is None


def test_below_a_users_folder(tree):
    tree.make("/system.slice/app/one/two", app=1000, two=0)
    assert delegation.of("/system.slice/app/one/two") == Delegation(3, 1000)
    assert delegation.of("/system.slice/app") is None  # that name is still root's choice


def test_in_v1(tree):
    tree.make("/v1/a/b", a=7)
    assert delegation.of("/a/b") == Delegation(2, 7)


def test_what_is_gone_is_told_by_its_names(tree):
    tree.make("/user.slice")
    path = "/user.slice/user-1000.slice/user@1000.service/x"
    assert delegation.of(path) == delegation.by_names(path) == Delegation(4, 1000)
    assert delegation.of("/system.slice/app.service/x") == Delegation(3, None)
