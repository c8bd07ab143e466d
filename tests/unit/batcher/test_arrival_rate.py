"""How fast requests arrive."""

from __future__ import annotations

import pytest

from streambox.batcher.arrival_rate import ArrivalRate

SECOND = 1_000_000_000


def fed(per_s: float, seconds: float, step_s: float = 0.01) -> ArrivalRate:
    rate = ArrivalRate(0)
    for step in range(1, round(seconds / step_s) + 1):
        rate.per_ns(round(step * step_s * per_s), round(step * step_s * SECOND))
    return rate


def test_a_steady_rate_is_found():
    assert fed(500, 8).per_ns(4000, 8 * SECOND) * SECOND == pytest.approx(500, rel=0.01)


def test_a_change_has_mostly_been_followed_after_two_seconds():
    rate = fed(500, 8)
    assert rate.per_ns(4000, 10 * SECOND) * SECOND == pytest.approx(500 * 0.135, rel=0.02)


def test_before_anything_has_come_there_is_no_rate():
    assert ArrivalRate(0).per_ns(0, 5 * SECOND) == 0


def test_who_asks_again_at_once_gets_the_same_answer():
    rate = fed(500, 8)
    assert rate.per_ns(4000, 8 * SECOND) == rate.per_ns(4003, 8 * SECOND + 10)
