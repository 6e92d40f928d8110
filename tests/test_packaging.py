# SPDX-License-Identifier: Apache-2.0
"""What packages install is true, and made from the commands' own text."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGING = ROOT / "packaging"
EXPOSURE = 35  # tenths, of systemd-analyze security: 30 is "OK"


def run(*argv, **environment):
    done = subprocess.run(
        argv, check=False, capture_output=True, text=True, timeout=60,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def needs(program):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


def sockwatch(**environment):
    return run(sys.executable, "-c", "from tracer.cli.main import main; main()", **environment)


def test_the_man_page_is_what_help_says():
    made = run(sys.executable, str(PACKAGING / "man.py"))
    assert made == (PACKAGING / "sockwatch.1").read_text(), "run packaging/make"


def test_the_man_page_is_roff():
    needs("groff")
    assert run("groff", "-man", "-Tutf8", "-ww", "-z", str(PACKAGING / "sockwatch.1")) == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_what_the_command_line_makes(shell):
    (pinned,) = re.findall(r"^click==(.*)", (ROOT / "scripts/constraints.txt").read_text(), re.M)
    if metadata.version("click") != pinned:
        pytest.skip(f"click {metadata.version('click')} writes another than {pinned}, the pinned")
    made = sockwatch(_SOCKWATCH_COMPLETE=f"{shell}_source")
    assert made == (PACKAGING / "completion" / f"sockwatch.{shell}").read_text(), (
        "run packaging/make"
    )


@pytest.mark.parametrize(
    ("words", "answers"),
    [
        ("sockwatch --log-ma", {"--log-max-size"}),
        ("sockwatch re", {"report"}),
        ("sockwatch sockets --ex", {"--exe", "--exposed", "--extended"}),
        ("sockwatch report --by ex", {"exe"}),
    ],
)
def test_completion_answers(words, answers):
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    said = sockwatch(_SOCKWATCH_COMPLETE="bash_complete", **asked)
    assert {line.partition(",")[2] for line in said.splitlines()} == answers


def test_the_systemd_unit(tmp_path):
    needs("systemd-analyze")
    unit = tmp_path / "sockwatch.service"
    text = (PACKAGING / "sockwatch.service").read_text()
    assert text.count("/usr/bin/sockwatch ") == 1
    unit.write_text(text.replace("/usr/bin/sockwatch ", "/bin/true "))
    assert run("systemd-analyze", "verify", "--man=no", str(unit)) == ""
    run("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", str(unit))


def test_the_logrotate_file():
    needs("logrotate")
    run("logrotate", "--debug", str(PACKAGING / "sockwatch.logrotate"))


def test_the_debian_package(tmp_path):
    needs("dpkg-deb")
    deb = run(PACKAGING / "deb/build", tmp_path).strip()
    members = [line.split(maxsplit=5) for line in run("dpkg-deb", "--contents", deb).splitlines()]
    assert {owner for _, owner, *_ in members} == {"root/root"}
    paths = {path.removeprefix(".") for *_, path in members}
    sources = {
        f"/usr/share/sockwatch/{path.relative_to(ROOT)}"
        for folder in ("tracer", "bpf")
        for path in (ROOT / folder).rglob("*.[pch]*")
        if path.suffix in (".py", ".c", ".h")
    }
    assert {path for path in paths if not path.endswith("/")} == {
        "/etc/default/sockwatch",
        "/usr/bin/sockwatch",
        "/usr/lib/systemd/system/sockwatch.service",
        "/usr/share/bash-completion/completions/sockwatch",
        "/usr/share/doc/sockwatch/README.md.gz",
        "/usr/share/doc/sockwatch/changelog.gz",
        "/usr/share/doc/sockwatch/copyright",
        "/usr/share/doc/sockwatch/examples/sockwatch.logrotate",
        "/usr/share/fish/vendor_completions.d/sockwatch.fish",
        "/usr/share/man/man1/sockwatch.1.gz",
        "/usr/share/python3/runtime.d/sockwatch.rtupdate",
        "/usr/share/zsh/vendor-completions/_sockwatch",
        *sources,
    }


def test_both_packages_ask_for_the_same_versions():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [f"python{project['requires-python']}", *project["dependencies"]]
    wanted = dict(re.match(r"(\w+)>=([\d.]+)", one).groups() for one in asked)
    control = (PACKAGING / "deb/control").read_text()
    found = re.findall(r"python3(?:-(\w+))? \(>= ([\d.]+)\)", control)
    assert {name or "python": version for name, version in found} == wanted
