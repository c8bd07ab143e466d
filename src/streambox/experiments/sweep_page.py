"""A sweep as a page that opens offline: latency, goodput and batches against the load, a line a setting."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from streambox.experiments.figures import FIGURES
from streambox.experiments.sweep_result import ALL, GOODPUT, OFFERED, remark
from streambox.experiments.wording import estimate_text, value_text
from streambox.page import SERIES, Chart, cards, page

if TYPE_CHECKING:
    from pathlib import Path

    from streambox.experiments.estimate import Estimate
    from streambox.experiments.figures import Figure
    from streambox.experiments.sweep_result import CellResult, SweepResult

_BY_NAME: Final = {figure.name: figure for figure in (*FIGURES, OFFERED, GOODPUT)}
_DASHES: Final = ("solid", "dash", "dot", "dashdot")
_IN_TABLE: Final = ("offered", "goodput", "response p50", "response p90", "response p99", "batch size", "ok")


class _Picture(NamedTuple):
    name: str
    figure: str
    title: str
    unit: str
    caption: str


_PICTURES: Final = (
    _Picture(
        "p99",
        "response p99",
        "Response time at p99",
        "Response time (ms)",
        "The time that 99 % of the responses took at most",
    ),
    _Picture(
        "p50",
        "response p50",
        "Median response time",
        "Response time (ms)",
        "The time that half of the responses took at most",
    ),
    _Picture(
        "goodput",
        "goodput",
        "Goodput",
        "Requests per second",
        "Requests answered right, and within the time that --slo names",
    ),
    _Picture("ok", "ok", "Answered right", "Requests (%)", "The share of all requests"),
    _Picture("batches", "batch size", "Mean batch size", "Rows", "Of the batches that requests were in"),
)


def write_sweep(path: Path, result: SweepResult) -> None:
    """Write the page. Raises OSError."""
    options = result.options
    charts = [_chart(result, picture) for picture in _PICTURES]
    if all(cell.estimates["ok"].value in (None, 100) for cell in result.cells):
        charts = [chart for chart in charts if chart.name != "ok"]
    title = "Sweep over " + " × ".join(axis.short for axis in options.axes)
    faulty = sum(run.fault is not None for run in result.runs)
    remarks = [f"{result.missing} runs have not been made"] * bool(result.missing)
    remarks += [f"{faulty} runs do not count, and are in no picture"] * bool(faulty)
    level = "partial" if remarks else "valid"
    body = [
        f'<header class="verdict" style="--level:var(--{level})"><p class="kind">Load sweep</p>'
        f"<h1>{escape(title)}</h1><ul>{''.join(f'<li>{text}</li>' for text in remarks)}</ul></header>",
        cards(
            {
                "cells": f"{len(result.cells):,}",
                "repeats": f"{options.repeats:,}",
                "runs": f"{len(result.runs):,}",
                "that count": f"{len(result.runs) - faulty:,}",
            }
        ),
        _recipe(result),
        *(chart.section() for chart in charts if chart.traces),
        _table(result),
    ]
    path.write_text(page(title, body, charts), encoding="utf-8")


def _recipe(result: SweepResult) -> str:
    options = result.options
    facts = {
        "load": " ".join(options.load),
        "serve": options.serve or "",
        "settings": ", ".join(options.settings),
        "before": options.before or "",
        "seed": str(options.seed),
    }
    items = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in facts.items() if text
    )
    return f'<dl class="facts">{items}</dl>'


def _chart(result: SweepResult, picture: _Picture) -> Chart:
    figure, axis = _BY_NAME[picture.figure], result.load_axis
    lines = enumerate(_lines(result).items())
    traces = [trace for number, line in lines if (trace := _trace(result, figure, number, *line))]
    if figure is GOODPUT and _against_offered(result) and traces:
        traces.insert(0, _all_that_is_offered(traces))
    layout: dict[str, Any] = {"hovermode": "closest", "showlegend": len(traces) > 1}
    layout["xaxis"] = {"type": "category"} if axis is None else {"rangemode": "tozero"}
    unit = picture.unit
    if figure.unit == "ms" and _is_steep(traces):
        layout["yaxis"] = {"type": "log", "rangemode": "normal"}
        unit = f"{unit[:-1]}, log scale)"
    if figure.unit == "%":
        layout["yaxis"] = {"rangemode": "normal"}
    several = result.options.repeats > 1
    interval = "Student's intervals over the repeats" if several else "intervals from resampled seconds"
    caption = f"{picture.caption}, with {interval} (95 %)."
    axes = (_x_title(result), unit)
    return Chart(picture.name, picture.title, caption, traces, axes, layout, height=340)


def _against_offered(result: SweepResult) -> bool:
    """Whether the x-axis is what was offered; a closed loop's is how many callers there were."""
    return result.load_axis is not None and result.load_axis.name != "concurrency"


