"""The pictures of response times: how they are distributed, and where they come from."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from streambox.loadgen import table
from streambox.loadgen.report.distribution import Tail
from streambox.loadgen.report.time_charts import PART_PATTERNS, PARTS
from streambox.loadgen.split import RANKS
from streambox.page import Chart, bar, line, points
from streambox.page import table as html_table

if TYPE_CHECKING:
    from streambox.loadgen.report.distribution import Distribution, Numbers, Responses
    from streambox.loadgen.split import Split

_MARKED: Final = {"p50": 0.5, "p99": 0.99}
_TOLD: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "p99.99": 0.9999, "max": 1.0}
_STEEP: Final = 50
_FEWEST_TICKS: Final = 3
_MOST_TICKS: Final = 9


def histogram(responses: Responses) -> Chart:
    edges, counts = responses.intended.bars()
    centres, widths = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    labels = [f"{_ms(low)} – {_ms(high)}" for low, high in pairwise(edges)]
    hover = "%{customdata}: %{y:,} responses<extra></extra>"
    trace = bar("", _fine(centres), counts.tolist(), "--main", hover, customdata=labels, width=_fine(widths))
    marks = _marks(responses.intended) if len(counts) else {}
    layout = {
        "showlegend": False,
        "hovermode": "closest",
        "bargap": 0,
        "xaxis": {"type": "log", **(_log_ticks(edges[0], edges[-1]) if len(counts) else {})},
        **marks,
    }
    caption = "How many responses took so long, from the time their request was meant to go out."
    told = ", ".join(
        f"{name} {_ms(value)}"
        for name, value in zip(
            _MARKED, responses.intended.percentiles_ms(np.array([*_MARKED.values()])), strict=True
        )
    )
    axes = ("Response time (ms, log scale)", "Responses")
    shown = [trace] if len(counts) else []
    return Chart("histogram", "Response times", caption, shown, axes, layout, words=f"{caption} {told}.")


def tail(responses: Responses) -> Chart:
    """After HdrHistogram's plots: the further to the right, the rarer."""
    curves = {"from intended": responses.intended, "from sent": responses.sent}
    styles: dict[str, dict[str, Any]] = {
        "from intended": {"color": "--main"},
        "from sent": {"color": "--lag", "dash": "dash"},
    }
    traces = []
    for name, distribution in curves.items():
        curve = Tail.of(distribution)
        trace = line(name, _fine(curve.one_in), points(curve.ms), hover="%{y:,.4~g} ms", **styles[name])
        trace["customdata"] = [_share(one_in) for one_in in curve.one_in]
        traces.append(trace)
    largest, median = responses.intended.largest_ns / 1e6, _percentile(responses.intended, 0.5)
    steep = largest > _STEEP * max(median, 1e-3)
    caption = (
        "The slowest tenth of the responses lies right of 90 %, the slowest hundredth right of 99 %. "
        "Where the lines part, requests waited to be sent: a clock that starts at the sending misses it."
    )
    layout = {
        "xaxis": {**_share_ticks(responses.intended.total), "unifiedhovertitle": {"text": "%{customdata}"}},
        "yaxis": {"type": "log", "dtick": 1} if steep else {},
    }
    axes = (
        "Share of the responses that were faster",
        "Response time (ms, log scale)" if steep else "Response time (ms)",
    )
    shown = traces if responses.intended.total else []
    after = _tail_table(curves) if shown else ""
    return Chart("tail", "Response time by percentile", caption, shown, axes, layout, after, height=340)


def split(parts: Split) -> Chart:
    known = bool(parts.counts.any())
    columns = {name: parts.around(rank) / 1e6 for name, rank in RANKS.items()} if known else {}
    traces = []
    for row, ((name, color), pattern) in enumerate(zip(PARTS.items(), PART_PATTERNS, strict=True)):
        widths = points(np.array([column[row] for column in columns.values()]))
        traces.append(
            bar(name, widths, list(columns), color, "%{x:,.3~g} ms", orientation="h", pattern=pattern)
        )
    caption = (
        "Mean parts of the requests around each percentile of the response time, so that they add up. "
        "Network is all that neither we nor the batch account for: sockets, parsing, rendering."
    )
    downwards = {"autorange": "reversed", "showgrid": False}
    layout = {"barmode": "stack", "hovermode": "y unified", "xaxis": {"showgrid": True}, "yaxis": downwards}
    return Chart(
        "split",
        "Where the response time goes",
        caption,
        traces if known else [],
        ("Time (ms)", ""),
        layout,
        _split_table(parts, columns) if known else "",
        height=260,
    )


