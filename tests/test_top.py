# SPDX-License-Identifier: Apache-2.0
"""What ``sockwatch top`` is asked for, and its messages."""

import pytest

from tests.samples import flow
from tracer.cli import top
from tracer.errors import UsageError
from tracer.filter import parse
from tracer.model.flow import EventKind
from tracer.top import messages
from tracer.top.messages import Messages
from tracer.warn import to_stderr


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("--dst 10.0.0.5 -u 1000", True),
        ("-P 53", True),
        ("-P '54'", False),
        ("--src 10.0.0.1 --udp", True),
        ("-6", False),
        ("--comm dig", True),
        ("--not-dst 10.0.0.0/8", False),
    ],
)
def test_a_typed_filter_is_as_on_the_command_line(text, passes):
    assert top.typed(text).matches(flow()) is passes
    assert top.typed(text).matches(flow(kind=EventKind.ACCEPT)) is passes


def test_no_filter_is_typed():
    assert top.typed("") is None
    assert top.typed("  ") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("--sport 1", "--sport is not known here: a row joins local ports; try -P"),
        ("--port 1", "--port is not known here: a row joins local ports; try -P"),
        ("'", '"\'" cannot be read (No closing quotation): close the quote'),
        ("word", "Got unexpected extra argument (word)"),
        ("--none", "No such option"),
        ("--dst", "Option '--dst' requires an argument"),
        ("-p x", "'x' is not a pid: give a number from 1"),
        ("--unit ''", "--unit is empty: give it a value, or leave it out"),
    ],
)
def test_what_cannot_be_read_is_said(text, says):
    with pytest.raises(UsageError) as error:
        top.typed(text)
    assert str(error.value).startswith(says)


@pytest.mark.parametrize("option", ["--dst", "--not-dst", "--src"])
@pytest.mark.parametrize("name", ["localhost", "some.host.example:53", "10.0.0"])
def test_names_are_not_looked_up(monkeypatch, option, name):
    """The screen would stand still meanwhile."""
    monkeypatch.setattr(parse.socket, "getaddrinfo", lambda *_, **__: pytest.fail("looked up"))
    with pytest.raises(UsageError) as error:
        top.typed(f"{option} {name}")
    assert str(error.value) == f"'{name}' is not an address: no name is looked up here"


def test_addresses_of_all_forms_are_typed():
    for value in ("10.0.0.5:53", "fe80::5%eth0", "[fd00::5]:53", "10.0.0.0/8"):
        assert top.typed(f"--dst {value}").dst


def test_the_run_is_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(top.run, "top", lambda *run: asked.append(run))
    top.command.main(["--dst", "10.0.0.5", "-r"], standalone_mode=False)
    ((filters, options, _),) = asked
    assert filters.summary
    assert filters.accept
    assert filters.forward
    assert options.resolve


def test_messages_are_kept(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(messages.time, "monotonic", lambda: now[0])
    kept = Messages()
    assert (kept.newest, kept.text) == ("", "")
    kept.write("one\ntwo\n")
    assert (kept.newest, kept.text) == ("two", "one\ntwo\n")
    now[0] = 11
    assert (kept.newest, kept.text) == ("", "one\ntwo\n")
    for number in range(1000):
        kept.write(f"{number}\n")
    assert kept.newest == "999"
    assert len(kept.text.splitlines()) == 100


def test_a_message_that_was_broken_is_shown_whole():
    kept = Messages()
    kept.write("one is\n  long, and\n  goes on\n")
    assert kept.newest == "one is long, and goes on"
    kept.write("two\n")
    assert kept.newest == "two"
    assert kept.text == "one is\n  long, and\n  goes on\ntwo\n"


def test_messages_stand_for_standard_error(monkeypatch):
    kept = Messages()
    monkeypatch.setattr("sys.stderr", kept)
    to_stderr("sockwatch: lost\n")
    assert kept.newest == "sockwatch: lost"
