"""The special functions that gaps between arrivals need; no more exact than that takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from streambox.workload.processes.base import Floats

_TERMS: Final = 5000  # a shape of 1e4, the largest in use, takes about 600
_RELATIVE: Final = 1e-14
_KNOTS: Final = 4096


def digamma(x: float) -> float:
    """
    ψ(x) for x > 0, to about 1e-12.

    ψ(x) = ψ(x+1) − 1/x up to x >= 8, then the asymptotic series; Abramowitz and Stegun,
    Handbook of Mathematical Functions, 6.3.5 and 6.3.18.
    """
    shift = 0.0
    while x < 8:
        shift -= 1 / x
        x += 1
    square = 1 / x**2
    series = square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square * (1 / 240 - square / 132))))
    return shift + math.log(x) - 0.5 / x - series


def gamma_cdf(shape: float, x: Floats) -> Floats:
    """
    P(shape, x), the regularised lower incomplete gamma function, for x >= 0.

    Its series below shape + 1 and Legendre's continued fraction above, by Lentz's method;
    Abramowitz and Stegun 6.5.29 and 6.5.31.
    """
    values = np.zeros(x.shape)
    small = (x > 0) & (x < shape + 1)
    large = (x >= shape + 1) & np.isfinite(x)
    values[small] = _series(shape, x[small])
    values[large] = 1 - _fraction(shape, x[large])
    values[np.isposinf(x)] = 1
    return values


def _series(shape: float, x: Floats) -> Floats:
    """x^a e^(−x) / Γ(a+1) × (1 + x/(a+1) + x²/((a+1)(a+2)) + …)."""
    term = np.ones_like(x)
    total = term.copy()
    for n in range(1, _TERMS):
        term *= x / (shape + n)
        total += term
        if (term < _RELATIVE * total).all():
            break
    total *= np.exp(shape * np.log(x) - x - math.lgamma(shape + 1))
    return total


def _fraction(shape: float, x: Floats) -> Floats:
    """x^a e^(−x) / Γ(a) × 1/(x+1−a − 1(1−a)/(x+3−a − 2(2−a)/(x+5−a − …)))."""
    denominator = x + 1 - shape
    denominator[denominator == 0] = 1e-300
    above = np.full_like(x, 1e300)
    below = 1 / denominator
    value = below.copy()
    for n in range(1, _TERMS):
        numerator = -n * (n - shape)
        denominator += 2
        below = 1 / (numerator * below + denominator)
        above = denominator + numerator / above
        factor = above * below
        value *= factor
        if (np.abs(factor - 1) < _RELATIVE).all():
            break
    value *= np.exp(shape * np.log(x) - x - math.lgamma(shape))
    return value


def by_quantiles(function: Callable[[Floats], Floats], x: Floats) -> Floats:
    """
    A distribution *function* at *x*: exact at up to 4097 quantiles of *x*, and linear between.

    Where *x* is of about that distribution it grows by 1/4096 from one to the next, and no error
    is larger.
    """
    if len(x) <= _KNOTS:
        return function(x)
    knots = np.unique(np.quantile(x, np.linspace(0, 1, _KNOTS + 1)))
    values: Floats = np.interp(x, knots, function(knots))
    return values


def kolmogorov_p(distance: float, count: int) -> float:
    """
    The probability of a Kolmogorov–Smirnov distance of at least *distance* in *count* values.

    Kolmogorov's limit, Q(λ) = 2 Σ (−1)^(k−1) exp(−2k²λ²), at λ = (√n + 0.12 + 0.11/√n) D, which
    makes it good from a few values on (Stephens, Journal of the Royal Statistical Society B 32,
    1970). Below λ = 1 the other form of the theta function converges in a few terms.
    """
    root = math.sqrt(count)
    reach = (root + 0.12 + 0.11 / root) * distance
    if reach < 0.15:
        return 1.0
    if reach < 1:
        odd = math.pi**2 / (8 * reach**2)
        return 1 - math.sqrt(2 * math.pi) / reach * sum(
            math.exp(-((2 * k - 1) ** 2) * odd) for k in (1, 2, 3)
        )
    terms = (math.exp(-2 * (k * reach) ** 2) for k in range(1, 6))
    return min(1.0, 2 * sum(term if k % 2 == 0 else -term for k, term in enumerate(terms)))
