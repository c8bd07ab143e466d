"""A comparison as a page that opens offline: what has changed, and the pictures of all sides overlaid."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from streambox.experiments.figures import FIGURES
from streambox.experiments.wording import change_text, estimate_text, judgement_text
from streambox.page import SERIES, Chart, TimeAxis, cards, line, page, points

if TYPE_CHECKING:
    from pathlib import Path

    from streambox.experiments.blocks import Histogram
    from streambox.experiments.compare import Comparison, Side

_MOST_POINTS: Final = 300
_TAILS: Final = np.concatenate([np.linspace(1, 0.1, 60), np.geomspace(0.1, 1e-5, 120)])


def write_comparison(path: Path, comparison: Comparison) -> None:
    """Write the page. Raises OSError."""
    first = comparison.sides[0]
    charts = [
        _changes_chart(comparison),
        _percentiles_chart(comparison.sides),
        _distribution_chart(comparison.sides),
        _time_chart(comparison.sides),
    ]
    headline = f"{' and '.join(side.label for side in comparison.sides[1:])} against {first.label}"
    warnings = "".join(f"<li>{escape(warning)}</li>" for warning in comparison.warnings)
    level = "partial" if comparison.warnings else "valid"
    body = [
        f'<header class="verdict" style="--level:var(--{level})"><p class="kind">Comparison of runs</p>'
        f"<h1>{escape(headline)}</h1><ul>{warnings}</ul></header>",
        cards(_key_changes(comparison)),
        *(chart.section() for chart in charts if chart.traces),
        *(_table_section(comparison, number) for number in range(len(comparison.changes))),
        f'<section><p class="note">{escape(comparison.method)}. Of figures that do not differ one in twenty '
        "looks clear by chance.</p></section>",
    ]
    path.write_text(page(f"{headline} – comparison", body, charts), encoding="utf-8")


def _key_changes(comparison: Comparison) -> dict[str, str]:
    shown = ("response p50", "response p99", "throughput", "ok")
    found = {}
    for side, changes in zip(comparison.sides[1:], comparison.changes, strict=True):
        for figure, change in zip(FIGURES, changes, strict=True):
            if figure.name in shown and change.estimate.value is not None:
                name = figure.name if len(comparison.changes) == 1 else f"{figure.name}, {side.label}"
                found[name] = (
                    f"{change_text(figure, change).partition(' ')[0]} {judgement_text(figure, change)}"
                )
    return found if len(found) <= 8 else {}


def _table_section(comparison: Comparison, number: int) -> str:
    first, other = comparison.sides[0], comparison.sides[number + 1]
    head = "".join(f"<th>{escape(column)}</th>" for column in ("", first.label, other.label, "change", ""))
    rows = []
    for figure, change in zip(FIGURES, comparison.changes[number], strict=True):
        if change.estimate.value is None:
            continue
        cells = [
            figure.name,
            *(estimate_text(figure, side.estimates[figure.name]) for side in (first, other)),
            change_text(figure, change),
            judgement_text(figure, change),
        ]
        rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    return (
        f"<section><h2>{escape(other.label)} against {escape(first.label)}</h2>"
        "<p>Changes of the share that was answered right are in percentage points.</p>"
        f'<div class="scroll"><table><tr>{head}</tr>{"".join(rows)}</table></div></section>'
    )


def _color(number: int) -> str:
    return f"--series-{number % SERIES}"


def _changes_chart(comparison: Comparison) -> Chart:
    """Ratios with their intervals, one row a figure: what does not touch the line at 1 is clear."""
    traces = []
    for number, (side, changes) in enumerate(zip(comparison.sides[1:], comparison.changes, strict=True), 1):
        known = [
            (figure.name, change.estimate)
            for figure, change in zip(FIGURES, changes, strict=True)
            if figure.relative and change.estimate.value and change.estimate.low is not None
        ]
        if not known:
            continue
        names, estimates = zip(*known, strict=True)
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": escape(side.label),
                "x": [round(e.value, 4) for e in estimates],
                "y": list(names),
                "error_x": {
                    "array": [round(e.high - e.value, 4) for e in estimates],
                    "arrayminus": [round(e.value - e.low, 4) for e in estimates],
                    "color": _color(number),
                },
                "marker": {"color": _color(number), "size": 8},
                "hovertemplate": "%{y}: × %{x:.3f}<extra></extra>",
            }
        )
    line_at_one = {"type": "line", "x0": 1, "x1": 1, "yref": "paper", "y0": 0, "y1": 1}
    layout = {
        "hovermode": "closest",
        "showlegend": len(traces) > 1,
        "shapes": [{**line_at_one, "line": {"color": "--faint", "width": 1.5}, "layer": "below"}],
        "xaxis": {"rangemode": "normal", "showgrid": True},
        "yaxis": {"autorange": "reversed", "type": "category"},
    }
    caption = (
        f"Each figure over that of {comparison.sides[0].label}, with 95 % intervals. "
        "One that leaves 1 out is a clear change."
    )
    return Chart("changes", "What has changed", caption, traces, ("Ratio", ""), layout, height=380)


def _percentiles_chart(sides: tuple[Side, ...]) -> Chart:
    """By the share of responses that are slower, on a log axis, so that each step is a nine more."""
    traces = []
    for number, side in enumerate(sides):
        merged, total = _merged(side)
        shares = _TAILS[_TAILS * total >= 1]
        values_ms = merged.quantiles_ns(_once(merged), (1 - shares).tolist())[:, 0] / 1e6
        if not total:
            continue
        ranks = [f"p{100 * (1 - share):.6g}" for share in shares]
        trace = line(escape(side.label), shares.tolist(), points(values_ms), _color(number))
        traces.append(trace | {"customdata": ranks, "hovertemplate": "%{customdata}: %{y:,.4~g} ms"})
    ticks = [1, 0.1, 0.01, 0.001, 0.0001, 0.00001]
    text = ["0", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"]
    layout = {
        "hovermode": "closest",
        "xaxis": {
            "type": "log",
            "autorange": "reversed",
            "tickvals": ticks,
            "ticktext": text,
            "rangemode": "normal",
        },
        "yaxis": _log_where_steep(traces),
    }
    caption = "The response time that a share of all responses does not exceed."
    return Chart(
        "percentiles",
        "Response time by percentile",
        caption,
        traces,
        ("Percentile", "Response time (ms)"),
        layout,
    )


def _distribution_chart(sides: tuple[Side, ...]) -> Chart:
    traces = []
    for number, side in enumerate(sides):
        merged, total = _merged(side)
        if not total:
            continue
        shares = np.concatenate([np.linspace(0, 0.99, 100), np.linspace(0.991, 1, 10)])
        values_ms = merged.quantiles_ns(_once(merged), shares.tolist())[:, 0] / 1e6
        trace = line(
            escape(side.label),
            (values_ms.round(4)).tolist(),
            (100 * shares).round(2).tolist(),
            _color(number),
        )
        traces.append(trace | {"hovertemplate": "%{y:.3~g} % within %{x:,.4~g} ms"})
    layout = {
        "hovermode": "closest",
        "xaxis": {"type": "log", "rangemode": "normal"},
        "yaxis": {"range": [0, 101]},
    }
    axes = ("Response time (ms, log scale)", "Responses within it (%)")
    return Chart(
        "distribution",
        "Distribution",
        "The share of responses that took at most so long.",
        traces,
        axes,
        layout,
    )


def _time_chart(sides: tuple[Side, ...]) -> Chart:
    """The median and the 99th percentile over time: of repeats that of the first."""
    longest_s = max(end - start for side in sides for start, end in [side.runs[0].window_s])
    axis = TimeAxis.of(longest_s)
    traces = []
    for number, side in enumerate(sides):
        blocks = side.runs[0].blocks
        histogram = blocks.durations["response"]
        group = -(-len(blocks) // _MOST_POINTS)
        bins = -(-len(blocks) // group)
        weights = np.zeros((bins, len(blocks)), np.float32)
        weights[np.arange(len(blocks)) // group, np.arange(len(blocks))] = 1
        width_s = group * blocks.width_ns / 1e9
        x = [axis.at((number + 0.5) * width_s) for number in range(bins)]
        for share, width, dash in ((0.5, 1.5, "dot"), (0.99, 2, "solid")):
            values_ms = histogram.quantiles_ns(weights, [share])[0] / 1e6
            trace = line(
                f"{escape(side.label)} p{100 * share:g}", x, points(values_ms), _color(number), width=width
            )
            trace["line"]["dash"] = dash
            traces.append(trace | {"hovertemplate": "%{y:,.4~g} ms"})
    layout = {"xaxis": axis.layout(longest_s), "yaxis": _log_where_steep(traces)}
    several = any(len(side.runs) > 1 for side in sides)
    caption = "Median (dotted) and 99th percentile, by when a request was meant to be sent" + (
        ", of the first repeat." if several else "."
    )
    return Chart(
        "time", "Response time over time", caption, traces, (axis.title, "Response time (ms)"), layout
    )


def _log_where_steep(traces: list[dict[str, Any]]) -> dict[str, Any]:
    values = [value for trace in traces for value in trace["y"] if value]
    steep = values and max(values) > 50 * float(np.median(values))
    return {"type": "log", "dtick": 1, "rangemode": "normal"} if steep else {}


def _merged(side: Side) -> tuple[Histogram, int]:
    """The response times of all of a side's runs."""
    histograms = [run.blocks.durations["response"] for run in side.runs]
    merged = histograms[0].joined(histograms[1:])
    return merged, merged.total


def _once(histogram: Histogram) -> Any:
    return np.ones((1, len(histogram.counts)), np.float32)
