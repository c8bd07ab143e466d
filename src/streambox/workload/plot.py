"""A picture of a pattern of counts, and its figures."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from streambox.page import Chart, TimeAxis, bar, cards, line, page, points
from streambox.workload.figures import autocorrelation, index_of_dispersion

if TYPE_CHECKING:
    from collections.abc import Sequence
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
        cards({**pattern_figures(pattern), "duration": f"{len(pattern) * unit_s:,g} s"}),
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
    layout = {"showlegend": group > 1, "xaxis": axis.layout(len(pattern) * unit_s)}
    shown = traces if len(pattern) else []
    return Chart("counts", "Requests over time", caption, shown, (axis.title, "Requests per unit"), layout)


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
    caption = "How many time units hold so many requests."
    if sparse:
        caption += f" The {100 * zeros:.1f} % without a request are left out."
    traces = [bar("", centres, points(bars), "--main", hover, customdata=labels)] if len(shown) else []
    layout = {"showlegend": False, "hovermode": "closest", "bargap": 0.08}
    axes = ("Requests per unit", "Time units")
    return Chart("histogram", "Distribution of the counts", caption, traces, axes, layout)


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
    traces = [bar("", lags, points(values), "--main", hover)] if lags else []
    layout = {
        "showlegend": False,
        "hovermode": "closest",
        "bargap": 0.5,
        "shapes": [band],
        "xaxis": {"range": [0, len(lags) + 1]},
        "yaxis": {"range": [min(-0.5, float(values.min(initial=0)) - 0.05), 1]},
    }
    caption = "How well a count foretells the count some units later. The band is what chance alone does."
    axes = (f"Lag (time units of {unit_s:g} s)", "Correlation")
    return Chart("correlation", "Autocorrelation", caption, traces, axes, layout)
