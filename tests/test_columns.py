# SPDX-License-Identifier: Apache-2.0
import pytest

from tracer.output.columns import Column, quantity, render
from tracer.printable import width

ROWS = [("a", "10.0.0.5:53", "12"), ("a long name", "[2001:db8:1111:2222::1]:65535", "3")]
COLUMNS = [
    Column("NAME", lambda row: row[0], least=4),
    Column("REMOTE", lambda row: row[1], 2, least=9),
    Column("BYTES", lambda row: row[2], 1, right=True),
]


def test_without_a_terminal_nothing_is_cut():
    assert render(COLUMNS, ROWS, None).splitlines() == [
        "NAME        REMOTE                        BYTES",
        "a           10.0.0.5:53                      12",
        "a long name [2001:db8:1111:2222::1]:65535     3",
    ]
    assert render(COLUMNS, ROWS, None, header=False).splitlines()[0].startswith("a  ")


def test_what_matters_least_goes_first():
    assert render(COLUMNS, ROWS, 30).splitlines() == [
        "NAME        REMOTE       BYTES",
        "a           10.0.0.5:53     12",
        "a long name [2001:…65535     3",
    ]
    assert render(COLUMNS, ROWS, 16).splitlines() == [
        "NAME   REMOTE",
        "a      10.0…5:53",
        "a l…me [200…5535",
    ]
    assert render(COLUMNS, ROWS, 11).splitlines() == ["NAME", "a", "a long name"]


@pytest.mark.parametrize("room", range(4, 60))
def test_nothing_wraps(room):
    lines = render(COLUMNS, ROWS, room).splitlines()
    assert max(map(width, lines)) <= room
    assert len(lines) == 3


def test_names_cannot_reach_the_terminal_raw():
    assert "\x1b" not in render(COLUMNS, [("\x1b[2J", "文", "1")], 40)


def test_a_column_that_has_nothing_to_show():
    never = Column("EMPTY", lambda _: "", is_shown=lambda rows: any(row[0] == "b" for row in rows))
    assert "EMPTY" not in render([*COLUMNS, never], ROWS, None)


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, "0"), (9999, "9999"), (10_000, "10.0k"), (12_345, "12.3k"), (99_950, "100k"),
     (999_499, "999k"), (999_500, "1.0M"), (1_234_567, "1.2M"), (5 * 10**18, "5000P")],
)  # fmt: skip
def test_quantities(number, expected):
    assert quantity(number) == expected


@pytest.mark.parametrize("room", range(1, 12))
def test_a_terminal_of_few_columns_has_its_lines(room):
    columns = [Column("FIRST", str, 1, least=3), Column("SECOND", str)]
    lines = render(columns, ["12345678901234567890"], room).splitlines()
    assert len(lines) == 2
