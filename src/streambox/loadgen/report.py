"""The report of a run: one HTML page that needs nothing but itself."""

from __future__ import annotations

import json
import math
from html import escape
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from streambox.loadgen import table
from streambox.page import Chart, TimeAxis, bar, cards, line, page, points
from streambox.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from streambox.loadgen.record import Outcomes

    Numbers = np.ndarray[Any, np.dtype[Any]]

_NS_PER_S: Final = 1_000_000_000
_MOST_BINS: Final = 600
_BIN_WIDTHS_S: Final = (0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 86_400)
_PERCENTILES: Final = {50: "--low", 90: "--middle", 99: "--high"}
_PARTS: Final = {"send lag": "--lag", "wait in queue": "--wait", "service": "--service", "rest": "--rest"}
_MOST_KINDS: Final = 5


def write_report(
    path: Path, outcomes: Outcomes, summary: Mapping[str, Any], recipe: Mapping[str, Any]
) -> None:
    """
    Write the page that shows a run.

    The figures of *summary* (summary.json) and the *recipe* of the schedule are shown as
    they are. Times are binned, at most 600 bins: whatever the number of *outcomes*, the
    page stays near the size of plotly.js (5 MB).
    """
    bins = TimeBins.of(outcomes)
    parts = Parts.of(outcomes)
    charts = [
        _rates_chart(outcomes, bins, summary),
        _latency_chart(outcomes, bins),
        _errors_chart(outcomes, bins),
        _split_chart(parts),
        _means_chart(parts, bins),
        _batch_chart(outcomes),
    ]
    body = [
        _verdict(summary),
        cards(_key_figures(summary)),
        _facts(recipe),
        *(chart.section() for chart in charts if chart.traces),
        _note(outcomes, parts),
        _provenance(summary),
    ]
    title = f"{table.read_verdict(summary).headline} – load report"
    path.write_text(page(title, body, charts), encoding="utf-8")


# ---- the text on top ---------------------------------------------------------------------------


def _verdict(summary: Mapping[str, Any]) -> str:
    verdict = table.read_verdict(summary)
    remarks = "".join(f"<li>{escape(remark)}</li>" for remark in verdict.remarks)
    return (
        f'<header class="verdict" style="--level:var(--{verdict.level})">'
        f'<p class="kind">Load report, {table.mode_text(summary)}</p><h1>{escape(verdict.headline)}</h1>'
        f"<ul>{remarks}</ul></header>"
    )


def _key_figures(summary: Mapping[str, Any]) -> dict[str, str]:
    response, lag, sizes = (summary.get(key) or {} for key in ("response_ms", "send_lag_us", "batch_size"))
    offered, ok = int(summary.get("offered") or 0), int(summary.get("ok") or 0)
    return {
        "offered": table.rate_text(summary.get("offered_per_s")),
        "achieved": table.rate_text(summary.get("throughput_per_s")),
        "response p50": table.ms_text(response.get("p50")),
        "response p99": table.ms_text(response.get("p99")),
        "requests": table.count_text(offered),
        "succeeded": table.share_text(ok, offered),
        "mean batch size": table.number_text(sizes.get("mean")),
        "send lag p99": table.ms_text(lag.get("p99"), 1e-3),
    }


def _facts(recipe: Mapping[str, Any]) -> str:
    """The recipe as pairs; durations readable, what is not set left out."""
    items = []
    for key, value in recipe.items():
        if value is None:
            continue
        if key.endswith("_ns") and isinstance(value, int):
            key, value = key.removesuffix("_ns"), format_duration(value)
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        label = str(key).replace("_", " ")
        items.append(f"<div><dt>{escape(label)}</dt><dd>{escape(text)}</dd></div>")
    return f'<dl class="facts">{"".join(items)}</dl>' if items else ""


