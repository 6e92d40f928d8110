# SPDX-License-Identifier: Apache-2.0
"""The shell completes the names of what there is now: a unit, a container, a network namespace."""

import os
import subprocess
import sys

import pytest

from tests.native.test_identity import A_CONTAINER, the_cgroup2
from tests.test_complete import values


@pytest.fixture
def a_container_in_a_unit():
    """The unit, while a process is in a container that is in it."""
    unit = the_cgroup2() / f"sockwatch-{os.getpid()}.service"
    folder = unit / f"docker-{A_CONTAINER}.scope"
    folder.mkdir(parents=True)
    waiting = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    try:
        with subprocess.Popen(waiting, stdin=subprocess.PIPE) as process:
            (folder / "cgroup.procs").write_text(str(process.pid))
            yield unit.name
            process.communicate()
    finally:
        folder.rmdir()
        unit.rmdir()


def test_a_unit_and_a_container(a_container_in_a_unit):
    unit = a_container_in_a_unit
    assert values(f"sockwatch --unit {unit[:-4]}") == [unit]
    assert values(f"sockwatch sockets --container {A_CONTAINER[:5]}") == [A_CONTAINER]
    assert values(f"sockwatch report --cgroup /{unit}") == [
        f"/{unit}",
        f"/{unit}/docker-{A_CONTAINER}.scope",
    ]


def test_a_network_namespace(namespaces):
    assert values(f"sockwatch prove -N {namespaces.near}") == [namespaces.near]