def _x_title(result: SweepResult) -> str:
    if _against_offered(result):
        return "Offered (requests per second)"
    return "Setting" if result.load_axis is None else "Concurrency (callers)"


def _lines(result: SweepResult) -> dict[str, list[CellResult]]:
    """The cells of each line, by its name: alike in all but the load."""
    axis = result.load_axis
    lines: dict[str, list[CellResult]] = {}
    for cell in result.cells:
        values = cell.cell.values
        others = [f"{one.short}={values[one.name]}" for one in result.options.axes if one is not axis]
        lines.setdefault(", ".join(others) if axis is not None else "", []).append(cell)
    return lines


def _trace(
    result: SweepResult, figure: Figure, number: int, name: str, cells: list[CellResult]
) -> dict[str, Any] | None:
    known = [cell for cell in cells if cell.estimates[figure.name].value is not None]
    if not known:
        return None
    if result.load_axis is not None:
        known.sort(key=lambda cell: float(_x(result, cell)))
    color = f"--series-{number % SERIES}"
    estimates = [cell.estimates[figure.name] for cell in known]
    hovers = [f"{cell.cell}: {estimate_text(figure, e)}" for cell, e in zip(known, estimates, strict=True)]
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines+markers" if result.load_axis is not None else "markers",
        "name": escape(name or figure.name),
        "x": [_x(result, cell) for cell in known],
        "y": [_rounded(estimate.value) for estimate in estimates],
        "customdata": [escape(hover) for hover in hovers],
        "hovertemplate": "%{customdata}<extra></extra>",
        "line": {"color": color, "width": 2, "dash": _DASHES[number // SERIES % len(_DASHES)]},
        "marker": {"color": color, "size": 7},
    }
    if any(estimate.low is not None for estimate in estimates):
        trace["error_y"] = {
            "array": [_reach(estimate, estimate.high) for estimate in estimates],
            "arrayminus": [_reach(estimate, estimate.low) for estimate in estimates],
            "color": color,
            "thickness": 1.2,
            "width": 4,
        }
    return trace


def _x(result: SweepResult, cell: CellResult) -> Any:
    axis = result.load_axis
    if axis is None:
        return ", ".join(cell.cell.values.values())
    if not _against_offered(result):
        return float(cell.cell.values[axis.name])
    return round(cell.estimates[OFFERED.name].value or 0.0, 3)


def _reach(estimate: Estimate, bound: float | None) -> float:
    return 0.0 if bound is None or estimate.value is None else _rounded(abs(bound - estimate.value)) or 0.0


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _all_that_is_offered(traces: list[dict[str, Any]]) -> dict[str, Any]:
    most = max(x for trace in traces for x in trace["x"])
    style = {"color": "--faint", "width": 1.5, "dash": "dot"}
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "all that is offered",
        "x": [0, most],
        "y": [0, most],
        "line": style,
        "hoverinfo": "skip",
    }


def _is_steep(traces: list[dict[str, Any]]) -> bool:
    values = [y for trace in traces for y in trace["y"] if y]
    return bool(values) and max(values) > 20 * min(values)


def _table(result: SweepResult) -> str:
    shown = [figure for figure in ALL if figure.name in _IN_TABLE]
    names = [*(axis.short for axis in result.options.axes), *(figure.name for figure in shown), ""]
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    rows = []
    for cell in result.cells:
        figures = [
            estimate_text(figure, estimate)
            if figure.name == "response p99"
            else value_text(figure, estimate.value)
            for figure in shown
            for estimate in [cell.estimates[figure.name]]
        ]
        texts = [*cell.cell.values.values(), *figures, remark(cell, result.options.repeats)]
        rows.append("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in texts) + "</tr>")
    return (
        "<section><h2>All cells</h2><p>Means over the repeats that count.</p>"
        f'<div class="scroll"><table><tr>{head}</tr>{"".join(rows)}</table></div></section>'
    )
