"""Special functions against values that are known without them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambox.workload.processes.special import by_quantiles, digamma, gamma_cdf, kolmogorov_p

EULER = 0.57721566490153286


@pytest.mark.parametrize(
    ("x", "value"),
    [
        (1, -EULER),
        (2, 1 - EULER),
        (0.5, -EULER - 2 * math.log(2)),
        (0.25, -EULER - math.pi / 2 - 3 * math.log(2)),
    ],
)
def test_digamma_has_its_closed_forms(x, value):
    assert digamma(x) == pytest.approx(value, abs=1e-11)


@given(st.floats(1e-3, 1e4))
def test_digamma_is_the_slope_of_the_logarithm_of_gamma(x):
    step = 1e-4 * x
    slope = (math.lgamma(x + step) - math.lgamma(x - step)) / (2 * step)
    assert digamma(x) == pytest.approx(slope, abs=1e-5, rel=1e-5)


@given(st.integers(1, 60), st.lists(st.floats(0, 200), min_size=1, max_size=20))
def test_for_whole_shapes_the_gamma_distribution_is_a_sum_of_poisson_probabilities(shape, xs):
    x = np.array(xs)
    terms = [np.exp(-x) * x**n / math.factorial(n) for n in range(shape)]
    assert gamma_cdf(shape, x) == pytest.approx(1 - np.sum(terms, axis=0), abs=1e-9)


def test_for_a_shape_of_a_half_it_is_the_error_function():
    x = np.array([0.0, 1e-6, 0.3, 1.4, 1.6, 30.0, np.inf])
    exact = [math.erf(math.sqrt(value)) for value in x]
    assert gamma_cdf(0.5, x) == pytest.approx(exact, abs=1e-12)


@given(st.floats(1e-3, 1e4))
def test_it_grows_from_0_to_1(shape):
    values = gamma_cdf(shape, np.linspace(0, 3 * shape + 50, 300))
    assert values[0] == 0
    assert values[-1] == pytest.approx(1, abs=1e-6)
    assert (np.diff(values) >= -1e-9).all()


@pytest.mark.parametrize("shape", [0.3, 4])
def test_between_quantiles_it_is_interpolated(shape):
    x = np.random.default_rng(1).gamma(shape, 1, 200_000)
    found = by_quantiles(lambda knots: gamma_cdf(shape, knots), x)
    assert 0 < np.abs(found - gamma_cdf(shape, x)).max() < 1 / 4096


@pytest.mark.parametrize(
    ("reach", "p"), [(0.8276, 0.5), (1.2238, 0.1), (1.3581, 0.05), (1.6276, 0.01), (1.9495, 0.001)]
)
def test_kolmogorovs_distribution_has_its_tabulated_values(reach, p):
    count = 10**8
    assert kolmogorov_p(reach / math.sqrt(count), count) == pytest.approx(p, rel=2e-3)


def test_kolmogorovs_p_is_uniform_for_uniform_values():
    rng = np.random.default_rng(2)
    found = []
    for _ in range(400):
        values = np.sort(rng.random(50))
        steps = np.arange(51) / 50
        found.append(kolmogorov_p(max((values - steps[:-1]).max(), (steps[1:] - values).max()), 50))
    below = np.searchsorted(np.sort(found), [0.1, 0.5, 0.9]) / 400
    assert below == pytest.approx([0.1, 0.5, 0.9], abs=5 * math.sqrt(0.25 / 400))
