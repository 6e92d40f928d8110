# SPDX-License-Identifier: Apache-2.0
"""Draws what record.py has recorded: the first command as docs/picture.svg, and each as text, in
place of the block of README.md or docs/ that begins with that command."""

import itertools
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

import pyte

ROOT: Final = Path(__file__).parents[2]
PICTURE: Final = ROOT / "docs/picture.svg"

_LINES: Final = 400  # at most in what a command writes
_CELL: Final = (8, 18)  # pixels
_MARGIN: Final = 14
_SPACE: Final = "\N{NO-BREAK SPACE}"  # SVG joins plain ones
_INK: Final = "#1f2328"
_INKS: Final = {"default": _INK, "red": "#b3261e"}
_FONT: Final = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"

Cell = tuple[str, str, bool]  # a character, its colour, is it bold?


def main() -> None:
    """Draws the recording that is named."""
    for number, line in enumerate(Path(sys.argv[1]).read_text().splitlines()):
        job = json.loads(line)
        lines = screen(job["command"], job["output"], job["columns"])
        if number == 0:
            PICTURE.write_text(svg(lines, job["columns"]))
        for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
            page.write_text(with_block(page.read_text(), [text(line) for line in lines]))


def screen(command: str, output: str, columns: int) -> list[list[Cell]]:
    """Returns the lines that a terminal shows, from the command to the last one."""
    terminal = pyte.Screen(columns, _LINES)
    pyte.Stream(terminal).feed(f"# {command}\r\n{output}")
    lines = [
        [(cell.data, cell.fg, cell.bold) for cell in map(row.__getitem__, range(columns))]
        for row in map(terminal.buffer.__getitem__, range(_LINES))
    ]
    last = max(number for number, line in enumerate(lines) if text(line))
    return lines[: last + 1]


def text(line: Sequence[Cell]) -> str:
    """Returns a line without colours."""
    return "".join(character for character, *_ in line).rstrip()


def with_block(page: str, lines: Sequence[str]) -> str:
    """Returns the page with these lines in each block that has the first of them as its first."""
    block = re.compile(rf"^```\n{re.escape(lines[0])}\n.*?^```$", re.MULTILINE | re.DOTALL)
    shown = "\n".join(("```", *lines, "```"))
    return block.sub(lambda _: shown, page)


def svg(lines: Sequence[Sequence[Cell]], columns: int) -> str:
    """Returns the picture: dark on light, whatever the page around it."""
    width, height = columns * _CELL[0] + 2 * _MARGIN, len(lines) * _CELL[1] + 2 * _MARGIN
    texts = "\n".join(
        run for number, line in enumerate(lines) for run in _runs(line, _MARGIN + number * _CELL[1])
    )
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" \
height="{height}" role="img">
<title>{escape(text(lines[0]).removeprefix("# "))}</title>
<rect width="{width}" height="{height}" rx="8" fill="#f6f8fa" stroke="#d0d7de"/>
<g font-family="{_FONT}" font-size="13" fill="{_INK}">
{texts}
</g>
</svg>
"""


def _runs(line: Sequence[Cell], top: int) -> Iterator[str]:
    """Yields a text for each run of one colour and weight; its length keeps columns aligned in
    whatever font there is."""
    at = 0
    for (color, bold), cells in itertools.groupby(line, lambda cell: cell[1:]):
        run = "".join(character for character, *_ in cells)
        shown = run.strip()
        if shown:
            x = _MARGIN + (at + len(run) - len(run.lstrip())) * _CELL[0]
            style = f' fill="{_INKS.get(color, _INK)}"' if color != "default" else ""
            style += ' font-weight="bold"' if bold else ""
            yield (
                f'<text x="{x}" y="{top + 13}" textLength="{len(shown) * _CELL[0]}"{style}>'
                f"{escape(shown.replace(' ', _SPACE))}</text>"
            )
        at += len(run)


if __name__ == "__main__":
    main()
