# SPDX-License-Identifier: Apache-2.0
"""The verdict: who sent, or that nobody did, or why that is not proven. Nothing is asked here."""

import enum
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from tracer import errors
from tracer.inventory.bypasses.bypass import diff
from tracer.inventory.bypasses.search import Found
from tracer.model.counts import COUNTS, counted
from tracer.model.fields import LOSSES
from tracer.model.flow import Flow
from tracer.prove.connections import Used
from tracer.prove.datagrams import UdpDifference
from tracer.prove.ways_past import open_ways
from tracer.prove.witness import Difference, Findings
from tracer.trace.totals import Total

# Of what none must have been counted.
_DOUBTS: Final = (*LOSSES, "unfinished")


class Word(enum.Enum):
    """The verdict in a word; the value is the exit status."""

    NOBODY = 0
    SOMEBODY = 1
    NOT_PROVEN = errors.NOT_PROVEN


class Reason(NamedTuple):
    """Why nothing is proven: of which kind, and in words."""

    kind: str
    text: str


class Question(NamedTuple):
    """What is asked ("to 10.0.0.5"), and from when to when, as local times."""

    asked: str
    since: str
    until: str

    def __str__(self) -> str:
        return f"{self.asked} from {self.since} to {self.until}"


class Evidence(NamedTuple):
    """What was found. ``numbers`` are those of :class:`tracer.trace.run.Outcome`; ``used`` and
    ``unknown`` are connections from before; ``before``, ``after`` and ``between`` are those of
    :class:`tracer.prove.ways_past.Ways`."""

    totals: Sequence[Total]
    numbers: Mapping[str, int | None]
    used: Sequence[Used]
    unknown: Sequence[Flow]
    witness: Findings
    before: Found
    after: Found
    between: Found

    @property
    def answer(self) -> list[Total]:
        """Those that sent, or received."""
        return [total for total in self.totals if total.count]

    @property
    def senders(self) -> list[Total | Flow]:
        """Those that sent, and the connections from before that were used."""
        sent = [total for total in self.totals if total.count > total.arrived]
        return [*sent, *(one.flow for one in self.used)]


class Verdict(NamedTuple):
    """The verdict, in one sentence, and why it is not (quite) proven."""

    word: Word
    sentence: str
    reasons: list[Reason]


def decide(question: Question, evidence: Evidence) -> Verdict:
    """Judges. Who is found has sent, or received from there, whatever else was missed."""
    reasons = list(_reasons(evidence))
    if evidence.senders:
        sentence = f"Somebody sent {question}: {_who(evidence.senders)}."
        return Verdict(Word.SOMEBODY, sentence, reasons)
    if evidence.answer:
        who = _who(evidence.answer)
        sentence = f"Nobody was seen to send {question}, but packets came from there for {who}."
        return Verdict(Word.SOMEBODY, sentence, reasons)
    if reasons:
        sentence = f"It is not proven that nobody sent {question}; nobody was seen to."
        return Verdict(Word.NOT_PROVEN, sentence, reasons)
    sentence = f"Nobody sent {question}: {_looked_at(evidence.witness)}."
    return Verdict(Word.NOBODY, sentence, [])


def _who(found: Sequence[Total | Flow]) -> str:
    """Names the first three."""
    names = list(dict.fromkeys(map(described, found)))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def described(one: Total | Flow) -> str:
    """Names who has sent, or who has a connection."""
    return f"{one.sender} (pid {one.process.pid or '?'})" if one.process else one.sender


def _looked_at(found: Findings) -> str:
    certain = "the devices' own counters agree"
    if found.uncertain:
        certain += f" to within {_packets(found.uncertain)}, sent while they were read"
    return (
        f"{_packets(found.packets)} on {counted(found.devices, 'device')} in "
        f"{counted(found.namespaces, 'network namespace')} were looked at, none was missed; "
        f"{certain}"
    )


def _reasons(evidence: Evidence) -> Iterator[Reason]:
    numbers = evidence.numbers
    for name in _DOUBTS:
        if numbers[name]:
            yield Reason(name, f"{numbers[name]:,} {COUNTS[name].meaning}")
    if numbers["undecided"]:
        yield Reason("undecided", f"{numbers['undecided']:,} events and sockets of which it is not "
                     "known whether they are asked for")  # fmt: skip
    if numbers["existing"] is None:
        yield Reason("existing", "not all sockets from before the start could be listed")
    for flow in evidence.unknown:
        yield Reason("connection", f"what {described(flow)} sent by a TCP connection from before, "
                     f"{flow.src} to {flow.dst}, is not known (has it ended?)")  # fmt: skip
    yield from (Reason("witness", _disagreement(one)) for one in evidence.witness.differences)
    yield from (Reason("witness", _without_calls(one)) for one in evidence.witness.udp_differences)
    yield from (Reason("unread_counters", text) for text in evidence.witness.unread)
    yield from _ways(evidence)


def _disagreement(one: Difference) -> str:
    where = f"{one.device} in the network namespace {one.netns}"
    if one.unseen:
        return f"{where} sent {_packets(one.unseen)} that no hook saw"
    return (
        f"{where} was handed {_packets(one.missing)} that its own counter does not have, "
        "nor counts as dropped"
    )


def _without_calls(one: UdpDifference) -> str:
    return (
        f"the network namespace {one.netns} sent {counted(one.unseen, 'UDP datagram')} "
        "(Udp:OutDatagrams) that no hook saw a call for"
    )


def _ways(evidence: Evidence) -> Iterator[Reason]:
    """Yields each way past the hooks once."""
    before, after = map(open_ways, (evidence.before, evidence.after))
    came, went = diff(before, after)
    for way in before:
        yield Reason(way.kind, way.sentence + (" (gone by the end)" if way in went else ""))
    for way in came:
        yield Reason(way.kind, f"{way.sentence} (since after the start)")
    for way in evidence.between.bypasses:
        yield Reason(way.kind, f"{way.sentence} (for a time in between)")
    looks = evidence.before, evidence.between, evidence.after
    texts = dict.fromkeys(text for found in looks for text in found.unreadable)
    yield from (Reason("unreadable", f"could not be looked into: {text}") for text in texts)


def _packets(number: int) -> str:
    return counted(number, "packet")
