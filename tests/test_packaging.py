# SPDX-License-Identifier: Apache-2.0
"""What packages install is true, and made from the commands' own text."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from tracer.cli.help import Group
from tracer.cli.main import SUBCOMMANDS, command_of
from tracer.model.counts import COUNTS
from tracer.model.fields import FIELDS, PROCESS_FIELDS
from tracer.model.socket import STATE_NAMES

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


@pytest.mark.parametrize(
    ("page", "script"), [("sockwatch.1", "man.py"), ("sockwatch-log.5", "log_page.py")]
)
def test_a_man_page_is_what_its_source_says(page, script):
    made = run(sys.executable, str(PACKAGING / script))
    assert made == (PACKAGING / page).read_text(), "run packaging/make"


@pytest.mark.parametrize("page", ["sockwatch.1", "sockwatch-log.5"])
def test_a_man_page_is_roff(page):
    needs("groff")
    assert run("groff", "-man", "-Tutf8", "-ww", "-z", str(PACKAGING / page)) == ""
    assert (PACKAGING / page).read_text().isascii()


def sections(page):
    """The text of each section, as it is read."""
    text = (PACKAGING / page).read_text().replace(r"\-", "-").replace(r"\(aq", "'")
    return {
        title: text.replace(r"\fB", "").replace(r"\fP", "")
        for title, text in re.findall(r'^\.SH "(.*)"\n((?:(?!\.SH).*\n)*)', text, re.MULTILINE)
    }


def test_the_man_page_has_what_a_reader_looks_for():
    assert list(sections("sockwatch.1")) == [
        "NAME",
        "SYNOPSIS",
        "DESCRIPTION",
        "EXAMPLES",
        "OPTIONS",
        *(f"SOCKWATCH {name.upper()}" for name in SUBCOMMANDS),
        "STATES",
        "THE LAST LINE",
        "FILES",
        "EXIT STATUS",
        "SEE ALSO",
    ]


@pytest.mark.parametrize("name", [None, *SUBCOMMANDS])
def test_the_man_page_has_every_option(name):
    text = sections("sockwatch.1")[f"SOCKWATCH {name.upper()}" if name else "OPTIONS"]
    for group in Group:
        _, heading, part = text.partition(f'.SS "{group.value}"\n')
        terms = re.findall(r"^(?:\.B|As above:) (.*)$", part.partition(".SS")[0], re.MULTILINE)
        found = {word.strip(",.") for term in terms for word in term.split()}
        options = command_of(name).options_of(group)
        assert bool(heading) == bool(options)
        assert {max(option.opts, key=len) for option in options} <= found


def test_the_man_page_has_every_state():
    assert set(STATE_NAMES) <= set(re.findall(r"[a-z0-9-]+", sections("sockwatch.1")["STATES"]))


def test_the_man_pages_examples_can_be_typed():
    """The command line takes what stands there, up to a pipe."""
    text = sections("sockwatch.1")["EXAMPLES"]
    lines = [line for line in text.splitlines() if line.startswith("sockwatch ")]
    for line in lines:
        _, *words = shlex.split(line.partition(" |")[0])
        name = words[0] if words[0] in SUBCOMMANDS else None
        command_of(name).make_context("sockwatch", words[bool(name) :])
    assert {line.split()[1] for line in lines} >= {"sockets", "report", "prove"}


def test_the_page_of_the_log_can_show_all_of_its_source():
    """Headings, tables and paragraphs, each with an empty line before it."""
    text = (ROOT / "docs/log.md").read_text()
    assert not re.search(r"^(- |\* |[0-9]+\. |```|>|###|    )|\*\*|\]\(", text, re.MULTILINE)
    assert not re.search(r"[^\n]\n(## |\| (field|count|in words|key) \|)", text)


def test_the_page_of_the_log_has_every_field():
    fields = sections("sockwatch-log.5")["FIELDS"]
    assert re.findall(r"^\.B (.*)$", fields, re.MULTILINE) == [field.path for field in FIELDS]
    processes = sections("sockwatch-log.5")["PROCESSES"]
    of_process = [field.name for field in PROCESS_FIELDS]
    assert re.findall(r"^\.B (.*)$", processes, re.MULTILINE) == of_process
    for name in COUNTS:
        assert re.search(
            rf"^\.B (.*, )?{name}$", sections("sockwatch-log.5")["LINES ABOUT THE RUN"], re.M
        )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_what_the_command_line_makes(shell):
    (pinned,) = re.findall(r"^click==(.*)", (ROOT / "scripts/constraints.txt").read_text(), re.M)
    if metadata.version("click") != pinned:
        pytest.skip(f"click {metadata.version('click')} writes another than {pinned}, the pinned")
    made = sockwatch(_SOCKWATCH_COMPLETE=f"{shell}_source")
    assert made == (PACKAGING / "completion" / f"sockwatch.{shell}").read_text(), (
        "run packaging/make"
    )


@pytest.mark.parametrize("name", ["sockwatch.service", "sockwatch-ship.service"])
def test_the_systemd_unit(tmp_path, name):
    needs("systemd-analyze")
    unit = tmp_path / name
    text = (PACKAGING / name).read_text()
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
    pages = {
        f"/usr/share/doc/sockwatch/docs/{path.name}.gz" for path in (ROOT / "docs").glob("*.md")
    }
    shippers = {
        f"/usr/share/doc/sockwatch/examples/shippers/{path.name}"
        for path in (PACKAGING / "shippers").iterdir()
    }
    assert {path for path in paths if not path.endswith("/")} == {
        "/etc/default/sockwatch",
        "/etc/default/sockwatch-ship",
        "/usr/bin/sockwatch",
        "/usr/lib/systemd/system/sockwatch-ship.service",
        "/usr/lib/systemd/system/sockwatch.service",
        "/usr/share/bash-completion/completions/sockwatch",
        "/usr/share/doc/sockwatch/README.md.gz",
        "/usr/share/doc/sockwatch/changelog.gz",
        "/usr/share/doc/sockwatch/copyright",
        "/usr/share/doc/sockwatch/examples/sockwatch.logrotate",
        "/usr/share/fish/vendor_completions.d/sockwatch.fish",
        "/usr/share/man/man1/sockwatch.1.gz",
        "/usr/share/man/man5/sockwatch-log.5.gz",
        "/usr/share/python3/runtime.d/sockwatch.rtupdate",
        "/usr/share/sockwatch/tracer/schema.sql",
        "/usr/share/zsh/vendor-completions/_sockwatch",
        *sources,
        *pages,
        *shippers,
    }


def test_both_packages_ask_for_the_same_versions():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [f"python{project['requires-python']}", *project["dependencies"]]
    wanted = dict(re.match(r"(\w+)>=([\d.]+)", one).groups() for one in asked)
    control = (PACKAGING / "deb/control").read_text()
    found = re.findall(r"python3(?:-(\w+))? \(>= ([\d.]+)\)", control)
    assert {name or "python": version for name, version in found} == wanted
