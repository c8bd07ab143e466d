"""Sources side by side, as a page that opens offline."""

from __future__ import annotations

import itertools
import math
from html import escape
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from streambox.page import Chart, TimeAxis, cards, line, page
from streambox.units import format_duration
from streambox.workload.arrivals import NS_PER_S
from streambox.workload.figures import (
    FEWEST_WINDOWS,
    autocorrelation,
    dispersion_curve,
    gap_edges,
    gap_histogram,
    whole_counts,
)
from streambox.workload.inspection import figure_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from streambox.workload.events import Events
    from streambox.workload.inspection import Inspected
    from streambox.workload.transforms import Fidelity

    Floats = np.ndarray[Any, np.dtype[np.float64]]

_MOST_BINS: Final = 600
_LAGS: Final = 60
_FEWEST_BINS: Final = 60
_RELATIVE_BINS: Final = 200
_MOST_WINDOWS: Final = 200_000
_ALMOST_ALL: Final = 0.999
_SAME: Final = 1.01  # durations this much alike share a time axis
_LOG: Final = {"type": "log", "exponentformat": "power", "rangemode": "normal"}
_LABELLED: Final = {**_LOG, "dtick": "D2"}  # 1, 2, 5, 10, …
_POISSON: Final = {
    "type": "line",
    "xref": "paper",
    "x0": 0,
    "x1": 1,
    "y0": 1,
    "y1": 1,
    "line": {"color": "--faint", "width": 1, "dash": "dot"},
}
_COLORS: Final = {1: ("--main",), 2: ("--faint", "--main"), 3: ("--faint", "--main", "--service")}


def write_page(path: Path, inspected: Sequence[Inspected], reports: Sequence[Fidelity]) -> None:
    """Write a page that compares up to three sources. Raises OSError."""
    charts = [_rates(inspected), _gaps(inspected), _dispersion(inspected), _correlation(inspected)]
    title = " · ".join(each.name for each in inspected)
    body = [
        f'<header><p class="kind">Workload</p><h1>{escape(title)}</h1></header>',
        _figures(inspected),
        _promises(reports),
        *(chart.section() for chart in charts if chart.traces),
    ]
    if not any(len(each.events) for each in inspected):
        body.append('<p class="note">There is no arrival to draw.</p>')
    path.write_text(page(title, body, charts), encoding="utf-8")


# ---- text ----------------------------------------------------------------------------------------


def _figures(inspected: Sequence[Inspected]) -> str:
    rows = figure_rows(inspected)
    if len(inspected) == 1:
        return cards({label: values[0] for label, values in rows})
    head = "".join(f"<th>{escape(each.name)}</th>" for each in inspected)
    body = "".join(
        f"<tr><td>{escape(label)}</td>{''.join(f'<td>{escape(value)}</td>' for value in values)}</tr>"
        for label, values in rows
    )
    return f'<div class="scroll"><table><tr><th></th>{head}</tr>{body}</table></div>'


def _promises(reports: Sequence[Fidelity]) -> str:
    if not reports:
        return ""
    lines = "".join(f"<p>{escape(report.describe())}</p>" for report in reports)
    return f"<section><h2>What each transform kept</h2>{lines}</section>"


# ---- charts --------------------------------------------------------------------------------------


def _styled(inspected: Sequence[Inspected]) -> Iterator[tuple[Inspected, str, str]]:
    """Each source that has arrivals, with its name as plotly's markup, and its colour."""
    for each, color in zip(inspected, _COLORS[len(inspected)], strict=True):
        if len(each.events):
            yield each, escape(each.name), color


def _rates(inspected: Sequence[Inspected]) -> Chart:
    lengths_s = [each.figures.duration_s for each in inspected]
    if max(lengths_s) > min(lengths_s) * _SAME:
        return _relative_rates(inspected)
    axis = TimeAxis.of(max(lengths_s))
    width_s = _bin_width_s(max(lengths_s), inspected[0].figures.unit_s)
    traces = []
    for each, name, color in _styled(inspected):
        edges_s, rates = _binned(each.events, round(width_s * NS_PER_S))
        x = [axis.at(edge) for edge in edges_s.tolist()]
        traces.append(line(name, x, _step(rates), color, width=1.3, shape="hv", hover="%{y:,.3~g}/s"))
    caption = f"Arrivals per second, in bins of {width_s:g} s."
    layout = {"showlegend": len(inspected) > 1, "xaxis": axis.layout(max(lengths_s))}
    axes = (axis.title, "Arrivals per second")
    return Chart("rates", "Rate over time", caption, traces, axes, layout)


