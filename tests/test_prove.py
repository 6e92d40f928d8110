# SPDX-License-Identifier: Apache-2.0
"""What a proof asks, in words; and its exit status where it fails."""

import pytest

from tracer.cli import main, prove
from tracer.errors import ProbeError, SockwatchError, UsageError
from tracer.filter import parse
from tracer.filter.filters import NO_FILTERS
from tracer.prove import run
from tracer.prove.run import asked

DST = tuple(parse.networks("10.0.0.5"))


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ({"dst": DST}, "to 10.0.0.5"),
        ({"dst": tuple(parse.networks("10.0.0.0/8"))}, "to 10.0.0.0/8"),
        ({"dst": DST * 2}, "to 10.0.0.5 or 10.0.0.5"),
        ({"dst": DST * 5}, "to 10.0.0.5 or 10.0.0.5 or 10.0.0.5 and 2 more"),
        ({"pid": frozenset({7})}, "anything (pid 7)"),
        (
            {"dst": DST, "not_dst": DST, "uid": frozenset({0}), "proto": frozenset({"udp"})},
            "to 10.0.0.5 but not to 10.0.0.5 (uid 0, proto udp)",
        ),
    ],
)
def test_the_question(filters, words):
    assert asked(NO_FILTERS._replace(accept=True, **filters)) == words


@pytest.mark.parametrize(
    ("error", "status"), [(ProbeError("x"), 4), (SockwatchError("x"), 4), (UsageError("x"), 2)]
)
def test_what_fails_proves_nothing(monkeypatch, error, status):
    def fail(*_):
        raise error

    monkeypatch.setattr(run, "Run", fail)
    monkeypatch.setattr(main.sys, "argv", ["sockwatch", "prove", "--dst", "10.0.0.5"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == status


def test_ctrl_c_before_anything_was_watched_proves_nothing(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(prove.run, "prove", interrupt)
    monkeypatch.setattr(main.sys, "argv", ["sockwatch", "prove", "--dst", "10.0.0.5"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 4


def test_something_must_be_asked(monkeypatch, capsys):
    monkeypatch.setattr(main.sys, "argv", ["sockwatch", "prove"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 2
    assert "say what to look for" in capsys.readouterr().err
