# SPDX-License-Identifier: Apache-2.0
"""Draws the activity of groups over time as SVG: stacked bars, the most active group lowest."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final, NamedTuple

from tracer.output.columns import quantity
from tracer.report.activity import labels
from tracer.report.times import Timeline

WIDTH: Final = 960
_HEIGHT: Final = 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 24, 12, 28  # margins
_GAP: Final = 2  # between bars
_LEAST: Final = 1.5  # height of a bar: a single event shows, too
_TICKS: Final = 6  # labels of the axis, at most


class Series(NamedTuple):
    """What one colour stands for: its activity in each part of the time."""

    name: str
    parts: Sequence[int]


def chart(series: Sequence[Series], timeline: Timeline) -> str:
    """Returns an element, whose classes ``c0``, ``c1``, … are colours."""
    most = max(map(sum, zip(*(one.parts for one in series), strict=True)), default=0)
    body = "\n".join([*_grid(most), *_bars(series, most), *_axis(timeline)])
    size = f'viewBox="0 0 {WIDTH} {_HEIGHT}" role="img"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n{body}\n</svg>'


def _grid(most: int) -> Iterator[str]:
    for half in range(3):
        y = _y(half, 2)
        yield f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        text = quantity(most * half // 2)
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'


def _bars(series: Sequence[Series], most: int) -> Iterator[str]:
    reached = [0] * len(series[0].parts) if series else []
    for number, one in enumerate(series):
        for at, amount in enumerate(one.parts):
            if amount:
                yield _bar(number, one.name, at, len(one.parts), reached[at], amount, most)
                reached[at] += amount


def _bar(number: int, name: str, at: int, parts: int, below: int, amount: int, most: int) -> str:
    bottom = _y(below, most)
    height = max(_LEAST, bottom - _y(below + amount, most))
    x, width = _x(at, parts), _x(1, parts) - _x(0, parts) - _GAP
    place = f'x="{x:.1f}" y="{bottom - height:.1f}" width="{width:.1f}" height="{height:.1f}"'
    title = f"<title>{escape(name)}: {quantity(amount)}</title>"
    return f'<rect class="c{number}" {place}>{title}</rect>'


def _axis(timeline: Timeline) -> Iterator[str]:
    begin, end = timeline.span()
    parts = len(timeline.parts({}))
    step = max(1, -(-parts // _TICKS))
    places = [*range(0, parts - step // 2, step), parts]
    seconds = [begin + (end - begin) * place // parts for place in places]
    for place, text in zip(places, labels(timeline, seconds), strict=True):
        anchor = "start" if place == 0 else "end" if place == parts else "middle"
        x = _x(place, parts)
        yield f'<text x="{x:.1f}" y="{_HEIGHT - 8}" text-anchor="{anchor}">{escape(text)}</text>'


def _x(at: int, parts: int) -> float:
    return _LEFT + (WIDTH - _LEFT - _RIGHT) * at / parts


def _y(amount: int, most: int) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * amount / max(1, most)
