# SPDX-License-Identifier: Apache-2.0
"""Which network namespaces there are, and their names."""

import os

import pytest

from tracer.host import netns

OWN = os.stat("/proc/self/ns/net").st_ino  # noqa: PTH116


@pytest.fixture
def named(monkeypatch, tmp_path):
    """Folders of names, which lead to our own namespace."""
    folders = {name: tmp_path / name for name in ("ip", "docker")}
    for folder in folders.values():
        folder.mkdir()
    monkeypatch.setattr(netns, "NAMED_NETNS", folders["ip"])
    monkeypatch.setattr(netns, "_DOCKERS", folders["docker"])

    def add(kind, name):
        (folders[kind] / name).symlink_to("/proc/self/ns/net")

    return add


def test_a_name_is_that_of_ip_netns_or_else_dockers(named, tmp_path):
    assert netns.names() == {}
    named("docker", "3f0c")
    assert netns.names() == {OWN: "3f0c"}
    named("ip", "red")
    named("ip", "blue")
    assert netns.names() == {OWN: "blue"}  # whatever the order in the folder
    (tmp_path / "ip/a-stale-one").touch()
    assert netns.names() == {OWN: "blue"}


def test_without_folders_of_names(monkeypatch, tmp_path):
    monkeypatch.setattr(netns, "NAMED_NETNS", tmp_path / "none")
    monkeypatch.setattr(netns, "_DOCKERS", tmp_path / "none")
    assert netns.names() == {}
    assert netns.all_namespaces().paths[OWN] == "/proc/thread-self/ns/net"


def test_processes_that_cannot_be_read_are_counted_but_for_init(monkeypatch):
    real = os.stat

    def stat(path, *rest, **named):
        if path in ("/proc/1/ns/net", "/proc/7/ns/net", "/proc/8/ns/net"):
            raise PermissionError
        if path == "/proc/9/ns/net":
            raise FileNotFoundError
        return real(path, *rest, **named)

    monkeypatch.setattr(netns.os, "stat", stat)
    monkeypatch.setattr(netns.procfs, "pids", lambda: [1, 7, 8, 9, os.getpid()])
    assert netns.all_namespaces().unreadable == 2
