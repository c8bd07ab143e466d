"""A self-contained HTML page of charts: what the load report and the pattern plots share."""

from __future__ import annotations

import json
from html import escape
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
    Names of traces are markup to plotly: escape them.
    """

    name: str
    title: str
    caption: str
    traces: list[dict[str, Any]]
    axes: tuple[str, str]
    layout: dict[str, Any] = {}
    after: str = ""
    height: int = 300

    def section(self) -> str:
        head = f"<h2>{escape(self.title)}</h2><p>{escape(self.caption)}</p>"
        box = f'<div class="chart" id="chart-{self.name}" style="height:{self.height}px"></div>'
        return f"<section>{head}{box}{self.after}</section>"

    def as_json(self) -> dict[str, Any]:
        axes = zip(("xaxis", "yaxis"), self.axes, strict=True)
        layout: dict[str, Any] = {axis: {"title": {"text": title}} for axis, title in axes}
        for key, value in self.layout.items():
            layout[key] = {**layout[key], **value} if key in layout else value
        return {"id": f"chart-{self.name}", "data": self.traces, "layout": layout}


def line(
    name: str, x: Sequence[float], y: Sequence[float | None], color: str, **style: Any
) -> dict[str, Any]:
    """
    A line named *name*; *style*: ``width``, ``fill`` (a colour down to 0), ``shape``, ``hover``.

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
        "line": {"color": color, "width": style.get("width", 2), "shape": style.get("shape", "linear")},
        "hovertemplate": style.get("hover", "%{y:,.4~g}"),
    }
    if "fill" in style:
        trace |= {"fill": "tozeroy", "fillcolor": style["fill"]}
    return trace


def bar(name: str, x: Sequence[Any], y: Sequence[Any], color: str, hover: str, **more: Any) -> dict[str, Any]:
    marker = {"color": color, "line": {"width": 0}}
    return {"type": "bar", "name": name, "x": x, "y": y, "marker": marker, "hovertemplate": hover, **more}


def points(values: Floats) -> list[float | None]:
    """For a trace: rounded, NaN as a gap."""
    return [None if np.isnan(value) else round(float(value), 4) for value in values]


def cards(figures: Mapping[str, str]) -> str:
    items = "".join(
        f"<div><dt>{escape(label)}</dt><dd>{escape(figure)}</dd></div>" for label, figure in figures.items()
    )
    return f'<dl class="cards">{items}</dl>'


def page(title: str, body: Iterable[str], charts: Sequence[Chart]) -> str:
    """
    A page that needs nothing but itself: plotly.js is inside, and its policy forbids any request.

    *body* is HTML, already escaped. Charts without traces are left out.
    """
    from plotly.offline import get_plotlyjs

    drawn = [chart.as_json() for chart in charts if chart.traces]
    # No "<" survives, so nothing in the JSON can end its element.
    figures = json.dumps(drawn, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    script = f"<script>{get_plotlyjs()}</script><script>{_SCRIPT}</script>" if drawn else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>{''.join(body)}</main>"
        f'<script type="application/json" id="charts">{figures}</script>{script}</body></html>\n'
    )


_POLICY: Final = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)

