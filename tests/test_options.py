# SPDX-License-Identifier: Apache-2.0
"""What the options of the commands make of what was typed."""

import datetime as dt
from pathlib import Path

import click
import pytest

from tracer.cli import live, report, sockets
from tracer.errors import UsageError
from tracer.filter import parse
from tracer.host.fd_holders import Holders


@pytest.fixture
def traced(monkeypatch):
    """Returns the filter and the options of the run that these words ask for."""
    asked = []
    monkeypatch.setattr(live.run, "trace", lambda *run: asked.append(run[:2]) or 0)

    def ask(*words):
        with pytest.raises(SystemExit):
            live.command.main([*words], standalone_mode=False)
        return asked.pop()

    return ask


@pytest.fixture
def listed(monkeypatch):
    """Returns the selection of the listing that these words ask for."""
    asked = []
    monkeypatch.setattr(sockets.run, "list_sockets", lambda *run: asked.append(run[0]))

    def ask(*words):
        sockets.command.main([*words], standalone_mode=False, obj=lambda: Holders({}, 0))
        return asked.pop()

    return ask


@pytest.mark.parametrize(
    ("options", "forward"),
    [
        (("--dst", "10.0.0.5"), True),
        (("--dst", "10.0.0.5", "--dport", "53", "-N", "self", "--src", "10.0.0.1"), True),
        (("--dst", "10.0.0.5", "--no-forward"), False),
        ((), False),
        (("--not-dst", "10.0.0.5"), False),
        (("--dst", "10.0.0.5", "-x"), False),
        (("--dst", "10.0.0.5", "-p", "1"), False),
        (("--dst", "10.0.0.5", "-u", "0"), False),
        (("--dst", "10.0.0.5", "--comm", "curl"), False),
        (("--dst", "10.0.0.5", "--unit", "ssh.service"), False),
    ],
)
def test_forwarded_packets_are_watched_by_destination(traced, options, forward):
    assert traced(*options)[0].forward is forward


@pytest.mark.parametrize(
    ("options", "accept"),
    [
        (("--dst", "10.0.0.5"), True),
        (("--dst", "10.0.0.5", "-p", "1", "--tcp", "--udp"), True),
        (("--dst", "10.0.0.5", "--no-accept"), False),
        ((), False),
        (("--accept",), True),
        (("--not-dst", "10.0.0.5"), False),
        (("--dst", "10.0.0.5", "-x"), False),
        (("--dst", "10.0.0.5", "--udp"), False),
        (("--dst", "10.0.0.5", "--proto", "icmp"), False),
    ],
)
def test_accepted_connections_are_watched_by_destination(traced, options, accept):
    assert traced(*options)[0].accept is accept


def test_addresses_with_ports(traced, listed):
    for filters in (traced("--dst", "10.0.0.5:53")[0], listed("--dst", "10.0.0.5:53").filters):
        parts = filters._replace(forward=False, accept=False).describe()
        assert parts == {"dst": ["10.0.0.5"], "dport": ["53"]}
    filters, _ = traced("--dst", "[fd00::5]:50-60", "-P", "domain,80", "--src", "[::1]:9")
    assert filters._replace(forward=False, accept=False).describe() == {
        "dst": ["fd00::5"], "src": ["::1"], "dport": ["53"], "sport": ["9"],
    }  # fmt: skip


def test_either_port(traced, listed):
    for filters in (traced("--port", "domain,9")[0], listed("--port", "53,9").filters):
        assert filters.describe() == {"port": ["9", "53"]}


