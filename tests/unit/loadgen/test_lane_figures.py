"""Figures by lane, by tenant and by model, and how fair they are."""

from __future__ import annotations

import numpy as np
import pytest

from streambox.loadgen.lane_figures import LaneFigures, jain, weights_of
from streambox.loadgen.record import OK, WRONG, Outcomes
from streambox.loadgen.slo import parse_objective
from streambox.workload.schedule import Lane

MS = 1_000_000
LANES = (Lane("m", "a"), Lane("m", "b"), Lane("n", "a"))


def figures(lanes=LANES, **more) -> LaneFigures:
    """Lane 0: answered in 1, 2, 3 and 4 ms. Lane 1: in 10 ms, wrong, and not at all. Lane 2: in 5 ms."""
    lane = np.array([0, 0, 0, 0, 1, 1, 1, 2], np.uint8)
    outcomes = Outcomes(np.zeros(8, np.int64), (OK, WRONG, "timeout"), lane)
    outcomes.done_ns[:] = np.array([1, 2, 3, 4, 10, 10, -1, 5]) * MS
    outcomes.done_ns[6] = -1
    outcomes.kind[:] = [0, 0, 0, 0, 0, 1, 2, 0]
    return LaneFigures(outcomes, lanes, duration_s=2.0, offered_s=1.0, **more)


def test_each_lane_has_its_own_figures():
    a, b, n = figures().summary([1, 2, 1])["lanes"]
    assert (a["model"], a["tenant"], a["weight"], a["offered"], a["ok"]) == ("m", "a", 1, 4, 4)
    assert (a["offered_per_s"], a["goodput_per_s"], a["errors"]) == (4, 2, {})
    assert (a["response_ms"]["p50"], a["response_ms"]["max"]) == (2.5, 4)
    assert (b["offered"], b["ok"], b["wrong"], b["weight"]) == (3, 1, 1, 2)
    assert b["errors"] == {WRONG: 1, "timeout": 1}
    assert b["response_ms"]["max"] == 10
    assert n["response_ms"]["p99"] == 5


def test_lanes_are_put_together_by_tenant_and_by_model():
    summary = figures().summary([1, 1, 1])
    assert [(each["tenant"], each["offered"]) for each in summary["tenants"]] == [("a", 5), ("b", 3)]
    assert [(each["model"], each["offered"]) for each in summary["models"]] == [("m", 7), ("n", 1)]
    assert summary["tenants"][0]["response_ms"]["max"] == 5


def test_where_it_tells_no_more_than_the_lanes_nothing_is_put_together():
    lanes = (Lane("m", "a"), Lane("m", "b"), Lane("m", "c"))
    summary = figures(lanes).summary([1, 1, 1])
    assert (summary["tenants"], summary["models"]) == ([], [])


def test_goodput_is_within_what_the_objectives_allow():
    found = figures(objectives=[parse_objective("tenant=a:p99<2500us")])
    assert [lane["goodput_per_s"] for lane in found.summary([1, 1, 1])["lanes"]] == [1.0, 0.5, 0.0]
    assert found.goodput_per_s() == 1.5


def test_fairness_is_between_tenants_by_weight():
    # a gets 5 in 2 s, b gets 1.
    assert figures().fairness([1, 1, 1]) == pytest.approx(jain([2.5 / 2, 0.5]), abs=1e-4)
    assert figures().fairness([2.5, 1, 2.5]) == 1.0


def test_without_tenants_fairness_is_between_models():
    lanes = (Lane("m"), Lane("n"), Lane("o"))
    assert figures(lanes).fairness([1, 1, 1]) == pytest.approx(jain([2, 0.5, 0.5]), abs=1e-4)


def test_of_one_party_there_is_no_fairness():
    assert figures((Lane("m", "a"), Lane("n", "a"), Lane("o", "a"))).fairness([1, 1, 1]) is None


@pytest.mark.parametrize(
    ("shares", "index"), [([1, 1, 1], 1), ([1, 0, 0, 0], 0.25), ([0, 0], None), ([3, 1], 0.8)]
)
def test_jains_index(shares, index):
    assert jain(shares) == (index if index is None else pytest.approx(index))


def test_weights_are_the_recipes_or_all_alike():
    assert weights_of({"weights": [1, 2, 3]}, LANES) == [1, 2, 3]
    assert weights_of({}, LANES) == weights_of({"weights": [1]}, LANES) == [1, 1, 1]
