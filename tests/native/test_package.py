# SPDX-License-Identifier: Apache-2.0
"""The built wheel, in an environment of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.native.conftest import assert_same, generate

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The console script of the wheel, installed outside the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("sockwatch-*.whl")
    environment = folder / "venv"
    venv = ["/usr/bin/python3", "-m", "venv", "--system-site-packages", str(environment)]
    subprocess.run(venv, check=True)
    pip = [str(environment / "bin/pip"), "install", "--quiet", "--disable-pip-version-check"]
    constraints = ["--constraint", str(ROOT / "scripts/constraints.txt")]
    subprocess.run([*pip, *constraints, str(wheel)], check=True, capture_output=True)
    return environment / "bin/sockwatch"


def test_the_wheel_traces(start, installed, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    tracer = start("--dst", "127.0.0.5", command=[str(installed)])
    truth = generate("sendto", "127.0.0.5", "count=3")
    assert_same(tracer.finish(), truth)