def test_durations(traced):
    _, options = traced("--duration", "5m", "-S", "1m")
    assert (options.duration, options.interval) == (300, 60)
    assert traced("--duration", "0.1")[1].duration == 0.1
    assert traced("-S")[1].interval == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--dst", "10.0.0.5", "-6"), "--dst 10.0.0.5 and -6 exclude each other"),
        (("--dst", "10.0.0.5:53", "-P", "80"), "--dport and the ports of --dst exclude"),
        (("--src", "127.0.0.1:53", "--sport", "80"), "--sport and the ports of --src exclude"),
        (("--dst", "10.0.0.5:53", "--port", "80"), "--port is for either end, --dport for one"),
        (("--not-dst", "10.0.0.5:53"), "--not-dst leaves out addresses, not ports"),
        (("--dst", "10.0.0.5:53", "--dst", "10.0.0.6"), "the values of --dst have different ports"),
        (("--unit", ""), "--unit is empty"),
        (("--dst", ""), "--dst is empty"),
        (("--not-dst", ""), "--not-dst is empty"),
        (("-P", ""), "--dport is empty"),
        (("--comm", ""), "--comm is empty"),
        (("--cgroup", ""), "--cgroup is empty"),
        (("--exe", ""), "--exe is empty"),
        (("-N", ""), "--netns is empty"),
        (("--quiet", "--json"), "--quiet and --json exclude each other"),
        (
            ("--udp", "-x", "--probe", "tracepoint"),
            "--udp --failed and --probe tracepoint exclude each other",
        ),
        (("--accept", "--udp"), "--accept and --udp exclude each other"),
        (("--accept", "--proto", "sctp"), "--accept and --proto sctp exclude each other"),
        (("--proto", "icmp", "-P", "53"), "--proto icmp and --dport exclude each other"),
        (("--proto", "1", "--dst", "10.0.0.5:53"), "--proto icmp and --dport exclude each other"),
        (("-x", "--proto", "icmp"), "--failed and --proto icmp exclude each other"),
        (
            ("--proto", "udp", "-x", "--probe", "tracepoint"),
            "--proto udp --failed and --probe tracepoint exclude each other",
        ),
        (("--proto", ""), "--proto is empty"),
        (("--proto", "256"), "there is no protocol '256'"),
        (("--proto", "icmpv7"), "there is no protocol 'icmpv7'"),
        (("--no-log", "--log", "x"), "--no-log and --log exclude each other"),
        (("--no-log", "--log-compress"), "--no-log and --log-compress exclude each other"),
        (("--metrics", "-"), "--metrics writes a file"),
        (("--metrics", "x", "--log", "x"), "--metrics would replace the log x"),
    ],
)  # fmt: skip
def test_what_tracing_refuses(words, says):
    with pytest.raises(UsageError, match=says):
        live.command.main([*words], standalone_mode=False)


@pytest.mark.parametrize(
    ("words", "protos"),
    [
        ((), set()),
        (("--udp",), {"udp", "udplite"}),
        (("--tcp",), {"tcp"}),
        (("--udp", "--tcp", "--proto", "icmp"), {"udp", "udplite", "tcp", "icmp"}),
        (("--proto", "ICMP", "--proto", "58", "--proto", "icmpv6"), {"icmp", "ipv6-icmp"}),
        (("--proto", "253", "--proto", "132"), {"253", "sctp"}),
        (("--proto", "0", "--proto", "7"), {"hopopt", "7"}),
    ],
)
def test_protocols(traced, words, protos):
    assert traced(*words)[0].proto == protos


NUMBERS = ["1_0", "٣", "-1", "1.5", "x", "", "+1", " 1", "9" * 5000]


@pytest.mark.parametrize("typed", NUMBERS)
@pytest.mark.parametrize("option", ["-c", "--log-keep-days", "--log-keep", "-b", "--log-max-size"])
def test_a_number_is_digits_only(option, typed):
    with pytest.raises(click.BadParameter, match=r"is not a number from|must be a number of bytes"):
        live.command.main([option, typed], standalone_mode=False)


@pytest.mark.parametrize("typed", [*NUMBERS, "0", "4194304"])
def test_a_pid_is_digits_only(typed):
    with pytest.raises(UsageError, match=r"is not a pid: give a number from 1|--pid is empty"):
        live.command.main(["--pid", typed], standalone_mode=False)


def test_numbers(traced):
    filters, options = traced("--pid", "010", "-c", "7", "-b", "8", "--log-max-size", "2KiB")
    assert filters.pid == {10}
    assert (options.count, options.ring_pages, options.log.rotation.max_size) == (7, 8, 2048)


@pytest.mark.parametrize("option", ["--log", "--ready-file"])
def test_an_empty_path_is_not_this_folder(option):
    with pytest.raises(click.BadParameter, match="it is empty"):
        live.command.main([option, ""], standalone_mode=False)


