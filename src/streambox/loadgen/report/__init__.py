"""
The report of a run: one HTML page that needs nothing but itself.

Figures are made of the outcomes by pure functions (``timeline``, ``distribution``, ``batches``),
drawn as charts (``time_charts``, ``response_charts``, ``batch_charts``), and put on a page under
what the run is worth (``head``, ``lanes``).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from streambox.loadgen import table
from streambox.loadgen.report import batch_charts, head, lanes, response_charts
from streambox.loadgen.report.batches import Batches
from streambox.loadgen.report.distribution import Responses
from streambox.loadgen.report.time_charts import TimeCharts
from streambox.loadgen.report.timeline import TimeBins, Timeline
from streambox.loadgen.split import Split
from streambox.page import page

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from streambox.loadgen.record import Outcomes
    from streambox.page import Chart

__all__ = ["write_report"]


def write_report(
    path: Path, outcomes: Outcomes, summary: Mapping[str, Any], recipe: Mapping[str, Any]
) -> None:
    """
    Write the page that shows a run.

    The figures of *summary* (summary.json) and the *recipe* of the schedule are shown as
    they are; what is drawn is made of the *outcomes*. Whatever their number, the page
    stays near the size of plotly.js (2 MB, packed), and what is held at once to a million
    of them.
    """
    measured = _measured(outcomes, summary)
    responses, split = Responses.of(measured), Split.of(measured)
    charts = _charts(outcomes, measured, summary, responses, split)
    body = [
        head.verdict(summary),
        head.recipe(summary, recipe),
        head.key_figures(summary),
        head.objectives(summary),
        lanes.section(summary),
        *(chart.section() for chart in charts if chart.traces),
        _note(outcomes, responses, split),
        head.environment(summary),
    ]
    title = f"{table.read_verdict(summary).headline} – load report"
    path.write_text(page(title, body, charts), encoding="utf-8")


def _measured(outcomes: Outcomes, summary: Mapping[str, Any]) -> Outcomes:
    """Those that the figures are about: the warm-up and the cool-down are only drawn over time."""
    if not summary.get("excluded"):
        return outcomes
    begin_s, end_s = summary["window_s"]
    return outcomes.between(round(begin_s * 1e9), round(end_s * 1e9))


def _window_s(outcomes: Outcomes, summary: Mapping[str, Any]) -> tuple[float, float] | None:
    """From when to when requests count; to the very end where the last of them does."""
    if not summary.get("excluded"):
        return None
    begin_s, end_s = summary["window_s"]
    return begin_s, end_s if outcomes.intended_ns[-1] >= end_s * 1e9 else math.inf


def _charts(
    outcomes: Outcomes, measured: Outcomes, summary: Mapping[str, Any], responses: Responses, split: Split
) -> list[Chart]:
    bins = TimeBins.of(outcomes)
    over_time = TimeCharts(Timeline.of(outcomes, bins), bins, _window_s(outcomes, summary))
    batches = Batches.of(measured)
    return [
        over_time.rates(summary),
        over_time.latency(),
        over_time.errors(outcomes.kinds),
        response_charts.histogram(responses),
        response_charts.tail(responses),
        response_charts.split(split),
        over_time.parts(),
        over_time.lag(),
        batch_charts.sizes(batches),
        over_time.batches(),
        batch_charts.reasons(batches),
    ]


def _note(outcomes: Outcomes, responses: Responses, split: Split) -> str:
    """Why charts are missing, if any are."""
    if not len(outcomes):
        note = "There is nothing to draw: no request was offered."
    elif not responses.intended.total:
        note = "No response came, so there are no response times to draw."
    elif not split.counts.any():
        note = "The responses do not tell of their batches, so there is no split to draw."
    else:
        return ""
    return f'<section><p class="note">{note}</p></section>'
