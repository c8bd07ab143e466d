"""Rates that change: expected counts and their inverse undo each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambox.workload.processes.curves import DecayCurve, LinearPieces, Sequel, SineCurve

RATE = st.floats(0.01, 1e4)
TIME = st.floats(0.01, 1e5)
SHARES = np.linspace(0, 1, 101)


def assert_undone(curve, until_s: float) -> None:
    times = SHARES * until_s
    counts = curve.expected(times)
    assert (np.diff(counts) >= -1e-9 * counts[-1]).all()
    back = curve.expected(curve.inverse(counts))
    assert back == pytest.approx(counts, rel=1e-7, abs=1e-7 * counts[-1])


@given(RATE, st.floats(0, 1), TIME, st.floats(0.1, 5))
def test_a_sine(mean, swing, period, periods):
    assert_undone(SineCurve(mean, mean * swing, period), periods * period)


@given(st.just(0) | RATE, RATE, TIME, st.floats(0.1, 20))
def test_a_decay(base, height, decay, decays):
    assert_undone(DecayCurve(base, height, decay), decays * decay)


@given(
    st.lists(
        st.tuples(st.just(0) | st.floats(0.01, 100), st.just(0) | st.floats(0.01, 1e3)),
        min_size=1,
        max_size=8,
    ).filter(lambda pieces: sum(length * rate for length, rate in pieces) > 1),
    st.booleans(),
    st.floats(0.1, 4),
)
def test_lines_with_jumps_and_idle_times(pieces, repeats, rounds):
    lengths, rates = zip(*pieces, strict=True)
    edges = np.concatenate(([0], np.cumsum(lengths)))
    curve = LinearPieces(np.repeat(edges, 2)[1:-1], np.repeat(rates, 2), repeats=repeats)
    assert_undone(curve, edges[-1] * rounds if repeats else edges[-1])


@given(RATE, RATE, TIME)
def test_a_ramp(first, last, length):
    assert_undone(LinearPieces((0, length), (first, last)), 1.5 * length)


@given(RATE, RATE, TIME, TIME)
def test_one_after_another(before, height, at, decay):
    assert_undone(
        Sequel(LinearPieces((0, 1), (before, before)), at, DecayCurve(before, height, decay)), at + decay
    )


def test_a_rate_is_the_slope_of_its_expected_counts():
    times = np.linspace(0.5, 99.5, 100)
    for curve, rate in (
        (SineCurve(10, 4, 30), 10 + 4 * np.sin(2 * np.pi * times / 30)),
        (DecayCurve(3, 20, 25), 3 + 20 * np.exp(-times / 25)),
        (LinearPieces((0, 100), (5, 25)), 5 + 0.2 * times),
    ):
        slope = (curve.expected(times + 1e-4) - curve.expected(times - 1e-4)) / 2e-4
        assert slope == pytest.approx(rate, rel=1e-6)
