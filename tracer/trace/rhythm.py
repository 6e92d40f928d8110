# SPDX-License-Identifier: Apache-2.0
"""Whether events come at regular intervals: ``every 60 s``. Times are in nanoseconds."""

from collections.abc import Iterable
from itertools import pairwise
from statistics import median
from typing import Final

PAUSE: Final = 500_000_000  # silence after which an event is a beat
MAX_BEATS: Final = 64  # beyond this, the oldest are forgotten
_LEAST: Final = 4  # beats: of three gaps, two may be alike by chance
_REGULAR: Final = 0.8  # of the gaps are the same
_TOLERANCE: Final = 0.1  # of the gap
_SECOND: Final = 1_000_000_000
_MINUTE: Final = 60


def joined(beats: Iterable[int]) -> list[int]:
    """Returns the beats of several senders as those of one, oldest first."""
    found: list[int] = []
    for beat in sorted(beats):
        if not found or beat - found[-1] > PAUSE:
            found.append(beat)
    return found[-MAX_BEATS:]


def rhythm(beats: Iterable[int]) -> str | None:
    """Returns the rhythm in words; None if there is none."""
    times = joined(beats)
    if len(times) < _LEAST:
        return None
    gaps = [later - earlier for earlier, later in pairwise(times)]
    usual = median(gaps)
    same = sum(abs(gap - usual) <= usual * _TOLERANCE for gap in gaps)
    return f"every {_duration(round(usual / _SECOND))}" if same >= _REGULAR * len(gaps) else None


def _duration(seconds: int) -> str:
    """Returns a duration in the unit that it is a whole number of, or in seconds, as below two
    minutes."""
    for size, unit in ((86_400, "d"), (3600, "h"), (_MINUTE, "min")):
        if seconds >= max(size, 2 * _MINUTE) and seconds % size <= size * _TOLERANCE / 2:
            return f"{seconds // size} {unit}"
    return f"{max(1, seconds)} s"
