# SPDX-License-Identifier: Apache-2.0
"""Judges what each probe saw, and shows it. Nothing is asked here."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tracer.doctor.run import Seen
from tracer.doctor.ways import WAYS, Way
from tracer.output.jsonl import to_json
from tracer.output.terminal import table
from tracer.printable import safe


def cell(way: Way, one: Seen) -> str:
    """Says in a word what a probe saw of a way: ``seen``; ``whose?`` (seen, but not which process
    it was); ``MISSED``; ``blind`` (it cannot be seen); ``lacks`` (this kernel has no such way);
    ``-`` (this kernel does not take the probe)."""
    if one.refused:
        return "-"
    if way.name in one.lacks:
        return "lacks"
    if way.name in one.known:
        return "seen"
    if way.name in one.seen:
        return "whose?"
    return "blind" if one.probe in way.blind else "MISSED"


def failures(found: Sequence[Seen]) -> list[str]:
    """Returns what should have been seen and was not, in words. Where no probe can be attached,
    nothing is seen."""
    if all(one.refused for one in found):
        return ["this kernel takes no probe"]
    words = {"MISSED": "did not see", "whose?": "did not see which process sent"}
    return [
        f"{one.probe} {words[said]}: {way.name}"
        for way in WAYS
        for one in found
        if (said := cell(way, one)) in words
    ]


def as_text(found: Sequence[Seen]) -> str:
    """Returns a table of ways and probes, what each probe costs, and the notes to both."""
    header = ("WAY", *(one.probe.upper() for one in found))
    rows = [(way.name, *(cell(way, one) for one in found)) for way in WAYS]
    rows.append(("seconds to start", *(_number(one.start, 2) for one in found)))
    rows.append(("ns for a datagram to others", *(_number(one.cost, 0) for one in found)))
    return table(header, rows) + "".join(f"{safe(line)}\n" for line in _notes(found))


def as_json(found: Sequence[Seen]) -> str:
    """Returns the same as one line of JSON."""
    return to_json({
        "probes": [_probe(one) for one in found],
        "ways": [_way(way, found) for way in WAYS],
        "failures": failures(found),
    }) + "\n"  # fmt: skip


def _probe(one: Seen) -> dict[str, Any]:
    return {"name": one.probe, "refused": one.refused, "start": one.start, "ns": one.cost}


def _way(way: Way, found: Iterable[Seen]) -> dict[str, Any]:
    return {
        "name": way.name,
        "found": {one.probe: cell(way, one) for one in found},
        "lacks": next((one.lacks[way.name] for one in found if way.name in one.lacks), None),
        "blind": sorted(way.blind),
        "why": way.why or None,
    }


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _notes(found: Sequence[Seen]) -> Iterator[str]:
    """Yields why a probe is not there, and why a way is not seen."""
    yield from (f"- {one.refused}" for one in found if one.refused)
    for way in WAYS:
        cells = {cell(way, one) for one in found}
        if "blind" in cells:
            yield f"blind to {way.name}: {way.why}"
        if "lacks" in cells:
            reasons = {one.lacks[way.name] for one in found if way.name in one.lacks}
            yield f"this kernel lacks {way.name}: {', '.join(sorted(reasons))}"
    yield from failures(found)
