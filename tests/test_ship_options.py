# SPDX-License-Identifier: Apache-2.0
"""What the options of ship make of what was typed, and what it does not import."""

import subprocess
import sys

import pytest

from tracer.cli import ship
from tracer.errors import SockwatchError, UsageError

TO = ("--to", "clickhouse://ann@db/net")


@pytest.fixture
def shipped(monkeypatch):
    """Returns where, how and what is shipped with these words."""
    asked = []
    monkeypatch.setattr(ship.run, "ship", lambda *given: asked.append(given))

    def ask(*words):
        ship.command.main([*TO, *words], standalone_mode=False)
        return asked.pop()

    return ask


def test_the_defaults(shipped, monkeypatch):
    monkeypatch.delenv("SOCKWATCH_CLICKHOUSE_PASSWORD", raising=False)
    target, access, options = shipped()
    assert target.hosts == (("db", 8443),)
    assert access.password == ""
    assert access.tls.check_hostname
    assert str(options.log) == "/var/log/sockwatch/events.jsonl"
    assert str(options.cursor) == "/var/lib/sockwatch-ship/cursor"
    assert (options.every, options.once, options.metrics) == (10, False, None)


def test_where_the_password_comes_from(shipped, monkeypatch, tmp_path):
    monkeypatch.setenv("SOCKWATCH_CLICKHOUSE_PASSWORD", "one")
    assert shipped()[1].password == "one"
    (tmp_path / "secret").write_text("two \n")
    assert shipped("--password-file", str(tmp_path / "secret"))[1].password == "two "
    with pytest.raises(SockwatchError, match="cannot read the password file"):
        shipped("--password-file", str(tmp_path / "none"))
    (tmp_path / "secret").write_bytes(b"\xff")
    with pytest.raises(SockwatchError, match="it is no text"):
        shipped("--password-file", str(tmp_path / "secret"))


def test_without_tls(shipped):
    target, access, _ = shipped("--no-tls")
    assert target.hosts == (("db", 8123),)
    assert access.tls is None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--create", "--schema"), "--create and --schema exclude each other"),
        (("--no-tls", "--ca", "/etc/passwd"), "--no-tls and --ca exclude each other"),
        (("--ca", "/etc/passwd"), "cannot take certificates from /etc/passwd"),
        (("--ca", "/none"), "cannot take certificates from /none"),
    ],
)
def test_what_ship_refuses(shipped, words, says):
    with pytest.raises(UsageError, match=says):
        shipped(*words)


def test_it_needs_nothing_of_the_tracers():
    """Neither BCC nor pyroute2, nor what reads the kernel."""
    script = (
        "import sys; sys.modules.update(bcc=None, pyroute2=None)\n"
        "from tracer.cli.main import command_of; command_of('ship')\n"
        "print([name for name in sys.modules if name.startswith(('tracer.kernel', 'tracer.trace',\n"
        "    'tracer.report', 'tracer.inventory', 'tracer.host.netlink'))])"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    assert done.stdout == b"[]\n"