def _split_table(parts: Split, columns: dict[str, Numbers]) -> str:
    mean = parts.sums_ns.sum(axis=1) / parts.counts.sum() / 1e6
    columns = {**columns, "mean": mean}
    rows = [[name, *(_ms(column[row]) for column in columns.values())] for row, name in enumerate((*PARTS,))]
    rows.append(["response", *(_ms(column.sum()) for column in columns.values())])
    return html_table(["part", *(f"at {name}" if name != "mean" else name for name in columns)], rows)


def _tail_table(curves: dict[str, Distribution]) -> str:
    rows = [
        [name, *(_ms(value) for value in distribution.percentiles_ms(np.array([*_TOLD.values()])))]
        for name, distribution in curves.items()
    ]
    return html_table(["response", *_TOLD], rows)


def _marks(distribution: Distribution) -> dict[str, Any]:
    """Lines at the percentiles that people ask for."""
    shapes, annotations = [], []
    for name, share in _MARKED.items():
        at_ms = _percentile(distribution, share)
        shape = {"type": "line", "yref": "paper", "x0": at_ms, "x1": at_ms, "y0": 0, "y1": 1}
        shapes.append({**shape, "line": {"color": "--quiet", "width": 1, "dash": "dot"}})
        # On a logarithmic axis shapes stand at values, but annotations at exponents.
        place = {"x": math.log10(max(at_ms, 1e-6)), "y": 1, "yref": "paper", "yanchor": "bottom"}
        annotations.append({**place, "text": f"{name} {_ms(at_ms)}", "showarrow": False})
    return {"shapes": shapes, "annotations": annotations, "margin": {"l": 56, "r": 12, "t": 34, "b": 8}}


def _log_ticks(low_ms: float, high_ms: float) -> dict[str, Any]:
    """Decades, or as much finer as it takes to have three ticks in sight."""
    decades = 10.0 ** np.arange(math.floor(math.log10(low_ms)), math.ceil(math.log10(high_ms)) + 1)
    for digits in ((1,), (1, 2, 5), range(1, 10), np.arange(1, 10, 0.5), np.arange(1, 10, 0.1)):
        ticks = np.outer(decades, digits).ravel()
        ticks = ticks[(ticks >= low_ms) & (ticks <= high_ms)]
        if len(ticks) >= _FEWEST_TICKS:
            break
    ticks = ticks[:: -(-len(ticks) // _MOST_TICKS)] if len(ticks) else np.array([low_ms])
    return {"tickvals": _fine(ticks), "ticktext": [f"{tick:,.9g}" for tick in _fine(ticks)]}


def _share_ticks(total: int) -> dict[str, Any]:
    decades = range(max(1, math.ceil(math.log10(max(total, 2)))) + 1)
    places = [2, *(10.0**decade for decade in decades if decade)]
    texts = [_share(place) for place in places]
    top = math.log10(max(total, 2)) * 1.01
    return {"type": "log", "tickvals": places, "ticktext": texts, "range": [0, top]}


def _share(one_in: float) -> str:
    """1000 is 99.9 %: as many nines as it takes."""
    share = 100 * (1 - 1 / one_in)
    digits = max(0, math.ceil(math.log10(one_in)) - 2) if one_in > 1 else 0
    return f"{share:.{digits + 1}f}".rstrip("0").rstrip(".") + " %" if share else "0 %"


def _percentile(distribution: Distribution, share: float) -> float:
    return float(distribution.percentiles_ms(np.array([share]))[0])


def _ms(value: float) -> str:
    return table.ms_text(float(value))


def _fine(values: Numbers) -> list[float]:
    """Six significant digits."""
    return [float(f"{value:.6g}") for value in values]
