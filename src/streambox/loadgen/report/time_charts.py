"""The pictures whose x-axis is the time of the run."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from streambox.loadgen import table
from streambox.loadgen.report.timeline import RANKS
from streambox.page import Chart, bar, line, points

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streambox.loadgen.report.timeline import Numbers, TimeBins, Timeline

_MOST_KINDS: Final = 5
PATTERNS: Final = ("", "/", ".", "x", "-")
PARTS: Final = {"send lag": "--lag", "network": "--rest", "wait in queue": "--wait", "service": "--service"}
PART_PATTERNS: Final = ("/", "-", "", ".")
_STYLES: Final[dict[float, dict[str, Any]]] = {
    50.0: {"color": "--low"},
    90.0: {"color": "--middle", "dash": "dash"},
    99.0: {"color": "--high"},
    100.0: {"color": "--most", "dash": "dot", "width": 1.3},
}
_STEEP: Final = 50  # times the median: what is larger needs a logarithmic axis


class TimeCharts:
    """
    Draws a timeline. *window_s*: from when to when the figures are about it; the rest is shaded.
    """

    def __init__(self, timeline: Timeline, bins: TimeBins, window_s: Sequence[float] | None = None) -> None:
        self._timeline = timeline
        self._bins = bins
        self._shades = _shades(bins, timeline, window_s)
        self._note = " What is shaded is not part of the figures." if self._shades else ""

    def rates(self, summary: Mapping[str, Any]) -> Chart:
        bins, timeline = self._bins, self._timeline
        offered, achieved = timeline.offered / bins.width_s, timeline.achieved / bins.width_s
        caption = f"Requests by their intended time, responses by their arrival, in each {bins.phrase}."
        if table.mode_text(summary) == "closed-loop":
            caption += " A closed loop offers only what the server can take."
        style = {"shape": "hv", "hover": "%{y:,.0f}/s"}
        traces = [
            line("offered", bins.edges, _steps(offered), "--faint", fill="--faint-fill", **style),
            line("achieved", bins.edges, _steps(achieved), "--main", **style),
        ]
        if (timeline.right < timeline.achieved).any():
            right = _steps(timeline.right / bins.width_s)
            traces.append(line("answered right", bins.edges, right, "--valid", dash="dash", **style))
        words = (
            f"At most {table.rate_text(float(offered.max()))} were offered, and "
            f"{table.rate_text(float(achieved.max()))} achieved."
        )
        shown = traces if timeline.offered.any() else []
        return self._chart("rates", "Offered and achieved rate", caption, shown, "Requests per second", words)

    def latency(self) -> Chart:
        rows = self._timeline.response_ms
        caption = (
            "From the time a request was meant to go out to the end of its response, by "
            f"{self._bins.phrase}: the median, the slowest tenth and hundredth, the slowest."
        )
        missing = int(self._timeline.offered.sum() - self._timeline.achieved.sum())
        if missing:
            caption += f" {table.count_text(missing)} without a response are not in it."
        return self._percentiles("latency", "Response time over time", caption, rows, "Response time")

    def lag(self) -> Chart:
        caption = (
            f"How much later than intended requests went out, by {self._bins.phrase}: "
            "the generator's own fault, or that of connections that were all busy."
        )
        return self._percentiles("lag", "Send lag over time", caption, self._timeline.lag_ms, "Send lag")

    def errors(self, kinds: Sequence[str]) -> Chart:
        counts = self._timeline.kinds
        totals = counts.sum(axis=0)
        ranked = sorted((i for i in range(1, len(totals)) if totals[i]), key=lambda i: -totals[i])
        groups = [(kinds[i], [i]) for i in ranked[:_MOST_KINDS]]
        if ranked[_MOST_KINDS:]:
            groups[-1:] = [("others", ranked[_MOST_KINDS - 1 :])]
        traces, told = [], []
        for place, (name, members) in enumerate(groups):
            counted = counts[:, members].sum(axis=1)
            told.append(f"{name} ({table.count_text(int(counted.sum()))})")
            label, color = escape(told[-1]), f"--error-{place}"  # plotly reads markup in names
            pattern = PATTERNS[place % len(PATTERNS)]
            traces.append(bar(label, self._bins.centres, counted.tolist(), color, "%{y:,}", pattern=pattern))
        caption = f"Requests without a right answer, by their intended time, in each {self._bins.phrase}."
        layout = {"barmode": "stack", "showlegend": True}
        words = f"In all: {', '.join(told)}."
        return self._chart("errors", "Errors by kind", caption, traces, "Requests", words, layout)

    def parts(self) -> Chart:
        rows = self._timeline.parts_ms
        traces = [
            bar(name, self._bins.centres, points(column), color, "%{y:,.3~g} ms", pattern=pattern)
            for (name, color), column, pattern in zip(PARTS.items(), rows.T, PART_PATTERNS, strict=True)
        ]
        caption = f"Mean parts of the response time, by {self._bins.phrase} of the intended time."
        layout = {"barmode": "stack", "bargap": 0}
        shown = traces if np.isfinite(rows).any() else []
        return self._chart(
            "parts", "Where it goes over time", caption, shown, "Mean time (ms)", layout=layout
        )

    def batches(self) -> Chart:
        sizes = self._timeline.batch_size
        known = bool(np.isfinite(sizes).any())
        trace = line("mean batch size", self._bins.centres, points(sizes), "--batch", hover="%{y:.3~g} rows")
        caption = f"Rows of the batches that the requests of each {self._bins.phrase} were in, on average."
        words = ""
        if known:
            least, most = (table.number_text(float(edge(sizes))) for edge in (np.nanmin, np.nanmax))
            words = f"Between {least} and {most} rows."
        layout = {"showlegend": False}
        return self._chart(
            "batch-means", "Batch size over time", caption, [trace] if known else [], "Rows", words, layout
        )

    def _percentiles(self, name: str, title: str, caption: str, rows: Numbers, axis: str) -> Chart:
        known = bool(np.isfinite(rows).any())
        traces = [
            line(rank_name(rank), self._bins.centres, points(column), hover="%{y:,.4~g} ms", **_STYLES[rank])
            for rank, column in zip(RANKS, rows.T, strict=True)
        ]
        steep = known and np.nanmax(rows) > _STEEP * max(float(np.nanmedian(rows[:, 0])), 1e-3)
        layout = {"yaxis": {"type": "log", "dtick": 1} if steep else {}}
        words = ""
        if known:
            worst = int(np.nanargmax(rows[:, -1]))
            median, slowest = (table.ms_text(float(ms)) for ms in (np.nanmedian(rows[:, 0]), rows[worst, -1]))
            words = (
                f"The median is {median} in the median {self._bins.phrase}; "
                f"the slowest took {slowest}, at {worst * self._bins.width_s:g} s."
            )
        unit = f"{axis} (ms, log scale)" if steep else f"{axis} (ms)"
        return self._chart(name, title, caption, traces if known else [], unit, words, layout)

    def _chart(
        self,
        name: str,
        title: str,
        caption: str,
        traces: list[dict[str, Any]],
        y_axis: str,
        words: str = "",
        layout: Mapping[str, Any] | None = None,
    ) -> Chart:
        bins = self._bins
        layout = {"xaxis": bins.layout, "shapes": self._shades, **(layout or {})}
        words = f"{caption} {words}"
        return Chart(
            name, title, caption + self._note, traces, (bins.axis.title, y_axis), layout, words=words
        )


def _steps(rates: Numbers) -> list[float | None]:
    """The last value twice: a step needs its far edge."""
    return points(np.append(rates, rates[-1:]))


def rank_name(rank: float) -> str:
    return "max" if rank == 100 else f"p{rank:g}"


def _shades(bins: TimeBins, timeline: Timeline, window_s: Sequence[float] | None) -> list[dict[str, Any]]:
    """Over the requests that fell due before and after the window."""
    offered = np.flatnonzero(timeline.offered)
    if not window_s or not len(offered):
        return []
    end_s = (int(offered[-1]) + 1) * bins.width_s
    parts = [(0.0, window_s[0]), (min(window_s[1], end_s), end_s)]
    return [
        {
            "type": "rect",
            "yref": "paper",
            "x0": bins.axis.at(start),
            "x1": bins.axis.at(end),
            "y0": 0,
            "y1": 1,
            "fillcolor": "--faint-fill",
            "line": {"width": 0},
            "layer": "below",
        }
        for start, end in parts
        if end > start
    ]