def _note(outcomes: Outcomes, parts: Parts) -> str:
    """Why charts are missing, if any are."""
    if not len(outcomes.intended_ns):
        note = "There is nothing to draw: no request was offered."
    elif not (outcomes.done_ns >= 0).any():
        note = "No response came, so there are no response times to draw."
    elif not len(parts.response):
        note = "The responses do not tell their wait and service times, so there is no split to draw."
    else:
        return ""
    return f'<section><p class="note">{note}</p></section>'


def _provenance(summary: Mapping[str, Any]) -> str:
    pairs = {
        "duration": table.seconds_text(summary.get("duration_s")),
        "seed": summary.get("seed"),
        "schedule sha256": summary.get("schedule_sha256"),
        "summary schema": summary.get("schema_version"),
        **(summary.get("environment") or {}),
    }
    return f"<section><h2>Provenance</h2>{_facts(pairs)}</section>"


# ---- rates and response times over time ----------------------------------------------------------


class TimeBins(msgspec.Struct, frozen=True):
    """Equal bins from the run's start to its last instant: at most 600, of 1 s or more unless it is short."""

    width_s: float
    count: int
    axis: TimeAxis

    @classmethod
    def of(cls, outcomes: Outcomes) -> TimeBins:
        offered_s = int(outcomes.intended_ns.max(initial=0)) / _NS_PER_S
        span_s = max(offered_s, int(outcomes.done_ns.max(initial=0)) / _NS_PER_S)
        fitting = (w for w in _BIN_WIDTHS_S if span_s <= w * (50 if w < 1 else _MOST_BINS))
        width_s = next(fitting, span_s / _MOST_BINS)
        # The last responses, a few ms past the edge, get no bin to themselves.
        count = max(int(offered_s / width_s) + 1, math.ceil(span_s / width_s - 0.1))
        return cls(width_s, count, TimeAxis.of(span_s))

    @property
    def centres(self) -> list[float]:
        return [self.axis.at((number + 0.5) * self.width_s) for number in range(self.count)]

    @property
    def layout(self) -> dict[str, Any]:
        return self.axis.layout(self.count * self.width_s)

    @property
    def phrase(self) -> str:
        return "second" if self.width_s == 1 else f"{self.width_s:g} s"

    def number(self, instants_ns: Numbers) -> Numbers:
        found: Numbers = np.minimum((instants_ns / (self.width_s * _NS_PER_S)).astype(int), self.count - 1)
        return found

    def counts(self, instants_ns: Numbers) -> Numbers:
        return np.bincount(self.number(instants_ns), minlength=self.count)

    def means(self, instants_ns: Numbers, values: Numbers) -> list[float | None]:
        sums = np.bincount(self.number(instants_ns), weights=values, minlength=self.count)
        counts = self.counts(instants_ns)
        return points(sums / np.where(counts, counts, np.nan))

    def percentiles(self, instants_ns: Numbers, values: Numbers) -> list[list[float | None]]:
        """One list per entry of ``_PERCENTILES``, one value per bin; None in a bin without values."""
        numbers = self.number(instants_ns)
        order = np.argsort(numbers, kind="stable")
        edges = np.searchsorted(numbers[order], np.arange(1, self.count))
        ranks, nothing = list(_PERCENTILES), np.full(len(_PERCENTILES), np.nan)
        parts = np.split(values[order], edges)
        rows = [np.percentile(part, ranks) if len(part) else nothing for part in parts]
        return [points(column) for column in np.transpose(rows)]


