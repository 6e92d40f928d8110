# SPDX-License-Identifier: Apache-2.0
"""What ``--help`` shows, at any width, and what stands in it."""

import functools
import os
import re
import subprocess
import sys

import click
import pytest

from tracer.cli.help import Group, Option
from tracer.cli.main import SUBCOMMANDS, command_of

COMMANDS = [None, *SUBCOMMANDS]
HEADING = r"^(\S.*):$"
HEADINGS = {
    None: ["Whom to watch", "Whose", "What to show", "The log", "When to stop", "Other"],
    "top": ["Whom to watch", "Whose", "What to show", "Other"],
    "sockets": ["Whom to watch", "Whose", "What to show", "Other"],
    "report": ["The server", "Whom to watch", "Whose", "When", "What to show", "Other"],
    "ship": ["The server", "When", "The log", "When to stop", "Other"],
    "prove": ["Whom to watch", "Whose", "What to show", "When to stop", "Other"],
    "doctor": ["What to show", "Other"],
}
DOCTOR = """\
Usage: sockwatch doctor [OPTIONS]

  What does each probe of this kernel see, and what does it cost?

    sockwatch doctor                     a table of all probes
    sockwatch doctor --probe tracepoint  of one of them

"""
ITS_OPTIONS = """
What to show:
  --json                    The result as a line of JSON.

Other:
  --probe NAME              fexit, kprobe, tracepoint, or all: which to try.
                            [default: all]
  -h, --help                Show this message and exit.
"""


def words_of(name):
    return [name] if name else []


@functools.cache
def shown(name, columns):
    """What a terminal of that width shows."""
    done = subprocess.run(
        [sys.executable, "-m", "tracer", *words_of(name), "--help"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": str(columns)},
    )
    return done.stdout


def options_in(text):
    """Each option's lines."""
    found = []
    groups = text[re.search(HEADING, text, re.MULTILINE).start() :]
    for line in groups.partition("\nOther commands")[0].splitlines():
        if re.match("  -", line):
            found.append([line])
        elif found and line.startswith(" " * 20):
            found[-1].append(line)
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_in_one_group(name):
    command = command_of(name)
    options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
    grouped = [option for group in Group for option in command.options_of(group)]
    assert sorted(map(id, grouped)) == sorted(map(id, options))
    assert all(isinstance(option, Option) for option in command.params if option in options)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("columns", [80, 200])
def test_help_fits(name, columns):
    text = shown(name, columns)
    assert max(map(len, text.splitlines())) <= columns
    options = options_in(text)
    assert [len(lines) for lines in options if len(lines) > 2] == []
    assert len(options) == sum(len(command_of(name).options_of(group)) for group in Group)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_groups_in_their_order(name):
    headings = re.findall(HEADING, shown(name, 80), re.MULTILINE)
    assert [one for one in headings if not one.startswith("Other commands")] == HEADINGS[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_it_begins_with_two_commands(name):
    examples = command_of(name).examples
    assert len(examples) == 2
    beginning = shown(name, 80).splitlines()[:9]
    for example in examples:
        assert [line for line in beginning if line.strip().startswith(example)]
        program, *words = example.split()
        assert [program, *words[: bool(name)]] == ["sockwatch", *words_of(name)]
        command_of(name).make_context("sockwatch", words[bool(name) :])  # or it is bad usage


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_tracing_names_the_other_commands(name):
    assert re.search(f"^  sockwatch {name} +{re.escape(SUBCOMMANDS[name])}$", shown(None, 80), re.M)


def test_a_whole_one():
    text = shown("doctor", 80)
    assert text.startswith(DOCTOR)
    assert text.endswith(ITS_OPTIONS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_value_has_a_name(name):
    for group in Group:
        for option in command_of(name).options_of(group):
            assert option.is_flag or option.metavar, option.opts
