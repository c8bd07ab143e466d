"""Durations of functions become those of models and tenants."""

from __future__ import annotations

import json

import numpy as np
import pytest

from streambox.errors import UsageError
from streambox.workload.events import Events
from streambox.workload.lane_durations import describe, lane_durations
from streambox.workload.lanes import LaneRule, assign
from streambox.workload.traces.durations import Durations

NAN = float("nan")


def durations(**of: tuple[float, ...]) -> Durations:
    """*of* each function: mean, minimum, maximum, median and p99."""
    values = np.array(list(of.values()), np.float64)
    return Durations(
        path="d.csv",
        sha256="0",
        rows=len(of),
        skipped=0,
        reasons=(),
        row_of={name: row for row, name in enumerate(of)},
        mean_ms=values[:, 0],
        minimum_ms=values[:, 1],
        maximum_ms=values[:, 2],
        percents=(50, 99),
        percentiles_ms=values[:, 3:],
    )


def told(known: Durations, rule: LaneRule | None = None, **calls: int) -> dict:
    """Of a trace in which each function is called so often."""
    function = np.repeat(np.arange(len(calls), dtype=np.int32), list(calls.values()))
    events = Events(np.arange(len(function)), function, tuple(calls), len(function) or 1)
    return lane_durations(events, assign(events, rule or LaneRule(), "m"), known)


SLOW, FAST = (100, 20, 400, 90, 300), (10, 1, 50, 8, 40)


def test_a_function_counts_as_often_as_it_is_called():
    (lane,) = told(durations(f=SLOW, g=FAST), f=10, g=30)["lanes"]
    assert lane == {
        "model": "m",
        "tenant": "",
        "requests": 40,
        "timed": 40,
        "mean_ms": 32.5,
        "minimum_ms": 1,
        "maximum_ms": 400,
        "percentiles_ms": {"50": 28.5, "99": 105},
    }


def test_requests_of_functions_without_a_duration_count_for_nothing_but_are_told():
    found = told(durations(f=SLOW, z=FAST), f=10, g=30)
    assert (found["functions"], found["functions_timed"]) == (2, 1)
    (lane,) = found["lanes"]
    assert (lane["requests"], lane["timed"], lane["mean_ms"]) == (40, 10, 100)


def test_a_function_that_is_not_called_has_no_say():
    (lane,) = told(durations(f=SLOW, g=FAST), f=10, g=0)["lanes"]
    assert (lane["minimum_ms"], lane["mean_ms"]) == (20, 100)


def test_each_lane_has_the_durations_of_its_own_functions_in_the_order_of_the_schedules():
    rule = LaneRule(map="top-k:2+rest", models=("a", "b", "c"), tenants=("x", "y", "z"))
    found = told(durations(f=SLOW, g=FAST, i=SLOW), rule, f=10, g=30, h=5, i=2)
    lanes = [(lane["model"], lane["tenant"], lane["timed"], lane["mean_ms"]) for lane in found["lanes"]]
    assert lanes == [("a", "x", 30, 10), ("b", "y", 10, 100), ("c", "z", 2, 100)]


def test_what_is_dropped_has_no_say():
    (lane,) = told(durations(f=SLOW, g=FAST), LaneRule(map="top-k:1"), f=10, g=30)["lanes"]
    assert (lane["requests"], lane["timed"], lane["maximum_ms"]) == (30, 30, 50)


def test_what_is_not_known_is_none_and_the_recipe_stays_plain_json():
    rule = LaneRule(map="top-k:2", models=("a", "b"))
    first, second = told(durations(f=SLOW, x=FAST), rule, f=1, g=2)["lanes"]
    assert first["timed"] == 0
    assert first["mean_ms"] is first["minimum_ms"] is first["maximum_ms"] is None
    assert first["percentiles_ms"] == {"50": None, "99": None}
    assert second["mean_ms"] == 100
    json.dumps([first, second], allow_nan=False)


def test_a_minimum_that_was_not_recorded_leaves_that_of_the_others():
    (lane,) = told(durations(f=(5, NAN, NAN, 5, 5), g=FAST), f=10, g=30)["lanes"]
    assert (lane["minimum_ms"], lane["maximum_ms"], lane["timed"]) == (1, 50, 40)
    (lane,) = told(durations(f=(5, NAN, NAN, 5, 5)), f=10)["lanes"]
    assert (lane["minimum_ms"], lane["mean_ms"]) == (None, 5)


def test_durations_of_quite_other_functions_are_refused():
    with pytest.raises(
        UsageError, match=r"d\.csv: has none of the 2 functions of the trace: is it of the same"
    ):
        told(durations(x=FAST), f=10, g=30)


def test_a_line_for_each_lane_says_what_is_known_of_it():
    rule = LaneRule(map="top-k:2", models=("a", "b"), tenants=("x", "y"))
    assert list(describe(told(durations(g=FAST, z=SLOW), rule, f=1000, g=2))) == [
        "d.csv: 2 rows, 0 of them skipped, durations of 1 of 2 functions",
        "  a/x: 0 of 1,000 requests timed",
        "  b/y: 2 of 2 requests timed, in ms: mean 10, min 1, max 50, p50 8, p99 40",
    ]


def test_many_lanes_are_not_listed_at_length():
    calls = {f"m{number}": 1 for number in range(30)}
    lines = list(describe(told(durations(m3=FAST), LaneRule(map="own"), **calls)))
    assert len(lines) == 22
    assert lines[-1] == "  … and 10 more models and tenants"
