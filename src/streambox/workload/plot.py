"""A picture of a pattern of counts; and the self-contained page on which our pictures are shown."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    Floats = np.ndarray[Any, np.dtype[np.float64]]

_MOST_POINTS: Final = 2000
_MOST_BARS: Final = 60
_LAGS: Final = 60


def write_plot(path: Path, counts: Sequence[int], title: str, unit_s: float) -> None:
    """Write a page that shows *counts*, requests per time unit of *unit_s* seconds."""
    pattern = np.asarray(counts, dtype=np.float64)
    lead = f"{len(pattern):,} time units of {unit_s:g} s, {pattern.sum():,.0f} requests"
    charts = [_counts_chart(pattern, unit_s), _histogram(pattern), _correlation_chart(pattern, unit_s)]
    body = [
        f'<header><p class="kind">Workload</p><h1>{escape(title)}</h1><p>{lead}</p></header>',
        cards(pattern_figures(pattern)),
        *(chart.section() for chart in charts if chart.traces),
    ]
    if not len(pattern):
        body.append('<p class="note">The pattern has no time units.</p>')
    path.write_text(page(title, body, charts), encoding="utf-8")


def pattern_figures(pattern: Floats) -> dict[str, str]:
    """The key figures of a pattern, as text."""
    mean = float(pattern.mean()) if len(pattern) else 0.0
    peak = float(pattern.max()) if len(pattern) else 0.0
    figures = {
        "mean per unit": _figure(mean if len(pattern) else None),
        "peak per unit": _figure(peak if len(pattern) else None),
        "peak / mean": _figure(peak / mean if mean else None),
        "units without a request": f"{100 * float((pattern == 0).mean()):.1f} %" if len(pattern) else "–",
    }
    for units in (1, 10, 60):
        label = f"index of dispersion, {units} {'unit' if units == 1 else 'units'}"
        figures[label] = _figure(index_of_dispersion(pattern, units))
    return figures


def index_of_dispersion(pattern: Floats, units: int) -> float | None:
    """
    Variance over mean of the counts in whole, disjoint windows of *units* time units.

    1 for Poisson arrivals. None with fewer than two windows or no request.
    """
    windows = len(pattern) // units
    sums = pattern[: windows * units].reshape(windows, units).sum(axis=1)
    return float(sums.var() / sums.mean()) if windows > 1 and sums.any() else None


def autocorrelation(pattern: Floats, lags: int) -> Floats:
    """Sample autocorrelation at lags 1 … *lags*, as far as there are counts; empty for a constant pattern."""
    centred = pattern - pattern.mean() if len(pattern) else pattern
    total = float(centred @ centred)
    if total == 0:
        return np.empty(0)
    reach = min(lags, len(pattern) - 1)
    return np.array([float(centred[:-lag] @ centred[lag:]) / total for lag in range(1, reach + 1)])


def _figure(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def _counts_chart(pattern: Floats, unit_s: float) -> Chart:
    group = -(-len(pattern) // _MOST_POINTS) or 1
    padded = np.pad(pattern, (0, -len(pattern) % group), constant_values=np.nan).reshape(-1, group)
    axis = TimeAxis.of(len(pattern) * unit_s)
    x = [axis.at(row * group * unit_s) for row in range(len(padded))]
    caption = "Requests in each time unit."
    traces = []
    if group > 1:
        caption = f"Each point stands for {group} time units: their mean, and the largest of them."
        peaks = np.nanmax(padded, axis=1) if len(padded) else padded[:, 0]
        traces.append(line("largest", x, points(peaks), "--faint", width=1))
    means = np.nanmean(padded, axis=1) if len(padded) else padded[:, 0]
    name = "mean" if group > 1 else "requests"
    traces.append(line(name, x, points(means), "--main", width=1.3, fill="--main-fill"))
    return Chart(
        name="counts",
        title="Requests over time",
        caption=caption,
        traces=traces if len(pattern) else [],
        x_title=axis.title,
        y_title="Requests per unit",
        layout={"showlegend": group > 1, "xaxis": axis.layout(len(pattern) * unit_s)},
    )


def _histogram(pattern: Floats) -> Chart:
    """Bars over the counts; where many units are empty, these would hide the rest and are left out."""
    zeros = float((pattern == 0).mean()) if len(pattern) else 0.0
    sparse = zeros > 0.25
    shown = pattern[pattern > 0] if sparse else pattern
    peak = int(shown.max(initial=0))
    width = max(1, -(-(peak + 1) // _MOST_BARS))
    edges = np.arange(int(sparse), peak + width + 1, width)
    bars = np.histogram(shown, edges)[0] if len(shown) else np.empty(0)
    labels = [
        f"{edge:,}" if width == 1 else f"{edge:,} – {edge + width - 1:,}" for edge in edges[:-1].tolist()
    ]
    centres = (edges[:-1] + (width - 1) / 2).tolist()
    hover = "%{customdata} requests: %{y:,} units<extra></extra>"
    left_out = f" The {100 * zeros:.1f} % without a request are left out." if sparse else ""
    return Chart(
        name="histogram",
        title="Distribution of the counts",
        caption=f"How many time units hold so many requests.{left_out}",
        traces=[bar("", centres, points(bars), "--main", hover, customdata=labels)] if len(shown) else [],
        x_title="Requests per unit",
        y_title="Time units",
        layout={"showlegend": False, "hovermode": "closest", "bargap": 0.08},
    )


def _correlation_chart(pattern: Floats, unit_s: float) -> Chart:
    values = autocorrelation(pattern, _LAGS)
    lags = list(range(1, len(values) + 1))
    noise = 1.96 / max(1, len(pattern)) ** 0.5
    band = {
        "type": "rect",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": -noise,
        "y1": noise,
        "fillcolor": "--faint-fill",
        "line": {"width": 0},
        "layer": "below",
    }
    hover = "lag %{x}: %{y:.2f}<extra></extra>"
    return Chart(
        name="correlation",
        title="Autocorrelation",
        caption="How well a count foretells the count some units later. The band is what chance alone does.",
        traces=[bar("", lags, points(values), "--main", hover)] if lags else [],
        x_title=f"Lag (time units of {unit_s:g} s)",
        y_title="Correlation",
        layout={"showlegend": False, "hovermode": "closest", "bargap": 0.5, "shapes": [band]},
    )


# ---- the page --------------------------------------------------------------------------------


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


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """
    One picture. ``traces`` and ``layout`` are plotly's; a colour may name a CSS variable, ``--main``.

    ``title`` and ``caption`` are plain text. Names of traces are markup to plotly: escape them.
    """

    name: str
    title: str
    caption: str
    traces: list[dict[str, Any]]
    x_title: str
    y_title: str
    layout: dict[str, Any] = {}
    height: int = 300

    def section(self, extra: str = "") -> str:
        head = f"<h2>{escape(self.title)}</h2><p>{escape(self.caption)}</p>"
        box = f'<div class="chart" id="chart-{self.name}" style="height:{self.height}px"></div>'
        return f"<section>{head}{box}{extra}</section>"

    def as_json(self) -> dict[str, Any]:
        layout = {"xaxis": {"title": {"text": self.x_title}}, "yaxis": {"title": {"text": self.y_title}}}
        for key, value in self.layout.items():
            layout[key] = {**layout[key], **value} if key in layout else value
        return {"id": f"chart-{self.name}", "data": self.traces, "layout": layout}


def line(
    name: str, x: Sequence[float], y: Sequence[float | None], color: str, **style: Any
) -> dict[str, Any]:
    """A line named *name*; *style*: ``width``, ``fill`` (a colour down to 0), ``shape``, ``hover``."""
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines",
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
--error-0:#c43d37;--error-1:#e58a5c;--error-2:#8a3d74;--error-3:#d9a83f;--error-4:#6f7c8b}
@media (prefers-color-scheme:dark){:root{--page:#12161c;--soft:#1a2028;--text:#e6eaf0;--quiet:#97a3b2;
--rule:#2a323d;--main:#6aa0f8;--main-fill:#6aa0f82b;--faint:#6f7c8b;--faint-fill:#6f7c8b40;
--low:#3c66a8;--middle:#6aa0f8;--high:#cfe0ff;--lag:#e8b450;--wait:#5b93f0;--service:#3fb8a8;--rest:#5d6875;
--valid:#46c489;--partial:#e0ab4f;--invalid:#e0ab4f;--failed:#f0706a;--empty:#97a3b2;
--error-0:#f0706a;--error-1:#e9a27c;--error-2:#c07bab;--error-3:#e3bf6a;--error-4:#8b97a5}}
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
th,td{padding-left:10px}}
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
      margin: {l: 56, r: 12, t: 34, b: 8}, paper_bgcolor: "--page", plot_bgcolor: "--page",
      font: {family: "system-ui, sans-serif", size: 12, color: "--quiet"},
      hoverlabel: {bgcolor: "--soft", bordercolor: "--rule", font: {color: "--text", size: 12}},
      ...layout, legend: {orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom",
        traceorder: "normal", font: {color: "--text"}}, xaxis: axis(layout.xaxis, false), yaxis: axis(layout.yaxis, true)};
    Plotly.react(id, paint(data), paint(whole), {responsive: true, displayModeBar: false});
  }
};
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
draw();
})();
"""
