"""The live display's percentiles."""

from __future__ import annotations

import numpy as np
import pytest

from streambox.loadgen.gauge import Gauge


def gauge_of(values) -> Gauge:
    gauge = Gauge()
    for value in values:
        gauge.add(int(value))
    return gauge


@pytest.mark.parametrize("scale_ns", [20, 5_000, 3_000_000, 10**10])
def test_percentiles_are_within_three_per_cent(scale_ns):
    values = np.random.default_rng(0).exponential(scale_ns, 20_000)
    for share, found in zip((0.5, 0.9, 0.99), gauge_of(values).percentiles(0.5, 0.9, 0.99), strict=True):
        assert found == pytest.approx(np.quantile(values, share), rel=0.04, abs=1)


def test_without_values_there_are_no_percentiles():
    assert Gauge().percentiles(0.5, 0.99) == [None, None]


def test_a_generation_is_forgotten_at_the_second_turn():
    gauge = gauge_of([1000] * 10)
    gauge.turn()
    assert gauge.percentiles(0.5)[0] == pytest.approx(1000, rel=0.04)
    gauge.turn()
    assert gauge.percentiles(0.5) == [None]


@pytest.mark.parametrize("value", [-5, 0, 1, 31, 32, 63, 64, 10**14, 10**30])
def test_any_value_has_a_bucket(value):
    (found,) = gauge_of([value]).percentiles(0.5)
    assert found is not None
    if 0 <= value < 10**15:
        assert found == pytest.approx(value, rel=0.04)


def test_what_one_has_taken_can_be_added_to_another():
    ours, theirs = gauge_of([1000] * 3), gauge_of([1000, 8000])
    whole = gauge_of([])
    for part in (ours, theirs):
        whole.add_all(part.take())
    assert ours.take() == {}
    assert whole.percentiles(0.75)[0] == pytest.approx(1000, rel=0.04)
    assert whole.percentiles(0.85)[0] == pytest.approx(8000, rel=0.04)
