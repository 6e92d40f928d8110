# SPDX-License-Identifier: Apache-2.0
"""What a tool found of a scenario, against what its processes say that they moved."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

WAYS: Final = ("sent", "received")
TOLERANCE: Final = 0.05
NOTHING: Final = "-"
UNKNOWN: Final = "?"


class Truth(NamedTuple):
    """What a scenario's processes say that they moved, in bytes, and when that was (Unix time).
    ``missing`` is why it was not run."""

    address: str
    moves: tuple[str, ...]
    processes: list[dict[str, Any]]
    since: float
    until: float
    missing: str | None = None

    def total(self, way: str) -> int:
        """Bytes ``sent`` or ``received``."""
        return sum(one[way] for one in self.processes)


class Found(NamedTuple):
    """How many of the scenario's processes a tool names, how many of them with the remote address;
    does it name the address at all? Bytes are null where the tool does not count them."""

    processes: int
    with_address: int
    address: bool
    sent: int | None
    received: int | None


class Score(NamedTuple):
    """``detected``: ``yes`` (each process and the address), ``process`` or ``address`` (that
    alone), ``no``. ``sent`` and ``received``: are the bytes right? ``shown`` is what of them, in
    percent of the truth."""

    detected: str
    sent: bool
    received: bool
    shown: dict[str, str]

    @property
    def bytes(self) -> bool:
        """Both ways."""
        return self.sent and self.received


class Outcome(NamedTuple):
    """Of one scenario, with one tool."""

    truth: Truth
    found: Found


def is_right(counted: int | None, truth: int, slack: float) -> bool:
    """Whether bytes are right that may be wrong by ``slack``; if nothing moved that way, they need
    not be counted."""
    return abs((counted or 0) - truth) <= slack


def score(truth: Truth, found: Found) -> Score:
    """Each way that the scenario is about within 5 %. The other way has requests and
    acknowledgements only: there, what is counted must be below 5 % of all that moved."""
    right, shown = {}, {}
    everything = sum(map(truth.total, WAYS))
    for way in WAYS:
        counted, moved = getattr(found, way), truth.total(way)
        main = way in truth.moves
        right[way] = is_right(counted, moved, TOLERANCE * (moved if main else everything))
        shown[way] = _share(counted, moved) if main or not right[way] else NOTHING
    return Score(_detected(found, len(truth.processes)), right["sent"], right["received"], shown)


def _detected(found: Found, processes: int) -> str:
    if found.with_address == processes:
        return "yes"
    if found.processes == processes:
        return "process"
    return "address" if found.address else "no"


def _share(counted: int | None, truth: int) -> str:
    """In percent."""
    if counted is None:
        return UNKNOWN
    return f"{100 * counted / truth:.1f}" if truth else f"+{counted}"


def table(
    titles: dict[str, str], missing: dict[str, str], outcomes: dict[str, dict[str, Outcome]]
) -> str:
    """A row for each scenario (``titles`` by name), a group of columns for each tool (``outcomes``
    by its name and the scenario's), and its sums. ``missing`` is why a scenario was not
    run, which then does not count."""
    width = max(map(len, titles.values()))
    scores = {
        tool: {name: score(*one) for name, one in found.items() if name not in missing}
        for tool, found in outcomes.items()
    }
    lines = [
        f"{'':{width}}  " + "  ".join(f"{tool:^27}" for tool in scores),
        f"{'scenario':{width}}  "
        + "  ".join(_cells("detected", "sent %", "recv %") for _ in scores),
    ]
    for name, title in titles.items():
        if name in missing:
            cells = [missing[name]]
        else:
            cells = [_row(by_scenario[name]) for by_scenario in scores.values()]
        lines.append(f"{title:{width}}  " + "  ".join(cells))
    lines += [_sums(tool, list(found.values())) for tool, found in scores.items()]
    return "\n".join(line.rstrip() for line in lines)


def _row(one: Score) -> str:
    return _cells(one.detected, *(_marked(one.shown[way], getattr(one, way)) for way in WAYS))


def _marked(share: str, right: bool) -> str:
    return share if right or share == UNKNOWN else f"{share}!"


def _cells(*cells: str) -> str:
    return f"{cells[0]:9}{cells[1]:>9}{cells[2]:>9}"


def _sums(tool: str, found: Sequence[Score]) -> str:
    """In words."""
    detected = sum(one.detected == "yes" for one in found)
    right = sum(one.bytes for one in found)
    words = f"{tool}: detected {detected} of {len(found)}, bytes right both ways {right}"
    for part in ("process", "address"):
        number = sum(one.detected == part for one in found)
        words += f"; the {part} alone {number}" if number else ""
    return words
