"""
How long a batch will take: ℓ(b) = αb + β, learnt from batches as they end. Pure.

Recursive least squares with forgetting, on x = [b/B, 1] (Haykin, Adaptive Filter Theory,
chapter 10), and beside it a running quantile of how far batches overran the line, so that a
deadline can be held against a time that most batches keep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streambox.batcher.sizes import allowed_size

if TYPE_CHECKING:
    from collections.abc import Sequence

_FORGETTING: Final = 0.98  # half of what is known comes from the last 34 batches
_FIRST_SPREAD: Final = 1000.0  # of P: the first batch decides nearly alone
_QUANTILE: Final = 0.95
_STEP: Final = 0.02
_WIDEST: Final = 4.0  # a margin beyond this speaks of a model whose time is not its rows'


class LatencyModel:
    """
    One per model and executor. Durations in ns, sizes in rows.

    ``sizes``: the only ones that batches have, ascending; smaller ones are filled up. Empty: any.

    Until the first batch has been observed all estimates are 0: nothing is known against
    running a batch at once.

    Args:
        scale: The batch size at which b/B is 1; its order of magnitude is all that matters.
    """

    __slots__ = ("_alpha", "_beta", "_p00", "_p01", "_p11", "_scale", "margin", "observed", "sizes")

    def __init__(self, scale: int) -> None:
        self._scale = max(1, scale)
        self._alpha = self._beta = 0.0  # of x, so that α is self._alpha / B
        self._p00 = self._p11 = _FIRST_SPREAD
        self._p01 = 0.0
        self.margin = 0.0
        self.observed = 0
        self.sizes: Sequence[int] = ()

    def __repr__(self) -> str:
        per_row, fixed = self.per_row_ns / 1e6, self.fixed_ns / 1e6
        return f"<LatencyModel {fixed:.3f} ms + {per_row:.4f} ms a row, margin {self.margin:.0%}>"

    @property
    def per_row_ns(self) -> float:
        """α: what one more row adds."""
        return self._alpha / self._scale

    @property
    def fixed_ns(self) -> float:
        """β: what a batch costs however small it is."""
        return self._beta

    def expected_ns(self, rows: int) -> float:
        """ℓ(rows), non-decreasing."""
        if self.sizes:
            rows = allowed_size(rows, self.sizes)
        return self._alpha * rows / self._scale + self._beta

    def bound_ns(self, rows: int) -> float:
        """ℓ_q(rows): what 95 % of batches of so many rows stay within; non-decreasing."""
        return self.expected_ns(rows) * (1 + self.margin)

    def observe(self, rows: int, service_ns: int) -> None:
        """
        A batch of *rows*, padding included, took *service_ns*. Leave out failures and a worker's first batch.

        Cost: about 40 multiplications.
        """
        if self.observed:  # against the line as it was before this batch moved it
            self._widen(service_ns / max(self.expected_ns(rows), 1.0) - 1)
        self.observed += 1
        self._fit(rows / self._scale, float(service_ns))

    def _widen(self, overrun: float) -> None:
        """One step of a quantile's stochastic approximation (Robbins and Monro, 1951)."""
        self.margin += _STEP * (_QUANTILE - (overrun < self.margin))
        self.margin = min(max(self.margin, 0.0), _WIDEST)

    def _fit(self, size: float, service_ns: float) -> None:
        p00, p01, p11 = self._p00, self._p01, self._p11
        first, second = p00 * size + p01, p01 * size + p11  # P x
        share = _FORGETTING + size * first + second
        gain0, gain1 = first / share, second / share
        error = service_ns - (self._alpha * size + self._beta)
        self._alpha = max(0.0, self._alpha + gain0 * error)
        self._beta = max(0.0, self._beta + gain1 * error)
        p00, p01, p11 = p00 - gain0 * first, p01 - gain0 * second, p11 - gain1 * second
        # Forgetting makes P grow in every direction in which nothing is learnt: at one batch
        # size without end. It stops where P began.
        if p00 + p11 <= 2 * _FIRST_SPREAD * _FORGETTING:
            p00, p01, p11 = p00 / _FORGETTING, p01 / _FORGETTING, p11 / _FORGETTING
        self._p00, self._p01, self._p11 = p00, p01, p11
