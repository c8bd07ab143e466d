"""Intervals: as wide as they should be, and none where there is nothing to tell them from."""

from __future__ import annotations

import math

import numpy as np
import pytest

from streambox.experiments.estimate import Estimate, difference_of_means
from streambox.experiments.figures import FIGURES, estimate_of_repeats


def test_repeats_vary_by_students_interval_around_their_mean():
    estimate = Estimate.of_repeats([10.0, 12.0, 14.0])
    assert estimate.value == 12
    assert estimate.high - 12 == 12 - estimate.low == pytest.approx(4.303 * 2 / math.sqrt(3))


def test_an_interval_does_not_go_where_the_figure_cannot_be():
    by_name = {figure.name: figure for figure in FIGURES}
    assert estimate_of_repeats(by_name["send lag p99"], [0.1, 0.9]).low == 0
    assert estimate_of_repeats(by_name["ok"], [100.0, 99.0]).high == 100
    assert estimate_of_repeats(by_name["throughput"], [100.0, 99.0]).high > 100


def test_students_interval_covers_the_truth_as_often_as_it_says():
    random = np.random.default_rng(5)
    samples = random.normal(100, 7, (2000, 4))
    missed = [Estimate.of_repeats(sample.tolist()).excludes(100) for sample in samples]
    assert np.mean(missed) == pytest.approx(0.05, abs=0.015)


def test_the_middle_of_many_resamples_is_the_interval():
    estimate = Estimate.of_resamples(0.5, np.linspace(0, 1, 10_001), draws=10**6)
    assert (estimate.low, estimate.high) == (pytest.approx(0.025, abs=1e-3), pytest.approx(0.975, abs=1e-3))


def test_of_few_draws_more_than_the_middle_95_per_cent_is_taken():
    resamples = np.linspace(0, 1, 10_001)
    few, many = (Estimate.of_resamples(0.5, resamples, draws) for draws in (5, 500))
    assert few.low < 0.002 < many.low
    assert many.high < 0.998 < few.high


@pytest.mark.parametrize(
    ("made", "value", "why"),
    [
        (Estimate.of_repeats([]), None, "nothing was measured"),
        (Estimate.of_repeats([3.0, math.nan]), None, "a repeat does not tell"),
        (Estimate.of_repeats([3.0]), 3.0, "one repeat does not vary"),
        (Estimate.of_resamples(math.nan, np.zeros(9), 50), None, "the run does not tell"),
        (Estimate.of_resamples(3.0, np.full(9, np.nan), 50), 3.0, "resamples do not tell"),
        (Estimate.of_resamples(3.0, np.ones(9), 1), 3.0, "a single draw does not vary"),
    ],
)
def test_where_nothing_tells_there_is_no_interval_and_nothing_is_excluded(made, value, why):
    assert (made.value, made.low, made.high) == (value, None, None), why
    assert not made.excludes(0)


def test_what_a_pair_has_in_common_does_not_blur_its_difference():
    before, after = [10.0, 50.0, 90.0], [11.0, 51.1, 90.9]
    assert difference_of_means(before, after, paired=True).excludes(0)
    assert not difference_of_means(before, after, paired=False).excludes(0)


def test_welchs_interval_covers_the_difference_as_often_as_it_says():
    random = np.random.default_rng(6)
    missed = [
        difference_of_means(
            random.normal(10, 1, 5).tolist(), random.normal(12, 4, 8).tolist(), paired=False
        ).excludes(2)
        for _ in range(2000)
    ]
    assert np.mean(missed) == pytest.approx(0.05, abs=0.015)


def test_repeats_that_are_all_alike_have_an_interval_of_no_width():
    estimate = difference_of_means([2.0, 2.0], [2.0, 2.0], paired=False)
    assert (estimate.low, estimate.high) == (0, 0)
    assert not estimate.excludes(0)
