"""The figures by which runs are compared, each from a run's blocks, and from resamples of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import numpy as np

from streambox.experiments.estimate import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streambox.experiments.blocks import Blocks
    from streambox.experiments.bootstrap import Weights

    Floats = np.ndarray[Any, np.dtype[np.float64]]

_FEWEST_BEYOND: Final = 10  # responses that a percentile should have beyond it


class Figure(msgspec.Struct, frozen=True):
    """
    ``unit``: what its values are in: ``ms`` for all durations, ``/s``, ``%`` of the requests, ``rows``.

    ``better``: the direction that is welcome, 0 where neither is. ``share``: of a percentile, in 0..1.
    """

    name: str
    unit: Literal["ms", "/s", "%", "rows"]
    better: Literal[-1, 0, 1]
    duration: str = ""
    share: float | None = None

    @property
    def relative(self) -> bool:
        """Whether a change in it is a ratio; of a share of the requests it is a difference."""
        return self.unit != "%"


def _percentiles(duration: str, *ranks: float) -> tuple[Figure, ...]:
    text = duration.replace("_", " ")
    return tuple(Figure(f"{text} p{rank:g}", "ms", -1, duration, rank / 100) for rank in ranks)


FIGURES: Final = (
    *_percentiles("response", 50, 90, 99, 99.9),
    Figure("response mean", "ms", -1, "response"),
    *_percentiles("wait", 50, 99),
    *_percentiles("service", 50, 99),
    *_percentiles("send_lag", 99),
    Figure("throughput", "/s", 1),
    Figure("ok", "%", 1),
    Figure("batch size", "rows", 0),
)


def estimate_of_repeats(figure: Figure, values: Sequence[float]) -> Estimate:
    """Of one figure of every repeat. Its interval does not go where the figure cannot be."""
    estimate = Estimate.of_repeats(values)
    if estimate.low is None or estimate.high is None:
        return estimate
    most = 100.0 if figure.unit == "%" else estimate.high
    return Estimate(estimate.value, max(0.0, estimate.low), min(most, estimate.high))


def figure_values(blocks: Blocks, weights: Weights) -> dict[str, Floats]:
    """
    Every figure of the run, each block counted *weights* times: arrays of shape (resamples,).

    The first row of *weights* counts each block once: the run as it was. NaN where the run
    does not tell. A percentile with fewer than ten responses beyond it is NaN in all rows but
    the first: so few can be drawn again, but do not tell how much they vary.
    """
    values = {
        "throughput": _ratio(weights @ blocks.completed, weights.sum(axis=1) * (blocks.width_ns / 1e9)),
        "ok": 100 * _ratio(weights @ blocks.ok, weights @ blocks.offered),
        "batch size": _ratio(weights @ blocks.batch_rows, weights @ blocks.batched),
    }
    for duration, histogram in blocks.durations.items():
        own = [figure for figure in FIGURES if figure.duration == duration and figure.share is not None]
        found = histogram.quantiles_ns(weights, [figure.share or 0.0 for figure in own]) / 1e6
        for figure, row in zip(own, found, strict=True):
            if histogram.total * (1 - (figure.share or 0.0)) < _FEWEST_BEYOND:
                row[1:] = np.nan
            values[figure.name] = row
    values["response mean"] = blocks.durations["response"].means_ns(weights) / 1e6
    return {figure.name: values[figure.name] for figure in FIGURES}


def point_values(blocks: Blocks) -> dict[str, float]:
    """Every figure of the run as it was."""
    once = np.ones((1, len(blocks)), np.float32)
    return {name: float(values[0]) for name, values in figure_values(blocks, once).items()}


def series_of(blocks: Blocks) -> Floats:
    """By which to tell how blocks hang together: the logarithm of each one's mean response time."""
    histogram = blocks.durations["response"]
    counts = histogram.counts.sum(axis=1, dtype=np.float64)
    some = np.flatnonzero(counts)
    if not len(some):
        return np.zeros(len(counts))
    means = np.log(np.maximum(histogram.sums_ns[some], 1) / counts[some])
    filled: Floats = np.interp(np.arange(len(counts)), some, means)
    return filled


def _ratio(above: Any, below: Any) -> Floats:
    return np.asarray(above, float) / np.where(np.asarray(below) > 0, below, np.nan)
