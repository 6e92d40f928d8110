# SPDX-License-Identifier: Apache-2.0
"""The verdict, from evidence of every kind."""

import socket
from ipaddress import ip_network

import pytest

from tests import samples
from tests.cases import PROBE_NAMES
from tracer.filter import parse
from tracer.filter.filters import NO_FILTERS, Filters
from tracer.host import netns
from tracer.inventory.bypasses.bypass import Bypass, Way, judge
from tracer.inventory.bypasses.search import Found
from tracer.inventory.bypasses.seen import SEEN, is_seen
from tracer.model.fields import LOSSES
from tracer.model.flow import EventKind
from tracer.model.process import Holder
from tracer.prove.connections import Used, Volume, compare, unaccepted
from tracer.prove.datagrams import UdpDifference
from tracer.prove.verdict import Evidence, Question, Word, decide
from tracer.prove.witness import Difference, Findings
from tracer.trace.totals import Total

QUESTION = Question("to 10.0.0.5", "10:00:00", "10:01:00")
NUMBERS = dict.fromkeys(
    ("seen", "matched", "existing", "undecided", "coalesced", "unfinished", *LOSSES), 0
)
WITNESS = Findings(1_204_332, 14, 7, 0, [], [], [])
NONE = Found([], [])
NOTHING = Evidence([], NUMBERS, [], [], WITNESS, NONE, NONE, NONE)


VHOST = Bypass("vhost_net", "/dev/vhost-net", (Holder(9, "qemu", None),), None, None, False)


def total(count, comm="dig", pid=4321):
    process = samples.process(comm=comm, pid=pid)
    return Total(process, comm, "udp", samples.flow().dst, 0, 0, count, 10 * count)


def connection(comm="psql"):
    return samples.flow(proto="tcp", process=samples.process(comm=comm), cookie=5)


def verdict(**changes):
    return decide(QUESTION, NOTHING._replace(**changes))


def reasons(**changes):
    """Of a verdict that nothing is proven."""
    found = verdict(**changes)
    assert found.word is Word.NOT_PROVEN
    assert found.sentence == (
        "It is not proven that nobody sent to 10.0.0.5 from 10:00:00 to 10:01:00; "
        "nobody was seen to."
    )
    return [reason.text for reason in found.reasons]


def test_nobody():
    found = verdict(totals=[total(0)])
    assert found == (
        Word.NOBODY,
        "Nobody sent to 10.0.0.5 from 10:00:00 to 10:01:00: 1,204,332 packets on 14 devices in "
        "7 network namespaces were looked at, none was missed; the devices' own counters agree.",
        [],
    )
    assert found.word.value == 0


def test_what_was_on_its_way_while_counters_were_read_is_said():
    found = verdict(witness=WITNESS._replace(packets=1, devices=1, namespaces=1, uncertain=3))
    assert found.word is Word.NOBODY
    assert found.sentence.endswith(
        ": 1 packet on 1 device in 1 network namespace were looked at, none was missed; the "
        "devices' own counters agree to within 3 packets, sent while they were read."
    )


def test_somebody():
    found = verdict(totals=[total(3), total(1, "curl", 7), total(0, "idle", 8)])
    assert found.word is Word.SOMEBODY
    assert found.word.value == 1
    assert found.sentence == (
        "Somebody sent to 10.0.0.5 from 10:00:00 to 10:01:00: dig (pid 4321), curl (pid 7)."
    )


def test_of_many_three_are_named():
    found = verdict(totals=[total(1, "many", pid) for pid in range(1, 6)])
    assert found.sentence.endswith(": many (pid 1), many (pid 2), many (pid 3) and 2 more.")


def test_a_connection_from_before_that_moved_bytes_is_somebody():
    found = verdict(used=[Used(connection(), 10, 0, 1)])
    assert found.word is Word.SOMEBODY
    assert found.sentence.endswith(": psql (pid 4321).")


def test_who_is_found_has_sent_whatever_was_missed():
    found = verdict(totals=[total(1)], numbers={**NUMBERS, "lost": 5})
    assert found.word is Word.SOMEBODY
    assert [reason.kind for reason in found.reasons] == ["lost"]


@pytest.mark.parametrize("name", [*LOSSES, "unfinished"])
def test_every_loss_counts(name):
    (reason,) = reasons(numbers={**NUMBERS, name: 1_234})
    assert reason.startswith("1,234 ")


def test_what_is_not_known_of_events_and_sockets():
    assert reasons(numbers={**NUMBERS, "undecided": 2, "existing": None}) == [
        "2 events and sockets of which it is not known whether they are asked for",
        "not all sockets from before the start could be listed",
    ]
    (reason,) = reasons(unknown=[connection()])
    assert reason == (
        "what psql (pid 4321) sent by a TCP connection from before, 10.0.0.1:40001 to "
        "10.0.0.5:53, is not known (has it ended?)"
    )


