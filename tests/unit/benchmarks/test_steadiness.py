"""Arrivals against the steady rate that was asked for, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from steadiness import late_by_own_clocks_ns, late_ns

PER_S = 1e8  # one every 10 ns


@pytest.mark.parametrize(
    ("instants", "late", "why"),
    [
        ([100, 110, 120], [0, 0, 0], "on time"),
        ([100, 113, 120], [0, 3, 0], "one late, and the next not for that"),
        ([104, 110, 120], [4, 0, 0], "the first is the late one"),
        ([100, 111, 122, 133], [0, 1, 2, 3], "it falls behind for good"),
        ([100, 100, 120, 120], [10, 0, 10, 0], "two at a time: the first of them waited for the second"),
    ],
)
def test_late_is_later_than_the_earliest_would_have_it(instants, late, why):
    assert late_ns(np.array(instants), PER_S).tolist() == pytest.approx(late), why


def test_connections_with_clocks_of_their_own_may_tick_together():
    instants, connections = np.array([100, 100, 120, 121]), np.array([0, 1, 0, 1])
    assert late_by_own_clocks_ns(instants, connections, PER_S, 2).tolist() == pytest.approx([0, 0, 0, 1])
    assert late_ns(instants, PER_S).max() > 1


def test_no_arrival_is_not_late():
    nothing = np.empty(0, np.int64)
    assert len(late_by_own_clocks_ns(nothing, nothing, PER_S, 2)) == 0