def _rates_chart(outcomes: Outcomes, bins: TimeBins, summary: Mapping[str, Any]) -> Chart:
    offered = bins.counts(outcomes.intended_ns) / bins.width_s
    achieved = bins.counts(outcomes.done_ns[outcomes.done_ns >= 0]) / bins.width_s
    caption = f"Requests by their intended time, responses by their arrival, in each {bins.phrase}."
    if table.mode_text(summary) == "closed-loop":
        caption += " A closed loop offers only what the server can take."
    edges = [bins.axis.at(number * bins.width_s) for number in range(bins.count + 1)]
    style = {"shape": "hv", "hover": "%{y:,.0f}/s"}
    # The last value twice: a step needs its far edge.
    offered, achieved = (np.append(rates, rates[-1:]) for rates in (offered, achieved))
    traces = [
        line("offered", edges, points(offered), "--faint", fill="--faint-fill", **style),
        line("achieved", edges, points(achieved), "--main", **style),
    ]
    axes = (bins.axis.title, "Requests per second")
    shown = traces if len(outcomes.intended_ns) else []
    return Chart("rates", "Offered and achieved rate", caption, shown, axes, {"xaxis": bins.layout})


def _latency_chart(outcomes: Outcomes, bins: TimeBins) -> Chart:
    done = outcomes.done_ns >= 0
    intended_ns = outcomes.intended_ns[done]
    response_ms = (outcomes.done_ns[done] - intended_ns) / 1e6
    columns = bins.percentiles(intended_ns, response_ms)
    traces = [
        line(f"p{rank}", bins.centres, column, color, hover="%{y:,.4~g} ms")
        for (rank, color), column in zip(_PERCENTILES.items(), columns, strict=True)
    ]
    caption = f"From the time a request was meant to go out to the end of its response, by {bins.phrase}."
    missing = len(done) - int(done.sum())
    if missing:
        caption += f" {table.count_text(missing)} without a response are not in it."
    steep = len(response_ms) and response_ms.max() > 50 * max(float(np.median(response_ms)), 1e-3)
    layout = {"xaxis": bins.layout, "yaxis": {"type": "log", "dtick": 1} if steep else {}}
    axes = (bins.axis.title, "Response time (ms, log scale)" if steep else "Response time (ms)")
    return Chart("latency", "Response time", caption, traces if done.any() else [], axes, layout)


def _errors_chart(outcomes: Outcomes, bins: TimeBins) -> Chart:
    counts = np.bincount(outcomes.kind, minlength=len(outcomes.kinds))
    ranked = sorted((i for i in range(1, len(counts)) if counts[i]), key=lambda i: -counts[i])
    groups = [(outcomes.kinds[i], [i]) for i in ranked[:_MOST_KINDS]]
    if ranked[_MOST_KINDS:]:
        groups[-1:] = [("others", ranked[_MOST_KINDS - 1 :])]
    traces = []
    for place, (name, members) in enumerate(groups):
        instants_ns = outcomes.intended_ns[np.isin(outcomes.kind, members)]
        label = f"{escape(name)} ({table.count_text(len(instants_ns))})"  # plotly reads markup in names
        counted = bins.counts(instants_ns).tolist()
        traces.append(bar(label, bins.centres, counted, f"--error-{place}", "%{y:,}"))
    caption = f"Requests without a right answer, by their intended time, in each {bins.phrase}."
    layout = {"barmode": "stack", "showlegend": True, "xaxis": bins.layout}
    return Chart("errors", "Errors by kind", caption, traces, (bins.axis.title, "Requests"), layout)


# ---- where the response time goes ------------------------------------------------------------------


class Parts(msgspec.Struct, frozen=True):
    """The response times that can be split, in ms. The rows of ``split`` are ``_PARTS``; they add up."""

    intended_ns: Numbers
    response: Numbers
    split: Numbers

    @classmethod
    def of(cls, outcomes: Outcomes) -> Parts:
        columns = (outcomes.sent_ns, outcomes.done_ns, outcomes.wait_ns, outcomes.service_ns)
        known = np.logical_and.reduce([column >= 0 for column in columns])
        sent_ns, done_ns, wait_ns, service_ns = (column[known] for column in columns)
        intended_ns = outcomes.intended_ns[known]
        lag_ns = sent_ns - intended_ns
        rest_ns = done_ns - sent_ns - wait_ns - service_ns
        split = np.array([lag_ns, wait_ns, service_ns, rest_ns]) / 1e6
        return cls(intended_ns, (done_ns - intended_ns) / 1e6, split)

    def around(self, rank: float) -> Numbers:
        """
        Mean parts of the requests whose response time is around the *rank* percentile.

        Unlike the parts' own percentiles these add up. Around: the nearest 1 % of all.
        """
        order = np.argsort(self.response, kind="stable")
        middle = round(rank / 100 * (len(order) - 1))
        reach = len(order) // 200
        nearest = order[max(0, middle - reach) : middle + reach + 1]
        means: Numbers = self.split[:, nearest].mean(axis=1)
        return means


