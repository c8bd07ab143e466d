"""
How much a run's figures would vary if it were run again: the circular block bootstrap.

Successive latencies hang together, as a queue carries over from one request to the next, so
requests cannot be drawn one by one. Blocks of about a second are drawn instead, with what was
in them (Künsch 1989), and where the seconds themselves hang together several in a row, round
the end of the run to its beginning (Politis and Romano 1992). How many in a row follows from
the series' own correlation (Politis and White 2004, with the correction of Patton, Politis and
White 2009).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    Floats = np.ndarray[Any, np.dtype[np.float64]]
    Weights = np.ndarray[Any, np.dtype[np.float32]]

_FEWEST: Final = 8  # of so few blocks no correlation can be told


def draw_weights(blocks: int, length: int, resamples: int, random: np.random.Generator) -> Weights:
    """
    How often each block is in each resample: shape (resamples, blocks), rows add up to *blocks*.

    A resample is made of runs of *length* blocks in a row, each beginning anywhere.
    """
    length = max(1, min(length, blocks))
    runs = -(-blocks // length)
    starts = random.integers(0, blocks, (resamples, runs))
    drawn = ((starts[:, :, None] + np.arange(length)) % blocks).reshape(resamples, -1)[:, :blocks]
    rows = np.arange(resamples)[:, None] * blocks
    counts = np.bincount((rows + drawn).ravel(), minlength=resamples * blocks)
    return counts.reshape(resamples, blocks).astype(np.float32)


def block_length(series: Floats) -> int:
    """
    How many blocks in a row to draw, from one figure of each block.

    b = (2 G² / D n)^(1/3) with G = Σ λ(k/M) |k| R(k), D = 4/3 (Σ λ(k/M) R(k))², over lags
    |k| <= M, where R are the autocovariances, λ is 1 up to a half and falls to 0 at 1, and
    M is twice the lag after which no correlation stands out any more.
    """
    count = len(series)
    centred = series - series.mean() if count else series
    if count < _FEWEST or not np.any(centred):
        return 1
    quiet = max(5, math.ceil(math.sqrt(math.log10(count))))
    most = min(count - 1, math.ceil(math.sqrt(count)) + quiet)
    covariances = np.array([float(centred[: count - k] @ centred[k:]) / count for k in range(most + 1)])
    last = _last_correlated(covariances / covariances[0], quiet, 2 * math.sqrt(math.log10(count) / count))
    reach = min(2 * max(last, 1), most)
    lags = np.arange(1, reach + 1)
    damped = np.minimum(1, 2 * (1 - lags / reach)) * covariances[1 : reach + 1]
    spectrum = covariances[0] + 2 * damped.sum()
    if spectrum <= 0:
        return 1
    bend = 2 * float(damped @ lags)
    length = (2 * bend**2 / (4 / 3 * spectrum**2) * count) ** (1 / 3)
    return int(min(max(1, round(length)), count // 3, math.ceil(3 * math.sqrt(count))))


def _last_correlated(correlations: Floats, quiet: int, bound: float) -> int:
    """The lag after which *quiet* correlations in a row are within *bound*, or the last that is not."""
    loud = [lag for lag in range(1, len(correlations)) if abs(correlations[lag]) > bound]
    for lag, following in zip([0, *loud], [*loud, len(correlations) + quiet], strict=True):
        if following - lag > quiet:
            return lag
    return len(correlations) - 1