def _relative_rates(inspected: Sequence[Inspected]) -> Chart:
    traces = []
    for each, name, color in _styled(inspected):
        edges_s, rates = _binned(each.events, -(-each.events.duration_ns // _RELATIVE_BINS))
        x = _short(100 * edges_s / each.figures.duration_s)
        y = _step(rates / (float(rates.mean()) or 1.0))
        traces.append(line(name, x, y, color, width=1.3, shape="hv", hover="%{y:.3~g} × its mean"))
    caption = "Of sources that last differently: each over its own duration, and its rate by its own mean."
    x_axis = {"range": [0, 100], "unifiedhovertitle": {"text": "%{x:.3~g} %"}}
    layout = {"showlegend": len(inspected) > 1, "xaxis": x_axis}
    axes = ("Share of the duration (%)", "Rate by its mean")
    return Chart("rates", "Rate over time", caption, traces, axes, layout)


def _bin_width_s(length_s: float, unit_s: float) -> float:
    """The unit, where that makes no more bins than can be seen, nor too few; else a round number."""
    if length_s / _MOST_BINS <= unit_s <= length_s / _FEWEST_BINS:
        return unit_s
    return next(width_s for width_s in _steps(max(1e-9, length_s / _MOST_BINS)))


def _binned(events: Events, width_ns: int) -> tuple[Floats, Floats]:
    """Edges of bins in s, and the rate in each bin per s; a short rest at the end is left out."""
    counts = events.counts_per_unit(width_ns)
    ends_ns = np.minimum(np.arange(1, len(counts) + 1) * width_ns, events.duration_ns)
    widths_ns = np.diff(ends_ns, prepend=0)
    whole = widths_ns > width_ns / 2
    whole[0] = True
    edges_s = np.append(0.0, ends_ns[whole] / NS_PER_S)
    return edges_s, counts[whole] / widths_ns[whole] * NS_PER_S


def _gaps(inspected: Sequence[Inspected]) -> Chart:
    traces = []
    for each, name, color in _styled(inspected):
        instants_ns = each.events.instants_ns
        histogram = gap_histogram(instants_ns)
        if histogram is not None:
            mean_s = float(instants_ns[-1] - instants_ns[0]) / NS_PER_S / (len(instants_ns) - 1)
            longer = 1 - np.cumsum(histogram) / histogram.sum()
            gaps_s = gap_edges() * mean_s
            at = _telling(longer)
            at = at[gaps_s[at] * NS_PER_S >= 1]  # gaps of 0 have no place on a logarithmic axis
            x, y = _short(gaps_s[at]), _short(longer[at])
            traces.append(line(name, x, y, color, width=1.6, hover="%{y:.3~g}"))
    caption = "The share of the times between arrivals that are longer than so much."
    layout = {
        "showlegend": len(inspected) > 1,
        "xaxis": {**_LOG, "unifiedhovertitle": {"text": "longer than %{x:.3~g} s"}},
        "yaxis": _LOG,
    }
    axes = ("Time between arrivals (s)", "Share that is longer")
    return Chart("gaps", "Times between arrivals", caption, traces, axes, layout)


def _telling(longer: Floats) -> np.ndarray[Any, np.dtype[np.int64]]:
    """At most about 1,000 places at which a falling curve falls, above 0; of its first 0.1 % the last."""
    places = np.flatnonzero(np.diff(longer, prepend=1.0))
    places = places[longer[places] > 0]
    places = places[max(0, int(np.count_nonzero(longer[places] > _ALMOST_ALL)) - 1) :]
    return places[:: max(1, len(places) // 1000)]


def _dispersion(inspected: Sequence[Inspected]) -> Chart:
    traces = []
    for each, name, color in _styled(inspected):
        curve = dispersion_curve(each.events, _windows_s(each.figures.duration_s))
        curve = tuple((tau_s, value) for tau_s, value in curve if value > 0)
        if curve:
            x, y = (_short(np.array(values)) for values in zip(*curve, strict=True))
            traces.append(line(name, x, y, color, width=1.6, hover="%{y:,.3~g}"))
    caption = "Variance by mean of the counts in windows of a length: 1 throughout for Poisson arrivals."
    layout = {
        "showlegend": len(inspected) > 1,
        "xaxis": {**_LOG, "unifiedhovertitle": {"text": "windows of %{x:.3~g} s"}},
        "yaxis": _LABELLED,
        "shapes": [_POISSON],
    }
    axes = ("Window (s)", "Index of dispersion")
    return Chart("dispersion", "Dispersion of counts", caption, traces, axes, layout)


def _windows_s(length_s: float) -> tuple[float, ...]:
    """From as short as can be counted up to those that *length_s* still holds enough of."""
    longest_s = length_s / FEWEST_WINDOWS
    return tuple(itertools.takewhile(lambda tau_s: tau_s <= longest_s, _steps(length_s / _MOST_WINDOWS)))


def _correlation(inspected: Sequence[Inspected]) -> Chart:
    unit_ns = round(inspected[0].figures.unit_s * NS_PER_S)
    traces, lowest = [], -0.2
    for each, name, color in _styled(inspected):
        values = autocorrelation(whole_counts(each.events, unit_ns), _LAGS)
        if len(values):
            lags = list(range(1, len(values) + 1))
            traces.append(line(name, lags, _short(values), color, width=1.6, hover="%{y:.2f}"))
            lowest = min(lowest, float(values.min()) - 0.05)
    unit = format_duration(unit_ns)
    caption = "How well the count of a time unit foretells the count some units later."
    layout = {
        "showlegend": len(inspected) > 1,
        "xaxis": {"unifiedhovertitle": {"text": "lag %{x}"}},
        "yaxis": {"range": [lowest, 1]},
    }
    axes = (f"Lag (time units of {unit})", "Correlation")
    return Chart("correlation", "Autocorrelation of counts", caption, traces, axes, layout)


# ---- numbers -------------------------------------------------------------------------------------


def _steps(least: float) -> Iterator[float]:
    """1, 2, 5, 10, … times a power of ten, from *least* on."""
    power = math.floor(math.log10(least)) if least > 0 else 0
    for exponent in itertools.count(power):
        for digit in (1, 2, 5):
            if digit * 10.0**exponent >= least:
                yield digit * 10.0**exponent


def _step(values: Floats) -> list[float]:
    """With the last one twice: a step needs its far edge."""
    return _short(np.append(values, values[-1:]))


def _short(values: Floats) -> list[float]:
    """Five digits each: what a picture can show."""
    return [float(f"{value:.5g}") for value in values.tolist()]
