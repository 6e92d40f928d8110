# SPDX-License-Identifier: Apache-2.0
"""The last sentence of a run: what matched, what was missed, and what was not looked for."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from tracer.filter.filters import Filters
from tracer.model.counts import counted, in_words

Numbers = Mapping[str, int | None]  # as of the log's stop line; None: not known

_PROVE: Final = "; `sockwatch prove` looks for those"
_COUNTED: Final = "(unread)"  # how a blind spot ends that is counted where it happens
_FLAGS: Final = {"follow": "with descendants"}  # words for filter parts that have no value
# Parts of a filter that leave out no sender of what goes to an address.
_OF_DESTINATION: Final = {"dst", "accept", "summary", "forward"}
_REPLIES: Final = "kernel_replies"
# Counts that are not said by themselves, and those that tell of nothing missed.
_SAID: Final = ("seen", "matched")
_HARMLESS: Final = ("coalesced", _REPLIES)
_NOTHING_MISSED: Final = ("existing", *_HARMLESS)


def asked(filters: Filters) -> str:
    """Returns the filter in words, as ``dst 10.0.0.5, uid 0``; empty: it asks for everything. What
    a destination brings along goes without saying."""
    parts = filters._replace(forward=False, accept=filters.accept and not filters.dst)
    return ", ".join(
        _FLAGS.get(name, name) if values is True else f"{name} {' '.join(map(str, values))}"
        for name, values in parts.describe().items()
    )


def watched(filters: Filters) -> str:
    """Returns what is watched, as ``failures to 10.0.0.5 (uid 0)``."""
    dst = " or ".join(filters.describe().get("dst", ()))
    rest = asked(filters._replace(dst=(), accept=filters.accept and not filters.dst, failed=False))
    what = f"{dst} ({rest})" if dst and rest else dst or rest or "everything"
    return (
        f"failures to {what}" if filters.failed and dst else what + " (failures)" * filters.failed
    )


def closing(
    numbers: Numbers,
    duration: float,
    filters: Filters,
    blind_spots: Sequence[str],
    *,
    moved: bool = False,
) -> str:
    """Returns the sentence. ``duration`` is in seconds, ``blind_spots`` what the probe cannot
    see; ``moved``: sockets from before have moved something."""
    rest = {name: count for name, count in numbers.items() if name not in _SAID}
    seen, time = f"{numbers['seen'] or 0:,}", f"{duration:,.1f} s"
    if numbers["matched"]:
        return _matched(numbers["matched"], seen, time, rest)
    left = "; ".join([*not_looked_for(blind_spots), *left_out(filters)])
    doubts = in_words({name: count for name, count in rest.items() if name not in _HARMLESS})
    if doubts:
        what = asked(filters)
        found = f"No event of {what} was seen" if what else "No event was seen"
        if moved:
            found = f"Connections from before moved data, and n{found[1:]}"
        return f"{found} in {time} ({seen} events looked at): {doubts}; not looked for: {left}."
    replies = in_words({_REPLIES: rest.get(_REPLIES, 0)})
    said = f", {replies}" if replies else ""
    return (
        f"{_nothing(filters)} in {time} ({seen} events looked at, none missed{said}); "
        f"not looked for: {left}{_PROVE}."
    )


def _matched(matched: int, seen: str, time: str, rest: Numbers) -> str:
    parts = [f"{counted(matched, 'event')} matched of {seen} looked at in {time}"]
    if not any(rest.get(name) for name in rest if name not in _NOTHING_MISSED):
        parts.append("none missed")
    said = in_words(rest)
    return "; ".join([*parts, said] if said else parts) + "."


def _nothing(filters: Filters) -> str:
    parts = filters.describe()
    if "dst" in parts and set(parts) <= _OF_DESTINATION:
        return f"Nobody sent to {' or '.join(parts['dst'])}"
    return f"Nothing matched {asked(filters)}" if parts else "Nothing was sent"


def not_looked_for(blind_spots: Iterable[str]) -> list[str]:
    """Returns the blind spots that no count tells of."""
    return [text for text in blind_spots if not text.endswith(_COUNTED)]


def left_out(filters: Filters) -> Iterator[str]:
    """Yields what a user may expect to be looked for, and the filter leaves out."""
    if filters.proto:
        yield f"protocols other than {' and '.join(sorted(filters.proto))}"
    if not (filters.accept or filters.failed) and filters.passes_proto("tcp"):
        yield "connections from there (--accept)"
    if not filters.forward:
        yield "packets that are forwarded"
