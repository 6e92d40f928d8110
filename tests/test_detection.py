# SPDX-License-Identifier: Apache-2.0
"""How scripts/bench detection scores what a tool found."""

import sqlite3
import struct
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts" / "benchmarks"))

import detection_picosnitch
import detection_scenarios
import detection_tools
import detection_wire
from detection_score import Found, Outcome, Truth, score, table

from tests.generator import ip_packet, udp_packet


def truth(sent=0, received=0, moves=("sent",), processes=1):
    rest = [{"pid": 8 + at, "comm": "x", "sent": 0, "received": 0} for at in range(processes - 1)]
    first = {"pid": 7, "comm": "x", "sent": sent, "received": received}
    return Truth("10.0.0.5", moves, [first, *rest], 0, 1)


def found(sent=None, received=None, processes=1, with_address=1, address=True):
    return Found(processes, with_address, address, sent, received)


@pytest.mark.parametrize(
    ("counted", "right", "shown"),
    [
        (1000, True, "100.0"), (950, True, "95.0"), (1050, True, "105.0"), (949, False, "94.9"),
        (1051, False, "105.1"), (0, False, "0.0"), (None, False, "?"),
    ],
)  # fmt: skip
def test_bytes_are_right_within_five_percent(counted, right, shown):
    one = score(truth(sent=1000), found(sent=counted))
    assert (one.sent, one.received, one.bytes, one.shown["sent"]) == (right, True, right, shown)


def test_each_way_counts():
    both = truth(1000, 1000, ("sent", "received"))
    assert score(both, found(1000, 1000)).bytes
    assert not score(both, found(1000, 0)).bytes
    assert not score(both, found(1000, None)).bytes
    assert not score(both, found(0, 1000)).bytes


def test_a_way_that_has_requests_only_need_not_be_counted():
    down = truth(28, 1000, ("received",))
    for sent in (None, 0, 28, 70):
        one = score(down, found(sent, 1000))
        assert (one.bytes, one.shown["sent"]) == (True, "-")
    one = score(down, found(80, 1000))
    assert (one.bytes, one.shown["sent"]) == (False, "285.7")


def test_bytes_that_never_were_are_wrong():
    one = score(truth(sent=1000), found(1000, 51))
    assert (one.received, one.shown["received"]) == (False, "+51")


@pytest.mark.parametrize(
    ("what", "detected"),
    [
        (found(processes=2, with_address=2), "yes"),
        (found(processes=2, with_address=1), "process"),
        (found(processes=2, with_address=0, address=False), "process"),
        (found(processes=1, with_address=1), "address"),
        (found(processes=0, with_address=0), "address"),
        (found(processes=0, with_address=0, address=False), "no"),
    ],
)
def test_detected_is_each_process_with_the_address(what, detected):
    assert score(truth(sent=1, processes=2), what).detected == detected


def test_a_row_for_each_scenario_and_sums_of_those_that_the_kernel_has():
    right, wrong = found(1000), found(10, processes=1, with_address=0, address=False)
    lacking = truth()._replace(missing="not in this kernel: SCTP")
    outcomes = {
        "good": {"a": Outcome(truth(1000), right), "b": Outcome(lacking, wrong)},
        "bad": {"a": Outcome(truth(1000), wrong), "b": Outcome(lacking, wrong)},
    }
    lines = table(
        {"a": "one", "b": "other"}, {"b": "not in this kernel: SCTP"}, outcomes
    ).splitlines()
    assert lines[2].split() == ["one", "yes", "100.0", "-", "process", "1.0!", "-"]
    assert lines[3].split(maxsplit=1) == ["other", "not in this kernel: SCTP"]
    assert lines[4:] == [
        "good: detected 1 of 1, bytes right both ways 1",
        "bad: detected 0 of 1, bytes right both ways 0; the process alone 1",
    ]


def test_there_are_24_scenarios_each_of_which_moves_something():
    assert len(detection_scenarios.SCENARIOS) == 24
    assert all(one.moves for one in detection_scenarios.SCENARIOS.values())


def test_pieces_make_up_the_whole():
    assert list(detection_wire.paced(10, 4, 0)) == [4, 4, 2]
    assert not list(detection_wire.paced(0, 4, 1))


def test_a_datagram_is_a_request_only_if_it_says_so():
    asked = detection_wire.Request(1, 2, 3.0)
    assert detection_wire.request_in(asked.pack()) == asked
    assert detection_wire.request_in(bytes(detection_wire.REQUEST_SIZE)) is None
    assert detection_wire.request_in(asked.pack() + b"x") is None


def test_a_capture_has_payload(tmp_path):
    path = tmp_path / "packets"
    packets = [
        ip_packet("10.0.0.1", "10.0.0.5", udp_packet(bytes(100), 1, 2)),
        ip_packet("10.0.0.5", "10.0.0.1", bytes(12) + b"\x80" + bytes(19 + 30), proto=6),
        struct.pack("!IHBB", 6 << 28, 28, 17, 64) + bytes(16) + bytes(15) + b"\1" + bytes(28),
    ]
    raw = bytes(24)
    for packet in packets:
        raw += struct.pack("=4I", 5, 500_000, 14 + len(packet), 14 + len(packet))
        raw += bytes(14) + packet
    path.write_bytes(raw + b"torn")
    assert list(detection_tools.read_capture(path)) == [
        (5.5, "10.0.0.1", "10.0.0.5", 100),
        (5.5, "10.0.0.5", "10.0.0.1", 30),
        (5.5, "::", "::1", 20),
    ]


def test_what_nethogs_says_is_told_by_process(tmp_path):
    (tmp_path / "out").write_text(
        "Adding local address: 10.0.0.1\n\nRefreshing:\n/usr/bin/x\t/y/7/0\t1\t2\n"
        "/usr/bin/python3 a/b/7/0\t100\t200\nunknown TCP/0/0\t5\t5\n\nRefreshing:\n"
        "/usr/bin/python3 a/b/7/0\t900\t1000\n"
    )
    find = detection_tools.nethogs().read(tmp_path)
    assert find(truth(sent=900)) == Found(1, 0, False, 900, 1000)
    assert find(truth()._replace(processes=[{"pid": 9}])) == Found(0, 0, False, None, None)


def test_what_picosnitch_says_is_told_by_name_since_the_scenario_began(tmp_path, monkeypatch):
    monkeypatch.setattr(detection_picosnitch, "_DATABASE", tmp_path / "x.db")
    with sqlite3.connect(tmp_path / "x.db") as database:
        database.executescript("""
            CREATE TABLE executables (id, name);
            CREATE TABLE addresses (id, addr);
            CREATE TABLE connections (contime, send, recv, exe_id, raddr_id);
            INSERT INTO executables VALUES (1, 'x'), (2, 'other');
            INSERT INTO addresses VALUES (0, ''), (1, '10.0.0.5');
            INSERT INTO connections VALUES
                (99, 1, 1, 1, 1), (100, 10, 20, 1, 1), (101, 0, 300, 1, 0), (101, 7, 7, 2, 1);
        """)
    asked = truth(processes=2)._replace(since=100.7)
    assert detection_picosnitch.find(asked) == Found(2, 2, True, 10, 320)
    assert detection_picosnitch.find(asked._replace(address="::1")) == Found(2, 0, False, 10, 320)
    nobody = asked._replace(processes=[{"pid": 1, "comm": "y"}])
    assert detection_picosnitch.find(nobody) == Found(0, 0, False, 0, 0)
