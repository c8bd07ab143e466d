"""How long the requests of each model and tenant took where their trace was taken."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from streambox.errors import UsageError
from streambox.workload.schedule import Lane
from streambox.workload.traces.durations import averaged, extremes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from streambox.workload.events import Events, Int64s
    from streambox.workload.lanes import Assigned
    from streambox.workload.traces.durations import Durations

_DECIMALS: Final = 6
_MOST_LANES_SHOWN: Final = 20


def lane_durations(events: Events, assigned: Assigned, durations: Durations) -> dict[str, Any]:
    """
    What *durations* tell of the *events* of each lane, as a recipe has it.

    The durations of ``functions_timed`` of the ``functions`` are known. Each of ``lanes``, in the order
    of the schedule's, has its ``requests``, how many of these are ``timed``, that is, call such a
    function, and over the timed ones ``mean_ms``, ``minimum_ms``, ``maximum_ms`` and
    ``percentiles_ms``; None is what is not known. The mean, and each percentile, is the mean of the
    functions' own, a function counting as often as it is called. So the mean is that of the
    requests, while a percentile is no percentile of theirs.

    Raises UsageError where no function of the events is among the *durations*.
    """
    row = np.array([durations.row_of.get(name, -1) for name in events.functions], np.int64)
    found = int(np.count_nonzero(row >= 0))
    if not found:
        count = f"none of the {len(row):,} functions of the trace"
        raise UsageError(f"{durations.path}: has {count}: is it of the same data set?")
    return {
        "path": durations.path,
        "sha256": durations.sha256,
        "rows": durations.rows,
        "skipped": durations.skipped,
        "functions": len(row),
        "functions_timed": found,
        "lanes": list(_lanes(events, assigned, durations, row)),
    }


def _lanes(events: Events, assigned: Assigned, durations: Durations, row: Int64s) -> Iterator[dict[str, Any]]:
    """*row*: of each function, among the *durations*; -1: it has none."""
    count = len(assigned.lanes)
    timed = np.flatnonzero((row >= 0) & (assigned.of_function >= 0))
    lane, rows = assigned.of_function[timed], row[timed]
    calls = np.bincount(events.function, minlength=len(row))[timed].astype(np.float64)
    requests = np.bincount(assigned.lane, minlength=count).tolist()
    requests_timed = np.bincount(lane, calls, count).tolist()
    each_ms = np.column_stack([durations.mean_ms, durations.percentiles_ms])[rows]
    means_ms = averaged(lane, calls, each_ms, count)
    extremes_ms = extremes(lane, durations.minimum_ms[rows], durations.maximum_ms[rows], count)
    for number, (model, tenant) in enumerate(assigned.lanes):
        mean_ms, *percentiles_ms = map(_told, means_ms[number].tolist())
        minimum_ms, maximum_ms = (_told(float(column[number])) for column in extremes_ms)
        yield {
            "model": model,
            "tenant": tenant,
            "requests": requests[number],
            "timed": int(requests_timed[number]),
            "mean_ms": mean_ms,
            "minimum_ms": minimum_ms,
            "maximum_ms": maximum_ms,
            "percentiles_ms": dict(zip(map(str, durations.percents), percentiles_ms, strict=True)),
        }


def _told(value_ms: float) -> float | None:
    return None if math.isnan(value_ms) else round(value_ms, _DECIMALS)


def describe(told: Mapping[str, Any]) -> Iterator[str]:
    """What ``lane_durations`` *told*, line by line."""
    rows = f"{told['rows']:,} rows, {told['skipped']:,} of them skipped"
    timed = f"durations of {told['functions_timed']:,} of {told['functions']:,} functions"
    yield f"{told['path']}: {rows}, {timed}"
    lanes = told["lanes"]
    for lane in lanes[:_MOST_LANES_SHOWN]:
        name = Lane(lane["model"], lane["tenant"])
        yield f"  {name}: {lane['timed']:,} of {lane['requests']:,} requests timed{_figures(lane)}"
    if len(lanes) > _MOST_LANES_SHOWN:
        yield f"  … and {len(lanes) - _MOST_LANES_SHOWN} more models and tenants"


def _figures(lane: Mapping[str, Any]) -> str:
    if lane["mean_ms"] is None:
        return ""
    figures = {"mean": lane["mean_ms"], "min": lane["minimum_ms"], "max": lane["maximum_ms"]}
    figures |= {f"p{percent}": value for percent, value in lane["percentiles_ms"].items()}
    known = (f"{name} {value:,.6g}" for name, value in figures.items() if value is not None)
    return f", in ms: {', '.join(known)}"
