# SPDX-License-Identifier: Apache-2.0
"""What a run counts besides its events, in words; the log has the names."""

from collections.abc import Mapping
from typing import Final, NamedTuple


class Count(NamedTuple):
    """How a count is called where a person reads it, and of what it is."""

    word: str
    meaning: str


# docs/log.md and the man page have the same table
COUNTS: Final = {
    "existing": Count("already connected", "sockets with such a peer from before the start"),
    "undecided": Count(
        "could not tell whose",
        "left out, because it was not known whether the filter asks for their process, or for "
        "their interface",
    ),
    "coalesced": Count("counted together", "events of one flow that share a line"),
    "unfinished": Count("result not seen", "calls and datagrams whose end was missed"),
    "skipped": Count(
        "hook busy", "times that the kernel passed over a hook that was already running"
    ),
    "lost": Count("events lost", "events that there was no room for"),
    "received_lost": Count(
        "received packets not counted",
        "packets that came for a socket, and that there was no room to count for it",
    ),
    "processes_lost": Count(
        "processes missed", "forks, execs and exits that there was no room to tell of"
    ),
    "unread": Count("headers not read", "packets that may match, but cannot be read"),
    "unfollowed": Count("descendants not followed", "times that -f may have lost some"),
    "kernel_replies": Count(
        "sent by the kernel itself", "packets that match, and that no process has sent"
    ),
    "log_lines_lost": Count("log lines lost", "lines that could not be written to the log"),
    "lines_missing": Count(
        "lines gone", "lines that a run wrote, and that are not in its log any more"
    ),
    "damaged": Count("lines damaged", "lines that are no whole event"),
    "output_lines_lost": Count("output lines lost", "lines that nobody read in time"),
}


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun, as ``1,000 packets``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def in_words(counts: Mapping[str, int | None]) -> str:
    """Returns the counts that are not 0, as ``events lost 3, hook busy 1``; None: not known."""
    return ", ".join(
        f"{_word(name)} {'unknown' if count is None else f'{count:,}'}"
        for name, count in counts.items()
        if count != 0
    )


def _word(name: str) -> str:
    return COUNTS[name].word if name in COUNTS else name.replace("_", " ")
