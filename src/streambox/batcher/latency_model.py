"""
How long a batch will take: ℓ(b) = αb + β, learnt from batches as they end. Pure.

Recursive least squares on x = [b/B, 1] with directional forgetting (Cao and Schwartz, A
directional forgetting algorithm based on the decomposition of the information matrix,
Automatica 36, 2000), and beside it a running quantile of how far batches overran the line, so
that a deadline can be held against a time that most batches keep. Why so: decision 0006.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streambox.batcher.sizes import allowed_size

if TYPE_CHECKING:
    from collections.abc import Sequence

_FORGETTING: Final = 0.98  # half of what is known comes from the last 34 batches
_FIRST_KNOWN: Final = 0.001  # as if a thousandth of a batch had been seen: the first decides nearly alone
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

    __slots__ = ("_alpha", "_beta", "_r00", "_r01", "_r11", "_scale", "margin", "observed", "sizes")

    def __init__(self, scale: int) -> None:
        self._scale = max(1, scale)
        self._alpha = self._beta = 0.0  # of x, so that α is self._alpha / B
        self._r00 = self._r11 = _FIRST_KNOWN  # the information matrix R, symmetric
        self._r01 = 0.0
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

    def doubt(self) -> None:
        """Nothing has put this to the test for a while: expect half, and let the next batches decide more."""
        self._alpha, self._beta = self._alpha / 2, self._beta / 2
        self._r00, self._r01, self._r11 = self._r00 / 2, self._r01 / 2, self._r11 / 2

    def _widen(self, overrun: float) -> None:
        """One step of a quantile's stochastic approximation (Robbins and Monro, 1951)."""
        self.margin += _STEP * (_QUANTILE - (overrun < self.margin))
        self.margin = min(max(self.margin, 0.0), _WIDEST)

    def _fit(self, size: float, service_ns: float) -> None:
        """
        R becomes R - (1 - φ) R x xᵀ R / (xᵀ R x) + x xᵀ: what is known is forgotten only in the
        direction in which x tells something new. θ moves by R⁻¹ x times the error.
        """
        r00, r01, r11 = self._r00, self._r01, self._r11
        first, second = r00 * size + r01, r01 * size + r11  # R x
        fading = (1 - _FORGETTING) / (size * first + second)
        r00 += size * size - fading * first * first
        r01 += size - fading * first * second
        r11 += 1 - fading * second * second
        self._r00, self._r01, self._r11 = r00, r01, r11
        step = (service_ns - self._alpha * size - self._beta) / (r00 * r11 - r01 * r01)
        self._alpha += step * (r11 * size - r01)
        self._beta += step * (r00 - r01 * size)
        # To the nearest line without a negative part, by R's own measure: the other part takes over what
        # batches have shown. Cut off alone, it would push the estimate further off at every step.
        if self._alpha < 0:
            self._alpha, self._beta = 0.0, max(0.0, self._beta + self._alpha * r01 / r11)
        elif self._beta < 0:
            self._alpha, self._beta = max(0.0, self._alpha + self._beta * r01 / r00), 0.0
