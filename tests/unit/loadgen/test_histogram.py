"""Percentiles in a bounded room, and how far they may be off."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambox.loadgen import histogram as histogram_module
from streambox.loadgen.histogram import Durations, Histogram

RANKS = [50, 90, 99, 99.9]
SCALES_NS = [20_000, 5_000_000, 10**10]


def durations_of(*parts) -> Durations:
    durations = Durations()
    for part in parts:
        durations.add(np.asarray(part, np.int64))
    return durations


@pytest.fixture
def few_exact(monkeypatch):
    monkeypatch.setattr(histogram_module, "MOST_EXACT", 1000)


def test_of_few_values_percentiles_are_exact():
    values = np.random.default_rng(0).integers(0, 10**9, 1000)
    found = durations_of(values[:300], values[300:]).percentiles(RANKS)
    assert found.tolist() == np.percentile(values, RANKS).tolist()


@pytest.mark.parametrize("scale_ns", SCALES_NS)
def test_of_many_they_are_within_a_twentieth_of_a_per_cent(few_exact, scale_ns):
    values = np.random.default_rng(1).exponential(scale_ns, 100_000).astype(np.int64) + 1000
    found = durations_of(*np.array_split(values, 7)).percentiles(RANKS)
    exact = np.percentile(values, RANKS, method="nearest")
    assert found == pytest.approx(exact, rel=0.0005)


@given(st.lists(st.integers(0, 2**47), min_size=1, max_size=40), st.data())
def test_the_so_manieth_value_is_found_to_within_a_twentieth_of_a_per_cent(values, data):
    number = data.draw(st.integers(1, len(values)))
    histogram = Histogram()
    histogram.add(np.array(values, np.int64))
    (found,) = histogram.smallest(np.array([number]))
    assert found == pytest.approx(sorted(values)[number - 1], rel=0.0005, abs=1.001)
    assert durations_of(values).smallest(number) == sorted(values)[number - 1]


def test_histograms_of_parts_add_up_to_that_of_the_whole():
    values = np.random.default_rng(2).integers(0, 10**12, 5000)
    whole, merged = Histogram(), Histogram()
    whole.add(values)
    for part in np.array_split(values, 4):
        one = Histogram()
        one.add(part)
        merged.merge(one)
    assert (merged.counts == whole.counts).all()


def test_total_and_largest_are_exact_however_many_there_are(few_exact):
    values = np.random.default_rng(3).integers(0, 10**9, 5000)
    durations = durations_of(*np.array_split(values, 9))
    assert (durations.count, durations.total, durations.largest) == (5000, values.sum(), values.max())


def test_values_that_no_bucket_is_made_for_are_in_the_nearest():
    histogram = Histogram()
    histogram.add(np.array([-5, 0, 2**62]))
    assert histogram.counts.sum() == 3
    assert histogram.smallest(np.array([1, 3])) == pytest.approx([1, 2**48], rel=0.001)


def test_the_room_that_many_take_does_not_grow(few_exact):
    durations = durations_of(*[np.arange(5000)] * 3)
    assert not durations._exact