def test_a_device_that_disagrees_is_named():
    more, fewer = Difference("va", "blue", 1, 0), Difference("tun0", "402", 0, 2_000)
    assert reasons(witness=WITNESS._replace(differences=[more, fewer], unread=["eth9 …"])) == [
        "va in the network namespace blue sent 1 packet that no hook saw",
        "tun0 in the network namespace 402 was handed 2,000 packets that its own counter does not "
        "have, nor counts as dropped",
        "eth9 …",
    ]


def test_a_network_namespace_that_sent_without_calls_is_named():
    found = [UdpDifference("blue", 1), UdpDifference("402", 2_000)]
    assert reasons(witness=WITNESS._replace(udp_differences=found)) == [
        "the network namespace blue sent 1 UDP datagram (Udp:OutDatagrams) that no hook saw a call "
        "for",
        "the network namespace 402 sent 2,000 UDP datagrams (Udp:OutDatagrams) that no hook saw a "
        "call for",
    ]


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({}, True),
        ({"concerns": True}, True),
        ({"concerns": False}, False),
        ({"seen": True}, False),
        ({"seen": None}, True),
        ({"concerns": True, "seen": True}, False),
    ],
)
def test_ways_past_the_hooks(changes, counts):
    ways = Found([VHOST._replace(**changes)], [])
    found = verdict(before=ways, after=ways)
    assert found.word is (Word.NOT_PROVEN if counts else Word.NOBODY)
    assert [reason.text for reason in found.reasons] == (
        ["qemu (pid 9) holds /dev/vhost-net"] * counts
    )


@pytest.mark.parametrize("probe", PROBE_NAMES)
@pytest.mark.parametrize("kind", SEEN)
def test_what_a_probe_may_miss_is_never_nobody(kind, probe):
    """Also what no test can make, for want of hardware or a server."""
    way = judge(Way(kind, "it"), Filters(dst=(ip_network("10.0.0.5"),)), probe)
    nothing, some = Found([], []), Found([way], [])
    for before, after in ((some, some), (some, nothing), (nothing, some)):
        found = verdict(before=before, after=after)
        assert (found.word is Word.NOBODY) is (is_seen(kind, probe) is True)


def test_ways_that_come_and_go():
    came, went = (VHOST._replace(what=name, owners=()) for name in "ab")
    assert reasons(before=Found([went], []), after=Found([came], [])) == [
        "b (gone by the end)",
        "a (since after the start)",
    ]


def test_ways_that_neither_end_has():
    assert reasons(between=Found([VHOST], ["no"])) == [
        "qemu (pid 9) holds /dev/vhost-net (for a time in between)",
        "could not be looked into: no",
    ]


def test_what_could_not_be_looked_into_is_said_once():
    assert reasons(before=Found([], ["no"]), after=Found([], ["no", "nor"])) == [
        "could not be looked into: no",
        "could not be looked into: nor",
    ]


def test_connections_from_before():
    kept, used, ended, unheard, udp = (
        samples.flow(proto=proto, cookie=cookie)
        for proto, cookie in (("tcp", 1), ("tcp", 2), ("tcp", 3), ("tcp", None), ("udp", 4))
    )
    alive = samples.flow(proto="tcp", cookie=5)  # a keepalive is sent
    first = {1: Volume(5, 5, 5), 2: Volume(5, 5, 5), 3: Volume(0, 0, 0), 5: Volume(0, 0, 1)}
    last = {1: Volume(5, 5, 5), 2: Volume(9, 6, 8), 5: Volume(0, 0, 2)}
    moved, unknown = compare([kept, used, ended, unheard, udp, alive], first, last)
    assert moved == [Used(used, 4, 1, 3), Used(alive, 0, 0, 1)]
    assert unknown == [ended, unheard]
    assert compare([kept, used, ended, unheard], first, last, {3})[1] == [unheard]


def test_who_only_receives_is_somebody():
    arrived = total(3)
    arrived.arrived = 3
    found = verdict(totals=[arrived])
    assert (found.word, found.reasons) == (Word.SOMEBODY, [])
    assert "Nobody was seen to send" in found.sentence
    assert "packets came from there for dig (pid 4321)" in found.sentence
    assert "Somebody sent" in verdict(totals=[arrived, total(1)]).sentence


def test_whom_nobody_accepts():
    """Until somebody does, it belongs to nobody."""
    filters = NO_FILTERS._replace(
        dst=parse.networks("127.0.0.66"), netns=frozenset({netns.own()}), accept=True
    )
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), source_address=("127.0.0.66", 0)) as client,
    ):
        client.send(b"hello")
        (found,) = unaccepted(filters, pytest.fail)
        assert (found.flow.kind, found.flow.process) == (EventKind.ACCEPT, None)
        assert (found.flow.dst.port, found.sent, found.received) == (
            client.getsockname()[1], 0, 5
        )  # fmt: skip
        assert unaccepted(filters._replace(pid=frozenset({1})), pytest.fail) == []
        accepted, _ = server.accept()
        assert unaccepted(filters, pytest.fail) == []
        accepted.close()
