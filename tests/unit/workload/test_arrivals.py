"""From counts and rates to instants, with fixed seeds."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambox.errors import UsageError
from streambox.workload.arrivals import (
    MOST_REQUESTS,
    arrivals_at_rate,
    arrivals_in_cells,
    arrivals_in_units,
)

SECOND = 1_000_000_000


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(st.lists(st.integers(0, 40), max_size=30), st.integers(1_000, 10**10), st.integers(0, 2**32))
def test_every_unit_gets_exactly_its_count_in_order(counts, unit_ns, seed):
    instants = arrivals_in_units(counts, unit_ns, rng(seed))
    assert instants.dtype == np.int64
    assert (np.diff(instants) >= 0).all()
    assert np.bincount(instants // unit_ns, minlength=len(counts)).tolist() == counts


def test_idle_units_stay_idle():
    """The reference's load generator loses the idle time of ``lap_time``."""
    instants = arrivals_in_units([3, 0, 0, 0, 0, 2], SECOND, rng())
    assert (instants[:3] < SECOND).all()
    assert (instants[3:] >= 5 * SECOND).all()


def test_leading_idle_units_are_no_trouble():
    """The reference's load generator crashes on a workload that starts with 0."""
    assert (arrivals_in_units([0, 0, 4], SECOND, rng()) >= 2 * SECOND).all()
    assert len(arrivals_in_units([0, 0], SECOND, rng())) == 0


def test_no_arrival_is_pinned_to_the_edge_of_its_unit():
    """The reference's load generator sends one request of every unit exactly at its edge."""
    position = arrivals_in_units([1] * 20_000, SECOND, rng(1)) % SECOND
    assert np.unique(position).size > 19_900
    tenths, _ = np.histogram(position, bins=10, range=(0, SECOND))
    chi_square = ((tenths - 2000) ** 2 / 2000).sum()
    assert chi_square < 27.9  # the 99.9 % point with nine degrees of freedom


def test_within_a_unit_gaps_are_those_of_a_poisson_process():
    """Given their number, Poisson arrivals are uniform: a gap has mean 1/(n+1) and CV near 1."""
    gaps = np.diff(arrivals_in_units([20_000], SECOND, rng(2)))
    assert gaps.mean() == pytest.approx(SECOND / 20_001, rel=0.01)
    assert gaps.std() / gaps.mean() == pytest.approx(1, abs=0.03)


def test_poisson_arrivals_have_the_rate_the_spread_and_no_memory():
    instants = arrivals_at_rate(1000, 100 * SECOND, "poisson", rng(3))
    gaps = np.diff(instants) / SECOND
    assert len(instants) == pytest.approx(100_000, abs=4 * np.sqrt(100_000))
    assert gaps.std() / gaps.mean() == pytest.approx(1, abs=0.02)
    assert np.corrcoef(gaps[:-1], gaps[1:])[0, 1] == pytest.approx(0, abs=0.02)
    per_second = np.bincount(instants // SECOND)
    assert per_second.var() / per_second.mean() == pytest.approx(1, abs=0.5)
    # Kolmogorov–Smirnov against the exponential distribution, at the 99.9 % point.
    ordered = np.sort(gaps)
    exact = 1 - np.exp(-ordered * 1000)
    steps = np.arange(1, len(ordered) + 1) / len(ordered)
    assert np.abs(steps - exact).max() < 1.95 / np.sqrt(len(ordered))


def test_constant_arrivals_are_evenly_spaced_from_zero():
    instants = arrivals_at_rate(250, 2 * SECOND, "constant", rng())
    assert instants.tolist() == [k * 4_000_000 for k in range(500)]


def test_a_constant_rate_does_not_drift_where_a_gap_is_no_whole_number_of_ns():
    instants = arrivals_at_rate(3, 1000 * SECOND, "constant", rng())
    assert len(instants) == 3000
    assert int(instants[-1]) == pytest.approx(2999 * SECOND / 3, abs=2)


@pytest.mark.parametrize("rate_per_s", [1e-300, 1e-9, 0.5])
def test_a_constant_rate_however_low_begins_with_a_request_at_0(rate_per_s):
    assert arrivals_at_rate(rate_per_s, SECOND, "constant", rng()).tolist() == [0]


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(UsageError, match="rate"):
        arrivals_at_rate(rate, SECOND, "poisson", rng())


def test_a_run_of_no_length_is_refused():
    with pytest.raises(UsageError, match="duration"):
        arrivals_at_rate(10, 0, "poisson", rng())


def test_more_requests_than_memory_holds_are_refused_before_they_are_drawn():
    with pytest.raises(UsageError, match="scale it down"):
        arrivals_in_units([MOST_REQUESTS, 1], SECOND, rng())
    with pytest.raises(UsageError, match="scale it down"):
        arrivals_at_rate(1e8, 3600 * SECOND, "constant", rng())


def test_within_their_units_arrivals_are_uniform():
    """Kolmogorov–Smirnov against the uniform distribution, at the 99.9 % point."""
    counts = [7, 0, 1, 40, 3] * 400
    position = np.sort(arrivals_in_units(counts, SECOND, rng(5)) % SECOND) / SECOND
    steps = np.arange(len(position) + 1) / len(position)
    distance = max(np.abs(steps[1:] - position).max(), np.abs(position - steps[:-1]).max())
    assert distance < 1.95 / np.sqrt(len(position))


@pytest.mark.parametrize("unit_ns", [0, -1, 2**62])
def test_a_time_unit_that_no_clock_can_count_is_refused(unit_ns):
    with pytest.raises(UsageError, match="time unit"):
        arrivals_in_units([1, 1], unit_ns, rng())


def test_counts_beyond_what_the_machine_can_add_up_are_refused():
    with pytest.raises(UsageError, match="scale it down"):
        arrivals_in_units([2**62, 2**62, 2**62, 2**62], SECOND, rng())


# ---- counts by who called ------------------------------------------------------------------------


def cells(rows, unit_ns=SECOND, seed=0):
    starts, counts, labels = (np.array(column) for column in zip(*rows, strict=True))
    return arrivals_in_cells(
        starts.astype(np.int64),
        counts.astype(np.int64),
        labels.astype(np.int32),
        unit_ns,
        np.random.default_rng(seed),
    )


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 50), st.integers(0, 3)), max_size=40).filter(len),
    st.integers(1, 200),
)
def test_cells_in_any_order_give_as_many_sorted_arrivals_as_they_count(rows, block):
    rows = [(unit * SECOND, count, label) for unit, count, label in rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streambox.workload.arrivals._BLOCK", block)  # however it is cut into parts
        instants, labels = cells(rows)
    assert (np.diff(instants) >= 0).all()
    found = Counter(zip((instants // SECOND * SECOND).tolist(), labels.tolist(), strict=True))
    expected = Counter()
    for start, count, label in rows:
        expected[start, label] += count
    assert found == +expected


def test_arrivals_in_a_cell_are_uniform_in_it_whoever_calls():
    instants, labels = cells([(0, 20_000, 0), (0, 20_000, 1), (SECOND, 5, 0)])
    for label in range(2):
        inside = instants[(labels == label) & (instants < SECOND)] / SECOND
        steps = np.arange(len(inside)) / len(inside)
        assert np.abs(inside - steps).max() < 2 / np.sqrt(len(inside))  # Kolmogorov, p about 1e-3


def test_more_in_cells_than_can_be_replayed_is_refused_before_it_is_drawn():
    with pytest.raises(UsageError, match="the most is"):
        cells([(0, 10**12, 0)])
