"""Resamples of blocks: all blocks alike, as many in a row as they hang together, and intervals that hold."""

from __future__ import annotations

import numpy as np
import pytest

from streambox.experiments.bootstrap import block_length, draw_weights
from streambox.experiments.estimate import Estimate


def correlated(count: int, correlation: float, seed: int) -> np.ndarray:
    """x[n+1] = correlation x[n] + noise, in its steady state; its mean is 0."""
    random = np.random.default_rng(seed)
    noise = random.normal(0, 1, count)
    noise[0] /= np.sqrt(1 - correlation**2)
    series = np.empty(count)
    series[0] = noise[0]
    for index in range(1, count):
        series[index] = correlation * series[index - 1] + noise[index]
    return series


@pytest.mark.parametrize("length", [1, 3, 10, 25])
def test_every_resample_has_as_many_blocks_as_the_run_and_no_block_is_favoured(length):
    weights = draw_weights(10, length, 4000, np.random.default_rng(1))
    assert weights.shape == (4000, 10)
    assert (weights.sum(axis=1) == 10).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(10), abs=0.1)


def test_blocks_are_drawn_in_a_row_and_the_end_is_followed_by_the_beginning():
    weights = draw_weights(12, 4, 200, np.random.default_rng(2))
    for row in weights.astype(int):
        changes = np.count_nonzero(np.diff(row, append=row[0]))
        assert changes <= 6  # three rows of blocks have six ends


def test_the_same_seed_draws_the_same():
    first, second = (draw_weights(30, 2, 50, np.random.default_rng(3)) for _ in range(2))
    assert (first == second).all()


def test_what_does_not_hang_together_is_drawn_one_by_one_and_what_does_in_longer_rows():
    typical = [
        np.median([block_length(correlated(400, correlation, seed)) for seed in range(21)])
        for correlation in (0.0, 0.5, 0.9)
    ]
    assert typical[0] <= 3
    assert typical[0] < typical[1] < typical[2]
    # Politis and White's optimum for this series, (2 g²)^(1/3) with g = 2r/(1 - r²) sqrt(3/4), times n^(1/3).
    assert typical[1] == pytest.approx((1.5 * (1 / 0.75) ** 2 * 400) ** (1 / 3), rel=0.35)
    assert typical[2] == pytest.approx((1.5 * (1.8 / 0.19) ** 2 * 400) ** (1 / 3), rel=0.35)


@pytest.mark.parametrize("series", [[], [1.0], [1.0, 2.0] * 3, [5.0] * 100])
def test_of_too_little_or_of_nothing_that_varies_no_correlation_is_told(series):
    assert block_length(np.array(series)) == 1


def test_rows_never_take_more_than_a_third_of_the_run():
    assert block_length(np.sin(np.arange(30) / 8)) <= 10


@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_intervals_of_a_mean_hold_although_blocks_hang_together(correlation):
    """Drawn one by one, blocks correlated by 0.6 would give intervals that fail every third time."""
    missed = []
    for seed in range(300):
        series = correlated(240, correlation, 10_000 + seed)
        length = block_length(series)
        means = draw_weights(240, length, 300, np.random.default_rng(seed)) @ series / 240
        missed.append(Estimate.of_resamples(series.mean(), means, 240 // length).excludes(0))
    assert np.mean(missed) < 0.12