_STYLE: Final = """
:root{--page:#fff;--soft:#f6f7f9;--text:#17202b;--quiet:#5b6877;--rule:#e4e8ed;
--main:#2f6fde;--main-fill:#2f6fde1f;--faint:#9aa6b4;--faint-fill:#9aa6b433;
--low:#93b8f5;--middle:#3d7be4;--high:#123c88;
--lag:#e3a32f;--wait:#3d7be4;--service:#2a9d8f;--rest:#b6bfca;
--valid:#1c8a57;--partial:#b7791f;--invalid:#b7791f;--failed:#c43d37;--empty:#5b6877;
--error-0:#c43d37;--error-1:#e58a5c;--error-2:#8a3d74;--error-3:#d9a83f;--error-4:#6f7c8b;
--series-0:#2f6fde;--series-1:#d9672b;--series-2:#2a9d8f;--series-3:#8e44ad;--series-4:#b7791f;
--series-5:#c43d6b;--series-6:#5b6877;--series-7:#6a8f1f}
@media (prefers-color-scheme:dark){:root{--page:#12161c;--soft:#1a2028;--text:#e6eaf0;--quiet:#97a3b2;
--rule:#2a323d;--main:#6aa0f8;--main-fill:#6aa0f82b;--faint:#6f7c8b;--faint-fill:#6f7c8b40;
--low:#3c66a8;--middle:#6aa0f8;--high:#cfe0ff;--lag:#e8b450;--wait:#5b93f0;--service:#3fb8a8;--rest:#5d6875;
--valid:#46c489;--partial:#e0ab4f;--invalid:#e0ab4f;--failed:#f0706a;--empty:#97a3b2;
--error-0:#f0706a;--error-1:#e9a27c;--error-2:#c07bab;--error-3:#e3bf6a;--error-4:#8b97a5;
--series-0:#6aa0f8;--series-1:#f0935f;--series-2:#3fb8a8;--series-3:#c08be0;--series-4:#e0ab4f;
--series-5:#ee7fa5;--series-6:#97a3b2;--series-7:#a3c95a}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:16px/1.5 system-ui,sans-serif;
-webkit-text-size-adjust:100%}
main{max-width:1040px;margin:0 auto;padding:48px 24px 72px}
h1{font-size:30px;line-height:1.2;font-weight:650;letter-spacing:-.01em;margin:0;overflow-wrap:anywhere}
h2{font-size:18px;font-weight:600;margin:0}
header .kind{margin:0 0 8px;font-size:14px}
header p,section>p,.note{color:var(--quiet);margin:4px 0 0;overflow-wrap:anywhere}
section>p,.note{font-size:14px}
section{margin-top:52px;min-width:0}
.chart{margin-top:8px;width:100%}
.verdict{border-left:4px solid var(--level);padding-left:18px}
.verdict h1{color:var(--level)}
.verdict ul{margin:10px 0 0;padding:0;list-style:none}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(200px,1fr));margin:32px 0 0;
border:1px solid var(--rule);border-radius:10px;overflow:hidden}
.cards div{box-shadow:0 0 0 .5px var(--rule);padding:14px 18px}
.cards dt{color:var(--quiet);font-size:13px;line-height:1.35}
.cards dd{margin:2px 0 0;font-size:22px;font-weight:600;font-variant-numeric:tabular-nums}
.facts{display:flex;flex-wrap:wrap;gap:4px 24px;margin:24px 0 0;font-size:14px}
.facts div{display:flex;gap:8px;min-width:0}.facts dt{color:var(--quiet)}
.facts dd{margin:0;overflow-wrap:anywhere;min-width:0}
.scroll{overflow-x:auto;margin-top:12px}
table{border-collapse:collapse;font-size:14px;font-variant-numeric:tabular-nums;width:100%}
th,td{padding:7px 0 7px 20px;text-align:right;border-bottom:1px solid var(--rule);white-space:nowrap}
th:first-child,td:first-child{text-align:left;padding-left:0}th{color:var(--quiet);font-weight:500}
@media (max-width:600px){main{padding:28px 16px 48px}h1{font-size:24px}section{margin-top:40px}
.cards{grid-template-columns:1fr 1fr}.cards div{padding:10px 14px}.cards dd{font-size:18px}
table{font-size:13px}th,td{padding-left:8px}}
"""

_SCRIPT: Final = """
(() => {
const charts = JSON.parse(document.getElementById("charts").textContent);
const touch = matchMedia("(pointer: coarse)").matches;
let style;
const paint = (value, key) => {
  if (Array.isArray(value)) return typeof value[0] === "object" ? value.map(v => paint(v, key)) : value;
  if (value && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, paint(v, k)]));
  return /color$/i.test(key) && /^--/.test(value) ? style.getPropertyValue(value).trim() : value;
};
const axis = (own, grid) => ({automargin: true, zeroline: false, showgrid: grid, gridcolor: "--rule",
  linecolor: "--rule", tickcolor: "--rule", fixedrange: touch, rangemode: "tozero", ...own,
  title: {font: {size: 12, color: "--quiet"}, standoff: 10, ...own.title}});
const draw = () => {
  style = getComputedStyle(document.documentElement);
  for (const {id, data, layout} of charts) {
    const whole = {hovermode: "x unified", dragmode: touch ? false : "zoom", bargap: 0.15,
      margin: {l: 56, r: 12, t: layout.showlegend === false ? 12 : 34, b: 8},
      paper_bgcolor: "--page", plot_bgcolor: "--page",
      font: {family: "system-ui, sans-serif", size: 12, color: "--quiet"},
      hoverlabel: {bgcolor: "--soft", bordercolor: "--rule", font: {color: "--text", size: 12}},
      ...layout, legend: {orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom",
        traceorder: "normal", font: {color: "--text"}},
      xaxis: axis(layout.xaxis, false), yaxis: axis(layout.yaxis, true)};
    Plotly.react(id, paint(data), paint(whole), {responsive: true, displayModeBar: false});
  }
};
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
draw();
})();
"""
