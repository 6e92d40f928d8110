# SPDX-License-Identifier: Apache-2.0
"""What is built: the wheel, in an environment of its own, and the Debian package, in fresh roots
of the releases that SOCKWATCH_USERLANDS names."""

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.native.conftest import assert_same, generate

ROOT = Path(__file__).parents[2]
USERLANDS = os.environ.get("SOCKWATCH_USERLANDS", "trixie").split()
UNAVAILABLE = 120  # scripts/userland: it cannot be had here
# For other people's programs, as pip is, which need not be as strict as scripts/test is with us.
ENVIRONMENT = {
    **os.environ,
    "PIP_CONSTRAINT": str(ROOT / "scripts/constraints.txt"),
    "PYTHONWARNINGS": "default",
}


def run(*argv: str | Path) -> str:
    done = subprocess.run(
        argv,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=ENVIRONMENT,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT)
    (built,) = folder.glob("sockwatch-*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel) -> Path:
    """A virtual environment outside the checkout, with the wheel."""
    folder = wheel.parent / "venv"
    run("/usr/bin/python3", "-m", "venv", "--system-site-packages", folder)
    run(folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    return folder


def test_the_wheel_traces(start, environment, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    tracer = start("--dst", "127.0.0.5", command=[str(environment / "bin/sockwatch")])
    truth = generate("sendto", "127.0.0.5", "count=3")
    assert_same(tracer.finish(), truth)


def test_the_wheel_brings_licences(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    found = {name.partition("/licenses/LICENSES/")[2] for name in names} - {""}
    assert found == {path.name for path in (ROOT / "LICENSES").iterdir()}


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("man/man1/sockwatch.1", "sockwatch.1"),
        ("man/man5/sockwatch-log.5", "sockwatch-log.5"),
        ("bash-completion/completions/sockwatch", "completion/sockwatch.bash"),
        ("zsh/site-functions/_sockwatch", "completion/sockwatch.zsh"),
        ("fish/vendor_completions.d/sockwatch.fish", "completion/sockwatch.fish"),
    ],
)
def test_the_wheel_installs(environment, path, source):
    installed = (environment / "share" / path).read_text()
    assert installed == (ROOT / "packaging" / source).read_text()


@pytest.fixture(scope="module")
def deb() -> Iterator[Path]:
    """In the checkout, which is all of this machine that a userland sees."""
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder:
        yield Path(run(ROOT / "packaging/deb/build", folder).strip())


@pytest.mark.native
@pytest.mark.skipif("SOCKWATCH_USERLAND" in os.environ, reason="in a userland already")
@pytest.mark.parametrize("release", USERLANDS)
def test_the_debian_package(deb, release):
    done = subprocess.run(
        ["scripts/userland", "--fresh", release, "--", "tests/native/install_deb.sh", str(deb)],
        check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
        env=ENVIRONMENT,
    )  # fmt: skip
    if done.returncode == UNAVAILABLE:
        pytest.skip(done.stdout.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout
