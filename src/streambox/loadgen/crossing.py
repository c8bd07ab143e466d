"""
The rate at which the share of requests that miss an objective crosses what is allowed, with an interval.

The log odds of a request to miss it are taken to be linear in the logarithm of the rate, near the
crossing. Within a segment misses come in bursts, so the count of a segment varies φ times as much as
a binomial one would; φ is estimated from the segments' own residuals (quasi-likelihood, McCullagh and
Nelder 1989, 4.5). The interval of the crossing is Fieller's (1954), with Student's t on the number of
segments less two.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from streambox.loadgen.student import t95

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streambox.loadgen.find_max import Trial

    Floats = np.ndarray[Any, np.dtype[np.float64]]

_REACH: Final = 1.1  # rates up to 10 % beyond those between which the crossing lies
_ROUNDS: Final = 50
_LARGEST_ODDS: Final = 30.0
_LARGEST_STEP: Final = 5.0
# A weak prior, so that the fit exists, too, where no request misses at one rate and most at the next.
_PRIOR: Final = np.array([-3.0, 10.0])
_PRIOR_WEIGHT: Final = np.diag([1e-6, 1e-4])


class Crossing(NamedTuple):
    """``rate_per_s`` with its 95 % interval; a bound is None where nothing tells one."""

    rate_per_s: float
    low: float | None
    high: float | None


def crossing_of(trials: Sequence[Trial], objective: int, allowed: float) -> Crossing | None:
    """
    Where the share that misses *objective* is *allowed*, from all segments near there.

    The interval is never narrower than the gap between the rates tried that hold and fail; where
    the segments do not tell one, it is from the rate that clearly holds to the one that clearly
    fails. None where no rate holds, or none fails.
    """
    failing = min((t.rate_per_s for t in trials if t.verdict == "fails"), default=math.inf)
    below = [t.rate_per_s for t in trials if t.verdict == "holds" and t.rate_per_s < failing]
    if not below or failing == math.inf or not 0 < allowed < 1:
        return None
    holding = max(below)
    near = [t for t in trials if holding / _REACH <= t.rate_per_s <= failing * _REACH]
    found = _fitted(near, objective, allowed)
    if found is None or found.low is None or found.high is None:
        at = math.sqrt(holding * failing) if found is None else found.rate_per_s
        low, high = clear_ends(trials)
    else:
        at, low, high = found.rate_per_s, min(found.low, holding), max(found.high, failing)
    return Crossing(min(max(at, low or 0.0), high or math.inf), low, high)


def clear_ends(trials: Sequence[Trial]) -> tuple[float | None, float | None]:
    """The highest rate that clearly holds and the lowest that clearly fails: the truth lies between them."""
    clear = [t for t in trials if t.clear]
    return (
        max((t.rate_per_s for t in clear if t.verdict == "holds"), default=None),
        min((t.rate_per_s for t in clear if t.verdict == "fails"), default=None),
    )


def _fitted(trials: Sequence[Trial], objective: int, allowed: float) -> Crossing | None:
    rates, missed, offered = _columns(trials, objective)
    if not missed.any() or len(set(rates.tolist())) < 2:
        return None
    logs = np.log(rates)
    middle = float(logs.mean())
    design = np.stack([np.ones_like(logs), logs - middle], axis=1)
    line, information, residuals = _regression(design, missed, offered)
    if line[1] <= 0:
        return None
    degrees = max(1, len(missed) - 2)
    spread = np.linalg.inv(information) * (float(residuals.sum()) / degrees)
    wanted = math.log(allowed / (1 - allowed))
    at, *ends = _fieller(wanted - line[0], line[1], spread, t95(degrees))
    low, high = (None if end is None else math.exp(middle + end) for end in ends)
    return Crossing(math.exp(middle + at), low, high)


def _columns(trials: Sequence[Trial], objective: int) -> tuple[Floats, Floats, Floats]:
    """Of every segment: its rate, how many missed, how many could."""
    rows = [(trial.rate_per_s, trial.segments) for trial in trials]
    rates = np.array([rate for rate, segments in rows for _ in segments])
    missed = np.array([float(one.missed[objective]) for _, segments in rows for one in segments])
    asked = np.array([float(one.asked(objective)) for _, segments in rows for one in segments])
    return rates, missed, asked


def _regression(design: Floats, missed: Floats, offered: Floats) -> tuple[Floats, Floats, Floats]:
    """Logistic, by iteratively reweighted least squares: coefficients, information, squared residuals."""
    line = _PRIOR.copy()
    for _ in range(_ROUNDS):
        shares = 1 / (1 + np.exp(-np.clip(design @ line, -_LARGEST_ODDS, _LARGEST_ODDS)))
        weights = offered * shares * (1 - shares) + 1e-9
        information = design.T @ (weights[:, None] * design) + _PRIOR_WEIGHT
        gradient = design.T @ (missed - offered * shares) + _PRIOR_WEIGHT @ (_PRIOR - line)
        step = np.clip(np.linalg.solve(information, gradient), -_LARGEST_STEP, _LARGEST_STEP)
        line = line + step
        if np.abs(step).max() < 1e-9:
            break
    return line, information, (missed - offered * shares) ** 2 / weights


def _fieller(above: float, slope: float, spread: Any, t: float) -> tuple[float, float | None, float | None]:
    """``above / slope`` and its interval, where *spread* is the covariance of intercept and slope."""
    ratio = above / slope
    square = slope**2 - t**2 * spread[1, 1]
    if square <= 0:  # the slope could be 0: the interval has no ends
        return ratio, None, None
    half = above * slope + t**2 * spread[0, 1]
    rest = above**2 - t**2 * spread[0, 0]
    reach = math.sqrt(max(0.0, half**2 - square * rest))
    return ratio, (half - reach) / square, (half + reach) / square
