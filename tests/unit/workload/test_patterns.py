"""The built-in patterns resemble the reference's, whose figures are written out here."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from streambox.errors import UsageError
from streambox.workload.patterns import (
    DEFAULT_UNITS,
    PATTERN_TYPES,
    BurstShape,
    bursty,
    generate,
    periodic,
    sporadic,
)

SEEDS = range(6)


def dispersion(counts, units: int) -> float:
    """Variance over mean of the counts in windows of *units*."""
    sums = np.asarray(counts)[: len(counts) // units * units].reshape(-1, units).sum(axis=1)
    return float(sums.var() / sums.mean())


def correlation(counts, lag: int) -> float:
    centred = np.asarray(counts) - np.mean(counts)
    return float((centred[:-lag] * centred[lag:]).sum() / (centred**2).sum())


def mean_over_seeds(kind: str, figure) -> float:
    return float(np.mean([figure(generate(kind, DEFAULT_UNITS[kind], seed)) for seed in SEEDS]))


@pytest.mark.parametrize(
    ("figure", "reference", "tolerance"),
    [
        (np.mean, 1512, 75),
        (np.max, 3149, 100),
        (np.min, 93, 80),
        (lambda counts: np.max(counts) / np.mean(counts), 2.08, 0.1),
        (lambda counts: dispersion(counts, 1), 872, 90),
        (lambda counts: dispersion(counts, 10), 2223, 350),
        (lambda counts: dispersion(counts, 60), 356, 250),
        (lambda counts: correlation(counts, 1), 0.66, 0.06),
        (lambda counts: correlation(counts, 12), -0.46, 0.12),
        (lambda counts: correlation(counts, 23), 0.77, 0.06),
        (lambda counts: correlation(counts, 46), 0.65, 0.1),
    ],
)
def test_bursty_has_the_references_figures(figure, reference, tolerance):
    assert mean_over_seeds("bursty", figure) == pytest.approx(reference, abs=tolerance)


@pytest.mark.parametrize(
    ("figure", "reference", "tolerance"),
    [
        (np.mean, 77, 6),
        (np.max, 389, 12),
        (lambda counts: np.mean(np.equal(counts, 0)), 0.51, 0.04),
        (lambda counts: dispersion(counts, 1), 148, 12),
        (lambda counts: dispersion(counts, 10), 824, 120),
        (lambda counts: correlation(counts, 100), -0.40, 0.08),
        (lambda counts: correlation(counts, 200), 0.39, 0.08),
    ],
)
def test_periodic_has_the_references_figures(figure, reference, tolerance):
    assert mean_over_seeds("periodic", figure) == pytest.approx(reference, abs=tolerance)


@pytest.mark.parametrize(
    ("figure", "reference", "tolerance"),
    [
        (np.mean, 1.5, 0.3),
        (np.max, 88, 12),
        (lambda counts: np.mean(np.equal(counts, 0)), 0.972, 0.01),
        (lambda counts: dispersion(counts, 1), 67, 9),
        (lambda counts: correlation(counts, 1), 0, 0.04),
    ],
)
def test_sporadic_has_the_references_figures(figure, reference, tolerance):
    assert mean_over_seeds("sporadic", figure) == pytest.approx(reference, abs=tolerance)


def test_periodic_follows_its_formula():
    """max(0, floor(A sin(2πt/P) + offset + U(−r, r))): without noise it is the sine itself."""
    counts = periodic(400, 0, amplitude=100, period=40, noise=0, offset=10)
    t = np.arange(400)
    assert counts.tolist() == np.maximum(0, np.floor(100 * np.sin(2 * np.pi * t / 40) + 10)).tolist()


def test_periodic_noise_is_uniform_around_the_sine():
    noise = periodic(20_000, 3, amplitude=0, noise=50, offset=1000) - 1000
    assert noise.min() >= -50
    assert noise.max() <= 50
    assert noise.std() == pytest.approx(100 / np.sqrt(12), rel=0.02)


def test_sporadic_units_are_busy_as_often_and_as_much_as_asked():
    counts = sporadic(200_000, 1, share=0.1, largest=9)
    assert counts.max() == 9
    assert np.mean(counts > 0) == pytest.approx(0.1 * 0.9, rel=0.05)


def test_bursts_that_are_all_whole_come_on_a_regular_beat():
    shape = BurstShape(beat=(20, 0), burst=(5, 0), pieces=(1, 1), floor_level=(0, 0), spike=(0, 0))
    busy = bursty(2000, 0, shape) > 0
    starts = np.flatnonzero(~busy[:-1] & busy[1:])
    assert set(np.diff(starts).tolist()) == {20}
    assert busy.mean() == pytest.approx(6 / 20, abs=0.02)  # five units, from within one into another


def test_broken_bursts_keep_the_load_and_lose_the_long_runs():
    whole = BurstShape(pieces=(1, 1))
    broken = BurstShape(pieces=(4, 4))
    assert bursty(5000, 1, broken).mean() == pytest.approx(bursty(5000, 1, whole).mean(), rel=0.06)
    assert dispersion(bursty(5000, 1, broken), 10) < 0.8 * dispersion(bursty(5000, 1, whole), 10)


@pytest.mark.parametrize("kind", PATTERN_TYPES)
def test_the_same_seed_gives_the_same_pattern_and_another_seed_another(kind):
    assert generate(kind, 500, 7) == generate(kind, 500, 7)
    assert generate(kind, 500, 7) != generate(kind, 500, 8)


@pytest.mark.parametrize("kind", PATTERN_TYPES)
def test_a_longer_pattern_begins_with_the_shorter_one(kind):
    assert generate(kind, 900, 2)[:300] == generate(kind, 300, 2)


@pytest.mark.parametrize("kind", PATTERN_TYPES)
def test_counts_are_plain_whole_numbers_from_zero(kind):
    counts = generate(kind, 1000, 0)
    assert all(type(count) is int and count >= 0 for count in counts)


def test_an_unknown_pattern_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match="bursty, periodic, sporadic"):
        generate("spiky", 10, 0)


def test_a_pattern_of_no_units_is_refused():
    with pytest.raises(UsageError, match="at least 1"):
        generate("bursty", 0, 0)


def test_a_pattern_longer_than_memory_is_refused():
    with pytest.raises(UsageError, match="at most"):
        generate("periodic", 10**12, 0)


@pytest.mark.parametrize(
    ("units", "seed", "sha256"),
    [
        (1, 0, "fe675fe7aaee830b"),
        (300, 7, "bb686dc8fbd622e8"),
        (1440, 0, "80d62ad009f67585"),
        (1440, 7, "7b6e85dd8773daeb"),
        (5000, 0, "ef2916806a856a8d"),
    ],
)
def test_a_bursty_pattern_stays_what_it_is(units, seed, sha256):
    text = " ".join(map(str, generate("bursty", units, seed)))
    assert hashlib.sha256(text.encode()).hexdigest().startswith(sha256)


def test_a_bursty_pattern_of_a_month_in_seconds_comes_to_an_end():
    """Were each burst compared with each unit, it would take hours."""
    assert np.mean(generate("bursty", 30 * 86_400, 0)) == pytest.approx(1512, abs=75)
