"""A self-contained HTML page of charts: what the load report and the pattern plots share."""

from __future__ import annotations

import base64
import gzip
import json
import re
from functools import cache
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Floats = np.ndarray[Any, np.dtype[np.float64]]


SERIES: Final = 8  # colours that can be told apart, --series-0 and so on


class TimeAxis(msgspec.Struct, frozen=True):
    """Seconds, or minutes and hours where a run is long."""

    title: str
    unit_s: float

    @classmethod
    def of(cls, duration_s: float) -> TimeAxis:
        for limit_s, name, unit_s in ((600, "s", 1), (36_000, "min", 60)):
            if duration_s <= limit_s:
                return cls(f"Time since the start ({name})", unit_s)
        return cls("Time since the start (h)", 3600)

    def at(self, seconds: float) -> float:
        return round(seconds / self.unit_s, 4)

    def layout(self, end_s: float) -> dict[str, Any]:
        """The x-axis from 0 to *end_s*, so that the charts of a page line up."""
        unit = self.title[self.title.index("(") + 1 : -1]
        return {"range": [0, self.at(end_s)], "unifiedhovertitle": {"text": f"%{{x:,.4~g}} {unit}"}}


class Chart(msgspec.Struct, frozen=True):
    """
    One picture. ``traces`` and ``layout`` are plotly's; a colour may name a CSS variable, ``--main``.

    ``title``, ``caption`` and ``axes`` (x, y) are plain text, ``after`` is HTML to follow.
    Names of traces are markup to plotly: escape them. ``words`` says what the picture shows to
    who cannot see it.
    """

    name: str
    title: str
    caption: str
    traces: list[dict[str, Any]]
    axes: tuple[str, str]
    layout: dict[str, Any] = {}
    after: str = ""
    height: int = 300
    words: str = ""

    def section(self) -> str:
        head = f'<h2 id="{self.name}">{escape(self.title)}</h2><p>{escape(_unbroken(self.caption))}</p>'
        label = escape(f"{self.title}. {self.words or self.caption}")
        box = (
            f'<div class="chart" id="chart-{self.name}" role="img" aria-label="{label}" '
            f'style="height:{self.height}px"></div>'
        )
        return f'<section aria-labelledby="{self.name}">{head}{box}{self.after}</section>'

    def as_json(self) -> dict[str, Any]:
        axes = zip(("xaxis", "yaxis"), self.axes, strict=True)
        layout: dict[str, Any] = {axis: {"title": {"text": title}} for axis, title in axes}
        for key, value in self.layout.items():
            layout[key] = {**layout[key], **value} if key in layout else value
        return {"id": f"chart-{self.name}", "data": self.traces, "layout": layout}


def _unbroken(text: str) -> str:
    """A figure and its unit stay on one line."""
    return re.sub(r"(?<=\d) (?=%|[mµ]?s\b)", "\u00a0", text)


def line(
    name: str, x: Sequence[float], y: Sequence[float | None], color: str, **style: Any
) -> dict[str, Any]:
    """
    A line named *name*; *style*: ``width``, ``dash``, ``fill`` (a colour down to 0), ``shape``, ``hover``.

    A value between two gaps would not show as a line, so it gets a marker.
    """
    around = (None, *y, None)
    alone = [a is c is None is not b for a, b, c in zip(around, y, around[2:], strict=False)]
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines+markers" if any(alone) else "lines",
        "marker": {"size": [5 * lone for lone in alone]} if any(alone) else {},
        "name": name,
        "x": x,
        "y": y,
        "line": {
            "color": color,
            "width": style.get("width", 2),
            "dash": style.get("dash", "solid"),
            "shape": style.get("shape", "linear"),
        },
        "hovertemplate": style.get("hover", "%{y:,.4~g}"),
    }
    if "fill" in style:
        trace |= {"fill": "tozeroy", "fillcolor": style["fill"]}
    return trace


def bar(name: str, x: Sequence[Any], y: Sequence[Any], color: str, hover: str, **more: Any) -> dict[str, Any]:
    """Bars; *more* is plotly's, but for ``pattern``: what tells them apart without their colour."""
    marker: dict[str, Any] = {"color": color, "line": {"width": 0}}
    if pattern := more.pop("pattern", ""):
        marker["pattern"] = {"shape": pattern, "bgcolor": color, "fgcolor": "--page", "size": 6}
    return {"type": "bar", "name": name, "x": x, "y": y, "marker": marker, "hovertemplate": hover, **more}


def points(values: Floats) -> list[float | None]:
    """For a trace: rounded, NaN as a gap."""
    return [None if np.isnan(value) else round(float(value), 4) for value in values]


def cards(figures: Mapping[str, str]) -> str:
    items = "".join(
        f"<div><dt>{escape(label)}</dt><dd>{escape(figure)}</dd></div>" for label, figure in figures.items()
    )
    return f'<dl class="cards">{items}</dl>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, texts: Sequence[int] = ()) -> str:
    """
    An HTML table; the first cell of a row names it. Wider than the page, it scrolls by itself.

    *head* and *rows* are HTML, already escaped; columns numbered in *texts* hold words, not figures.
    """
    marks = [' class="text"' if column in texts else "" for column in range(len(head))]
    heads = "".join(f'<th scope="col"{mark}>{cell}</th>' for mark, cell in zip(marks, head, strict=True))
    lines = []
    for first, *rest in rows:
        cells = "".join(f"<td{mark}>{cell}</td>" for mark, cell in zip(marks[1:], rest, strict=True))
        lines.append(f'<tr><th scope="row">{first}</th>{cells}</tr>')
    body = f"<thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody>"
    return f'<div class="scroll" tabindex="0"><table>{body}</table></div>'


def page(title: str, body: Iterable[str], charts: Sequence[Chart]) -> str:
    """
    A page that needs nothing but itself: plotly.js is inside, and its policy forbids any request.

    *body* is HTML, already escaped. Charts without traces are left out. With charts a page
    has about 2 MB: plotly.js, packed, and what they show.
    """
    drawn = [chart.as_json() for chart in charts if chart.traces]
    # No "<" survives, so nothing in the JSON can end its element.
    figures = json.dumps(drawn, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    library = f'<script type="text/plain" id="plotly">{_packed_plotly()}</script>' if drawn else ""
    script = f"{library}<script>{_asset('page.js')}</script>" if drawn else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{escape(title)}</title><style>{_asset('page.css')}</style></head><body>"
        f"<main>{''.join(body)}{_WITHOUT_SCRIPT if drawn else ''}</main>"
        f'<script type="application/json" id="charts">{figures}</script>{script}</body></html>\n'
    )


_WITHOUT_SCRIPT: Final = (
    '<noscript><p class="note">The pictures need JavaScript; the tables do not.</p></noscript>'
)
_POLICY: Final = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)


@cache
def _asset(name: str) -> str:
    return files("streambox").joinpath(name).read_text(encoding="utf-8")


@cache
def _packed_plotly() -> str:
    """plotly.js, which has 5 MB, in 2 MB that a browser unpacks in a moment."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()
