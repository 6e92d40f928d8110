# SPDX-License-Identifier: Apache-2.0
"""What scripts/picture makes of a recorded terminal."""

import itertools
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts" / "demo"))

pytest.importorskip("pyte")  # not in every root of scripts/userland
import draw

OUTPUT = "\x1b[1mPID WHO\x1b[0m\r\n  7 a <b> & c\r\n\x1b[31m  8 d\x1b[0m\r\nwait\rdone\r\n\r\n"
SVG = "{http://www.w3.org/2000/svg}"


def test_lines_are_those_that_a_terminal_shows():
    lines = draw.screen("x -q", OUTPUT, 40)
    assert [draw.text(line) for line in lines] == [
        "# x -q",
        "PID WHO",
        "  7 a <b> & c",
        "  8 d",
        "done",
    ]


def test_long_lines_wrap_as_in_a_terminal():
    assert [draw.text(line) for line in draw.screen("x", "0123456789ab", 10)] == [
        "# x",
        "0123456789",
        "ab",
    ]


def test_svg_has_every_line_in_its_place():
    lines = draw.screen("x -q", OUTPUT, 40)
    texts = ET.fromstring(draw.svg(lines, 40)).findall(f"{SVG}g/{SVG}text")
    assert [text.text.replace("\xa0", " ") for text in texts] == [
        "# x -q",
        "PID WHO",
        "7 a <b> & c",
        "8 d",
        "done",
    ]
    tops = [int(text.get("y")) for text in texts]
    assert {later - earlier for earlier, later in itertools.pairwise(tops)} == {18}
    assert [text.get("font-weight") for text in texts] == [None, "bold", None, None, None]
    assert [bool(text.get("fill")) for text in texts] == [False, False, False, True, False]
    indented, flush = texts[2], texts[0]
    assert int(indented.get("x")) - int(flush.get("x")) == 2 * 8
    assert int(indented.get("textLength")) == len("7 a <b> & c") * 8


def test_only_the_block_of_that_command_is_replaced():
    page = "```\n# x -q\nold\n```\n\n```\n# x -q -c 1\nkept\n```\n"
    assert draw.with_block(page, ["# x -q", r"new \1"]) == page.replace("old", r"new \1")
    assert draw.with_block(page, ["# y", "new"]) == page
