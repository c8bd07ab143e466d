"""What ``load find-max`` has found as a page that opens offline: the curve, and where it ends."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any, Final

from streambox.loadgen.find_max import PERCENTILES
from streambox.loadgen.probe import crossing_text
from streambox.page import Chart, cards, page

if TYPE_CHECKING:
    from pathlib import Path

    from streambox.loadgen.find_max import Found
    from streambox.loadgen.probe import FindOptions

_NEAR: Final = 1.4
_COLORS: Final = {"holds": "--valid", "fails": "--failed"}


def write_found(path: Path, options: FindOptions, found: Found) -> None:
    """Write the page. Raises OSError."""
    charts = [_latency_chart(found)]
    charts[:0] = [_share_chart(options, found, index) for index in range(len(options.objectives))]
    objectives = ", ".join(objective.text for objective in options.objectives)
    headline = (
        "No rate holds" if found.rate_per_s is None else f"{found.rate_per_s:,.1f}/s holds {objectives}"
    )
    remarks = "" if found.crossing is None else f"<li>{crossing_text(found.crossing).capitalize()}</li>"
    if found.interrupted:
        remarks += "<li>Interrupted before the search was over</li>"
    segments = sum(len(trial.segments) for trial in found.trials)
    level = "failed" if found.rate_per_s is None or found.interrupted else "valid"
    body = [
        f'<header class="verdict" style="--level:var(--{level})"><p class="kind">Highest rate</p>'
        f"<h1>{escape(headline)}</h1><ul>{remarks}</ul></header>",
        cards(
            {
                "clearly holds": _rate(found.low),
                "clearly fails": _rate(found.high),
                "arrivals": options.arrivals,
                "segments": f"{segments} of {options.segment_ns / 1e9:g} s",
            }
        ),
        *(chart.section() for chart in charts if chart.traces),
    ]
    path.write_text(page(f"{headline} – find-max", body, charts), encoding="utf-8")


def _rate(rate: float | None) -> str:
    return "–" if rate is None else f"{rate:,.1f}/s"


def _share_chart(options: FindOptions, found: Found, index: int) -> Chart:
    """The share that missed the objective at every rate, with its interval over the segments."""
    objective = options.objectives[index]
    allowed = 100 * (objective.allowed or 0.0)
    traces = [_shares(found, index, verdict) for verdict in ("holds", "fails")]
    traces = [trace for trace in traces if trace["x"]]
    shapes: list[dict[str, Any]] = [
        {
            "type": "line",
            "xref": "paper",
            "x0": 0,
            "x1": 1,
            "y0": allowed,
            "y1": allowed,
            "line": {"color": "--quiet", "width": 1.5, "dash": "dot"},
        }
    ]
    crossing = found.crossing
    if crossing is not None and crossing.low is not None and crossing.high is not None:
        band = {"type": "rect", "yref": "paper", "y0": 0, "y1": 1, "layer": "below", "line": {"width": 0}}
        shapes.append({**band, "x0": crossing.low, "x1": crossing.high, "fillcolor": "--main-fill"})
    top = _top(found, index, allowed)
    layout = {
        "hovermode": "closest",
        "shapes": shapes,
        "xaxis": _around(found),
        "yaxis": {"range": [-0.03 * top, top]},  # so that a mark at 0 is whole
    }
    caption = (
        f"The share of requests that missed {objective.text} at each rate, with 99 % intervals over the "
        f"segments. The dotted line is what may miss it, {allowed:g} %; the band is where the limit lies."
    )
    axes = ("Offered (requests per second)", "Missed (%)")
    return Chart(f"missed-{index}", f"Where {objective.text} ends", caption, traces, axes, layout, height=340)


def _around(found: Found) -> dict[str, Any]:
    """The rates near the limit; all of them where none is known."""
    if found.crossing is None:
        return {"type": "log", "rangemode": "normal"} if _is_wide(found) else {}
    return {"range": [found.crossing.rate_per_s / _NEAR, found.crossing.rate_per_s * _NEAR]}


def _shares(found: Found, index: int, verdict: str) -> dict[str, Any]:
    trials = [trial for trial in found.trials if trial.verdict == verdict]
    reaches = [100 * reach if math.isfinite(reach := trial.reach(index)) else 0.0 for trial in trials]
    shares = [100 * trial.share(index) for trial in trials]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": verdict,
        "x": [round(trial.rate_per_s, 3) for trial in trials],
        "y": [round(share, 4) for share in shares],
        "error_y": {
            "array": [round(reach, 4) for reach in reaches],
            "arrayminus": [round(min(reach, share), 4) for reach, share in zip(reaches, shares, strict=True)],
            "color": _COLORS[verdict],
            "thickness": 1.2,
        },
        "marker": {
            "color": _COLORS[verdict],
            "size": 9,
            "symbol": ["circle" if trial.clear else "circle-open" for trial in trials],
        },
        "customdata": [len(trial.segments) for trial in trials],
        "hovertemplate": "%{x:,.1f}/s: %{y:.3f} % missed it, %{customdata} segments<extra></extra>",
    }


def _top(found: Found, index: int, allowed: float) -> float:
    """What is far beyond what is allowed would press the rest flat, and is cut off."""
    most = max((100 * trial.share(index) for trial in found.trials), default=0.0)
    return min(max(1.1 * most, 2 * allowed), 10 * allowed)


def _latency_chart(found: Found) -> Chart:
    traces = []
    for name, color in zip(PERCENTILES, ("--low", "--high"), strict=True):
        known = [(t.rate_per_s, ms) for t in found.trials if (ms := t.percentile_ms(name)) is not None]
        trace = {
            "type": "scatter",
            "mode": "lines+markers",
            "name": name.removesuffix("_ms"),
            "x": [round(rate, 3) for rate, _ in known],
            "y": [round(ms, 3) for _, ms in known],
            "line": {"color": color, "width": 2},
            "marker": {"color": color, "size": 6},
            "hovertemplate": "%{x:,.1f}/s: %{y:,.4~g} ms<extra></extra>",
        }
        if known:
            traces.append(trace)
    layout = {
        "hovermode": "closest",
        "xaxis": {"type": "log", "rangemode": "normal"} if _is_wide(found) else {},
        "yaxis": {"type": "log", "rangemode": "normal"},
    }
    caption = "Response times at each rate, means of the segments' percentiles."
    axes = ("Offered (requests per second)", "Response time (ms, log scale)")
    return Chart("latency", "Response time against the rate", caption, traces, axes, layout, height=320)


def _is_wide(found: Found) -> bool:
    rates = [trial.rate_per_s for trial in found.trials]
    return bool(rates) and max(rates) > 10 * min(rates)