def test_metrics(traced, monkeypatch):
    """They name each --dst as it was given, and mean the same by it as the filter."""
    assert traced()[1].metrics is None
    assert traced("--metrics", "x")[1].metrics.path == Path("x")
    addresses = iter(("10.0.0.1", "10.0.0.2"))  # a name's; another one each time

    def look_up(*_, **__):
        return [(2, 2, 17, "", (next(addresses), 0))]

    monkeypatch.setattr(parse.socket, "getaddrinfo", look_up)
    filters, options = traced("--metrics", "x", "--dst", "web.example", "--dst", "10.0.0.7")
    named = [(value, list(map(str, to.networks))) for value, to in options.metrics.destinations]
    assert named == [("web.example", ["10.0.0.2/32"]), ("10.0.0.7", ["10.0.0.7/32"])]
    assert list(map(str, filters.dst)) == ["10.0.0.2/32", "10.0.0.7/32"]


def test_what_goes_together(traced):
    assert traced("--accept", "--udp", "--tcp")[0].accept
    assert traced("--accept", "--proto", "tcp", "--proto", "sctp")[0].accept
    assert traced("-x", "--proto", "icmp", "--udp")[0].failed
    assert traced("--proto", "icmp", "-P", "0")[0].dport == {0}
    assert traced("--no-log")[1].log is None
    assert traced("--log", "x")[1].log.path == Path("x")
    assert traced("--quiet")[1].json is False


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("-l", "--dst", "10.0.0.5"), "--listening and --dst exclude each other"),
        (("-l", "--dst", "10.0.0.5:53"), "--listening and --dst exclude each other"),
        (("-l", "-P", "53"), "--listening and --dport exclude each other"),
        (("--exposed", "--dst", "10.0.0.5"), "--exposed and --dst exclude each other"),
        (("-a", "--exposed", "-P", "53"), "--exposed and --dport exclude each other"),
        (("--state", "listening", "--dst", "::1"), "--state and --dst exclude each other"),
        (("--state", "time-wait", "--udp"), "--state and --udp exclude each other"),
        (("--proto", "icmp"), "sockets of icmp cannot be listed"),
        (("--udp", "--proto", "udplite"), "sockets of udplite cannot be listed"),
        (("-a", "-l"), "--all and --listening ask for different states"),
        (("--all-netns", "-N", "self"), "--all-netns and --netns ask for different namespaces"),
        (("--dst", "::1", "-4"), "--dst ::1 and -4 exclude each other"),
    ],
)
def test_what_a_listing_refuses(words, says):
    with pytest.raises(UsageError, match=says):
        sockets.command.main([*words], standalone_mode=False, obj=lambda: Holders({}, 0))


@pytest.mark.parametrize(
    "words",
    [
        ("-l", "-P", "0"),
        ("-l", "--port", "53"),
        ("-l", "--udp"),
        ("-l", "--proto", "tcp", "--proto", "17"),
        ("--exposed", "--not-dst", "10.0.0.5"),
        ("--state", "listening", "--state", "established", "--dst", "::1"),
        ("--state", "connected", "--udp"),
        ("--all-netns",),
    ],
)
def test_what_a_listing_takes(listed, words):
    listed(*words)


def test_a_period_that_is_none():
    with pytest.raises(UsageError, match="--since is later than --until"):
        report.command.main(["--since", "1h", "--until", "2h"], standalone_mode=False)


def test_a_time_of_day_is_the_latest_one(monkeypatch):
    class Now(dt.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 11, 24, 13, 0, 30, tzinfo=tz)

    monkeypatch.setattr(report.dt, "datetime", Now)
    for asked, expected in (
        ("13:00", "2026-11-24T13:00"),
        ("13:00:30.000", "2026-11-24T13:00:30"),
        ("13:00:31", "2026-11-23T13:00:31"),
        ("23:59:59.5", "2026-11-23T23:59:59.5"),
    ):
        assert report._time(asked) == report._time(expected)
    for bad in ("24:00", "13:60", "1:00", "13", "13:00:", "\u0661\u0663:\u0660\u0660"):
        with pytest.raises(UsageError, match="is not a time"):
            report._time(bad)
