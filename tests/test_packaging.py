# SPDX-License-Identifier: Apache-2.0
"""What packages install is true, and made from the commands' own text."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGING = Path(__file__).parents[1] / "packaging"
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
    return run(sys.executable, "-c", "from tracer.cli import main; main()", **environment)


def test_the_man_page_is_what_help_says():
    made = run(sys.executable, str(PACKAGING / "man.py"))
    assert made == (PACKAGING / "sockwatch.1").read_text(), "run packaging/make"


def test_the_man_page_is_roff():
    needs("groff")
    assert run("groff", "-man", "-Tutf8", "-ww", "-z", str(PACKAGING / "sockwatch.1")) == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_what_the_command_line_makes(shell):
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