def _split_chart(parts: Parts) -> Chart:
    known = len(parts.response) > 0
    columns = {f"p{rank}": parts.around(rank) for rank in _PERCENTILES} if known else {}
    traces = []
    for row, (name, color) in enumerate(_PARTS.items()):
        widths = points(np.array([column[row] for column in columns.values()]))
        traces.append(bar(name, widths, list(columns), color, "%{x:,.3~g} ms", orientation="h"))
    caption = (
        "Mean parts of the requests around each percentile of the response time, so that they add up. "
        "The rest is network and rendering."
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
        _split_table(parts) if known else "",
        height=260,
    )


def _split_table(parts: Parts) -> str:
    columns = ("part", *(f"p{rank}" for rank in _PERCENTILES), "mean")
    head = "".join(f"<th>{column}</th>" for column in columns)
    rows = []
    for name, values in zip((*_PARTS, "response"), (*parts.split, parts.response), strict=True):
        figures = [*np.percentile(values, list(_PERCENTILES)), values.mean()]
        cells = "".join(f"<td>{table.ms_text(float(figure))}</td>" for figure in figures)
        rows.append(f"<tr><td>{name}</td>{cells}</tr>")
    note = '<p class="note">Each part by itself: the means add up, percentiles do not.</p>'
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(rows)}</table></div>{note}'


def _means_chart(parts: Parts, bins: TimeBins) -> Chart:
    traces = []
    for (name, color), values in zip(_PARTS.items(), parts.split, strict=True):
        means = bins.means(parts.intended_ns, values)
        traces.append(bar(name, bins.centres, means, color, "%{y:,.3~g} ms"))
    caption = f"Mean parts of the response time, by {bins.phrase} of the intended time."
    layout = {"barmode": "stack", "bargap": 0, "xaxis": bins.layout}
    shown = traces if len(parts.response) else []
    return Chart(
        "means", "Where it goes over time", caption, shown, (bins.axis.title, "Mean time (ms)"), layout
    )


def _batch_chart(outcomes: Outcomes) -> Chart:
    told = (outcomes.batch_size > 0) & (outcomes.batch_id >= 0)
    _, first = np.unique(outcomes.batch_id[told], return_index=True)
    batches = np.bincount(outcomes.batch_size[told][first])
    requests = np.bincount(outcomes.batch_size[told], minlength=len(batches))
    sizes = np.flatnonzero(batches)
    shares = [table.share_text(count, requests.sum()) for count in requests[sizes]]
    hover = "%{y:,} batches of %{x}<br>%{customdata} of the requests<extra></extra>"
    trace = bar("", sizes.tolist(), batches[sizes].tolist(), "--main", hover, customdata=shares)
    per_batch, per_request = (table.number_text(_mean_index(weights)) for weights in (batches, requests))
    caption = (
        f"{table.count_text(batches.sum())} batches of {per_batch} rows on average, each counted once. "
        f"The average request was in a batch of {per_request}."
    )
    layout = {"showlegend": False, "hovermode": "closest"}
    axes = ("Batch size (rows)", "Batches")
    return Chart("batches", "Batch sizes", caption, [trace] if len(sizes) else [], axes, layout)


def _mean_index(weights: Numbers) -> float:
    return float(weights @ np.arange(len(weights)) / max(1, weights.sum()))
