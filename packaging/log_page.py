# SPDX-License-Identifier: Apache-2.0
"""Writes sockwatch-log(5) from docs/log.md, whose table of fields is that of the code."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from roff import entry, example, heading, paragraph

from tracer import __version__
from tracer.output.logfile import DEFAULT

_DOCUMENT: Final = Path(__file__).parents[1] / "docs/log.md"
_EXAMPLES: Final = {
    "How many lines has each program that sent to an address?": (
        f"jq -r 'select(.dst.addr == \"10.0.0.5\").process.exe' {DEFAULT} |",
        "    sort | uniq -c",
    ),
    "What failed, and how?": (
        f"< {DEFAULT} jq -c",
        "    'select(.outcome == \"failed\") | [.time, .process.comm, .dst.addr, .error]'",
    ),
}


def page() -> Iterator[str]:
    """Yields its lines, as roff."""
    yield f'.TH SOCKWATCH\\-LOG 5 "" "sockwatch {__version__}" "File Formats"'
    yield heading("name")
    yield r"sockwatch\-log \- the lines that sockwatch logs"
    yield heading("description")
    for block in _DOCUMENT.read_text().split("\n\n")[1:]:
        yield from _block(block.strip())
    yield heading("files")
    yield entry(str(DEFAULT), "the log, unless `--log` names another")
    yield entry(f"{DEFAULT}.1, {DEFAULT}.1.gz", "and so on: its backups, the newest first")
    yield heading("examples")
    for wanted, lines in _EXAMPLES.items():
        yield paragraph(wanted)
        yield example(*lines)
    yield heading("see also")
    yield ".BR sockwatch (1),\n.BR jq (1),\n.BR logrotate (8)"


def _block(block: str) -> Iterator[str]:
    """Yields a heading, a table or a paragraph of Markdown."""
    if block.startswith("## "):
        yield heading(block.removeprefix("## "))
    elif block.startswith("| "):
        yield from map(_row, block.splitlines()[2:])  # below its header
    else:
        yield paragraph(block)


def _row(row: str) -> str:
    *terms, text = row.removeprefix("| ").removesuffix(" |").split(" | ")
    return entry(", ".join(terms).replace("`", ""), text)


if __name__ == "__main__":
    print("\n".join(page()))
