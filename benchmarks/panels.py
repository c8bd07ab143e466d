"""
Small pictures in rows and columns, as one SVG: lines and bands over a shared pair of axes.

Written by hand because Markdown shows SVG and nothing that runs; readable in the dark, too. Pure.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WIDTH, HEIGHT = 186, 118  # of a panel's inside, in px
_GAP_X, _GAP_Y = 18, 34
_LEFT, _TOP, _RIGHT, _BOTTOM = 62, 66, 14, 46

# The colours of src/streambox/page.css, which can be told apart by everybody.
_STYLE: Final = """\
text { font: 11px system-ui, sans-serif; fill: #33404d }
.head { font-weight: 600; font-size: 12px }
.paper { fill: #ffffff } .frame { fill: none; stroke: #c9d1d9 }
.mark { stroke: #8793a0; stroke-dasharray: 3 3 }
.line { fill: none; stroke-width: 1.6; stroke-linejoin: round } .band { stroke: none; opacity: .22 }
.c0 { stroke: #0072b2 } .c1 { stroke: #d55e00 } .c2 { stroke: #009e73 } .line.c0 { stroke-width: 2.4 }
.f0 { fill: #0072b2 } .f1 { fill: #d55e00 } .f2 { fill: #009e73 }
@media (prefers-color-scheme: dark) {
text { fill: #c9d3de } .paper { fill: #0f1720 } .frame { stroke: #3a4653 } .mark { stroke: #7f8b99 }
.c0 { stroke: #4aa8e0 } .c1 { stroke: #f08a3c } .c2 { stroke: #2fbf93 }
.f0 { fill: #4aa8e0 } .f1 { fill: #f08a3c } .f2 { fill: #2fbf93 }
}"""


class Axis(NamedTuple):
    """``ticks``: where, and what is written there. What lies outside of low..high is cut off."""

    title: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]

    def at(self, value: float) -> float:
        """0 at the low end, 1 at the high one."""
        return (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)


class Line(NamedTuple):
    """``colour`` 0 to 2; ``legend``: what it is, the same in every panel."""

    legend: str
    colour: int
    points: Sequence[tuple[float, float]]


class Band(NamedTuple):
    """From low to high, at each x."""

    legend: str
    colour: int
    points: Sequence[tuple[float, float, float]]


class Panel(NamedTuple):
    title: str
    shapes: Sequence[Line | Band]


def svg(title: str, panels: Sequence[Sequence[Panel]], x: Axis, y: Axis, marks: Sequence[float] = ()) -> str:
    """*panels* row by row; *marks*: levels of y at which every panel has a dashed line."""
    rows, columns = len(panels), max(len(row) for row in panels)
    width = _LEFT + columns * (WIDTH + _GAP_X) - _GAP_X + _RIGHT
    height = _TOP + rows * (HEIGHT + _GAP_Y) - _GAP_Y + _BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-label="{escape(title)}">',
        f'<style>{_STYLE}</style><rect class="paper" width="{width}" height="{height}"/>',
        _text(_LEFT, 18, title, "head"),
        *_legend(panels),
    ]
    for row, in_row in enumerate(panels):
        for column, panel in enumerate(in_row):
            left, top = _LEFT + column * (WIDTH + _GAP_X), _TOP + row * (HEIGHT + _GAP_Y)
            parts.append(f'<g transform="translate({left} {top})">')
            parts += _panel(panel, x, y, marks, first=column == 0, last=row == rows - 1)
            parts.append("</g>")
    middle = _TOP + (height - _TOP - _BOTTOM) / 2
    parts.append(
        f'<text text-anchor="middle" transform="translate(14 {middle}) rotate(-90)">{escape(y.title)}</text>'
    )
    parts.append(_text(_LEFT + (width - _LEFT - _RIGHT) / 2, height - 8, x.title, anchor="middle"))
    return "\n".join([*parts, "</svg>", ""])


def _panel(
    panel: Panel, x: Axis, y: Axis, marks: Sequence[float], *, first: bool, last: bool
) -> Iterator[str]:
    yield f'<rect class="frame" width="{WIDTH}" height="{HEIGHT}"/>'
    yield _text(0, -6, panel.title)
    for level in marks:
        yield f'<path class="mark" d="M0 {_y(y, level)}H{WIDTH}"/>'
    for shape in panel.shapes:
        if isinstance(shape, Band):
            there = [(at, high) for at, _, high in shape.points]
            back = [(at, low) for at, low, _ in reversed(shape.points)]
            yield f'<path class="band f{shape.colour}" d="{_path(x, y, there + back)}Z"/>'
        else:
            yield f'<path class="line c{shape.colour}" d="{_path(x, y, shape.points)}"/>'
    for level, name in y.ticks if first else ():
        yield _text(-6, _y(y, level) + 4, name, anchor="end")
    for at, name in x.ticks if last else ():
        yield _text(WIDTH * x.at(at), HEIGHT + 15, name, anchor="middle")


def _legend(panels: Sequence[Sequence[Panel]]) -> Iterator[str]:
    kinds = {shape.legend: shape for row in panels for panel in row for shape in panel.shapes}
    left = float(_LEFT)
    for name, shape in kinds.items():
        if isinstance(shape, Band):
            yield f'<rect class="band f{shape.colour}" x="{left}" y="27" width="20" height="10"/>'
        else:
            yield f'<path class="line c{shape.colour}" d="M{left} 32h20"/>'
        yield _text(left + 26, 36, name)
        left += 44 + 6.2 * len(name)


def _path(x: Axis, y: Axis, points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{WIDTH * x.at(at):.1f} {_y(y, level)}" for at, level in points)


def _y(y: Axis, level: float) -> float:
    return round(HEIGHT * (1 - y.at(level)), 1)


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    of_kind = f' class="{kind}"' if kind else ""
    return f'<text x="{x:g}" y="{y:g}"{of_kind} text-anchor="{anchor}">{escape(text)}</text>'
