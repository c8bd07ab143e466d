"""What each lane got out of a run, and how fairly."""

from __future__ import annotations

import math

import numpy as np
import pytest

from made_runs import LANES, MS, fail, make_eventful_run, make_run
from streambox.loadgen import record
from streambox.loadgen.report.tenants import figures_by_lane, jain
from streambox.loadgen.slo import parse_objective


def test_every_request_is_in_the_figures_of_its_lane(monkeypatch):
    monkeypatch.setattr(record, "_ROWS_AT_ONCE", 1000)
    outcomes = make_eventful_run()
    for number, found in enumerate(figures_by_lane(outcomes, LANES, 60.0)):
        mine = outcomes.of_lanes(np.arange(len(LANES)) == number)
        assert found.lane == LANES[number]
        assert (found.offered, found.ok) == (len(mine), mine.ok.sum())
        assert found.errors == mine.errors()
        assert found.goodput_per_s == pytest.approx(mine.ok.sum() / 60)
        assert found.p50_ms == pytest.approx(np.percentile(mine.response_ns, 50) / 1e6, rel=0.01)
        assert found.p99_ms == pytest.approx(np.percentile(mine.response_ns, 99) / 1e6, rel=0.02)


def test_an_answer_that_came_too_late_for_an_objective_is_no_goodput():
    outcomes = make_run(count=3000)
    outcomes.lane[:] = np.arange(3000) % 2
    outcomes.done_ns[:300] += 100 * MS
    objectives = [parse_objective("tenant=acme:p99<50ms")]
    first, second = figures_by_lane(outcomes, LANES[:2], 30.0, objectives)
    assert (first.goodput_per_s, second.goodput_per_s) == (pytest.approx(1350 / 30), pytest.approx(1500 / 30))
    assert first.ok == 1500


def test_a_lane_without_an_answer_has_no_percentiles():
    outcomes = make_run(count=10)
    outcomes.lane[5:] = 1
    fail(outcomes, slice(5, 10), "timeout")
    answered, silent, absent = figures_by_lane(outcomes, LANES[:3], 1.0)
    assert math.isfinite(answered.p99_ms)
    assert math.isnan(silent.p99_ms)
    assert silent.errors == {"timeout": 5}
    assert (absent.offered, absent.ok, absent.errors) == (0, 0, {})


@pytest.mark.parametrize(
    ("shares", "index"),
    [([5, 5, 5, 5], 1), ([1, 0, 0, 0], 1 / 4), ([1, 2, 3], 36 / (3 * 14)), ([7], 1)],
)
def test_jains_index_is_1_where_all_get_the_same_and_one_nth_where_one_gets_all(shares, index):
    assert jain(shares) == pytest.approx(index)
    assert jain([share * 1e9 for share in shares]) == pytest.approx(index)


def test_where_nobody_gets_anything_nothing_can_be_said_of_fairness():
    assert jain([0, 0]) is None
    assert jain([]) is None


def test_a_run_of_no_time_has_figures():
    outcomes = make_run(count=2)
    assert all(math.isfinite(one.goodput_per_s) for one in figures_by_lane(outcomes, LANES[:2], 0.0))
