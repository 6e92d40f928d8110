# SPDX-License-Identifier: Apache-2.0
"""The verdict for people, and for programs."""

import sys
from typing import Any

from tracer.model.counts import counted
from tracer.model.flow import EventKind
from tracer.output.jsonl import to_json
from tracer.output.terminal import columns_of
from tracer.printable import safe
from tracer.prove.connections import Used
from tracer.prove.verdict import Evidence, Verdict, Word, described
from tracer.trace import answer
from tracer.trace.run import Run


def as_text(verdict: Verdict, evidence: Evidence, run: Run) -> str:
    """Returns the sentence, who sent what, and the reasons."""
    lines = [safe(verdict.sentence)]
    table = answer.render(
        evidence.answer,
        run.clock,
        run.shown_names,
        room=columns_of(sys.stdout),
        logged=False,
    )
    lines += table.splitlines()
    lines += [safe(_used(one)) for one in evidence.used]
    if verdict.reasons and verdict.word is Word.SOMEBODY:
        lines.append("And that may not be all:")
    lines += [f"- {safe(reason.text)}" for reason in verdict.reasons]
    return "".join(f"{line}\n" for line in lines)


def as_json(verdict: Verdict, evidence: Evidence, run: Run) -> str:
    """Returns one line of JSON. Times are UTC, amounts bytes; null: not known, or none."""
    witness = evidence.witness
    found = {
        "verdict": verdict.word.name.lower(),
        "sentence": verdict.sentence,
        "reasons": [reason._asdict() for reason in verdict.reasons],
        "answer": [answer.fields(total, run.clock) for total in evidence.answer],
        "connections": [_connection(one) for one in evidence.used],
        "probe": run.session.probe.name,
        "blind_spots": run.session.probe.blind_spots,
        "counts": evidence.numbers,
        "packets": witness.packets,
        "devices": witness.devices,
        "namespaces": witness.namespaces,
        "uncertain": witness.uncertain,
        "differences": [one._asdict() for one in witness.differences],
        "udp_differences": [one._asdict() for one in witness.udp_differences],
    }
    return to_json(found) + "\n"


def _used(one: Used) -> str:
    flow = one.flow
    which = "that nobody has accepted" if flow.kind is EventKind.ACCEPT else "from before"
    return (
        f"{described(flow)} sent {counted(one.sent, 'byte')} in {counted(one.segments, 'segment')} "
        f"and received {one.received:,} by a TCP connection {which}, {flow.src} to {flow.dst}"
    )


def _connection(one: Used) -> dict[str, Any]:
    flow, process = one.flow, one.flow.process
    return {
        "process": process and {"pid": process.pid, "comm": process.comm, "exe": process.exe,
                                "exe_here": process.exe_here},
        "src": {"addr": str(flow.src.addr), "port": flow.src.port},
        "dst": {"addr": str(flow.dst.addr), "port": flow.dst.port},
        "bytes_sent": one.sent,
        "bytes_received": one.received,
        "segments_sent": one.segments,
    }  # fmt: skip
