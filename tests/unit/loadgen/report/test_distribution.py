"""How response times are distributed."""

from __future__ import annotations

import numpy as np
import pytest

from made_runs import make_eventful_run
from streambox.loadgen import record
from streambox.loadgen.report.distribution import Distribution, Responses, Tail


def distribution_of(values_ns) -> Distribution:
    distribution = Distribution.empty()
    distribution.add(np.asarray(values_ns, np.int64))
    return distribution


@pytest.fixture
def values_ns():
    return np.random.default_rng(5).lognormal(15, 2, 20_000).astype(np.int64)


def test_percentiles_are_within_a_fifth_of_a_per_cent(values_ns):
    shares = np.array([0.01, 0.5, 0.9, 0.99, 0.999, 0.9999])
    exact = np.sort(values_ns)[np.round(shares * 20_000).astype(int) - 1] / 1e6
    assert distribution_of(values_ns).percentiles_ms(shares) == pytest.approx(exact, rel=0.002)


def test_the_least_and_the_largest_are_exact(values_ns):
    found = distribution_of(values_ns)
    assert found.percentiles_ms(np.array([1.0])).tolist() == [values_ns.max() / 1e6]
    assert (found.least_ns, found.largest_ns) == (values_ns.min(), values_ns.max())
    assert distribution_of([7_000_001]).percentiles_ms(np.array([0.0, 0.5, 1.0])).tolist() == [7.000001] * 3


def test_distributions_of_parts_add_up(values_ns):
    parts = Distribution.empty()
    for part in np.array_split(values_ns, 7):
        parts.add(part)
    whole = distribution_of(values_ns)
    assert parts.counts.tolist() == whole.counts.tolist()
    assert (parts.least_ns, parts.largest_ns, parts.total) == (whole.least_ns, whole.largest_ns, 20_000)


def test_without_values_nothing_is_a_number():
    empty = distribution_of([])
    assert np.isnan(empty.percentiles_ms(np.array([0.5, 1.0]))).all()
    assert [len(part) for part in empty.bars()] == [1, 0]
    assert len(Tail.of(empty).ms) == 0


def test_the_bars_hold_every_value_and_stand_on_a_logarithmic_scale(values_ns):
    edges, counts = distribution_of(values_ns).bars()
    assert counts.sum() == 20_000
    assert 40 < len(counts) <= 91
    assert edges[0] <= values_ns.min() / 1e6
    assert values_ns.max() / 1e6 < edges[-1]
    ratios = edges[1:] / edges[:-1]
    assert ratios.max() / ratios.min() < 1.6
    inside = (values_ns / 1e6 >= edges[20]) & (values_ns / 1e6 < edges[21])
    assert counts[20] == inside.sum()


@pytest.mark.parametrize("values_ns", [[5_000_000] * 10, [0], [-3, 0, 1], [1, 2**47], [2**60]])
def test_odd_values_still_make_bars(values_ns):
    edges, counts = distribution_of(values_ns).bars()
    assert counts.sum() == len(values_ns)
    assert len(edges) == len(counts) + 1
    assert (np.diff(edges) > 0).all()


def test_the_tail_runs_from_the_least_to_the_largest_value(values_ns):
    tail = Tail.of(distribution_of(values_ns))
    assert (tail.one_in[0], tail.one_in[-1]) == (1, pytest.approx(20_000))
    assert tail.ms[0] == pytest.approx(values_ns.min() / 1e6, rel=0.002)
    assert tail.ms[-1] == values_ns.max() / 1e6
    assert (np.diff(tail.ms) >= 0).all()


def test_one_in_so_many_values_is_as_large_as_the_tail_says(values_ns):
    tail = Tail.of(distribution_of(values_ns))
    ordered = np.sort(values_ns)[::-1] / 1e6
    for one_in, ms in zip(tail.one_in, tail.ms, strict=True):
        slowest = max(1, round(20_000 / one_in))
        assert ms == pytest.approx(ordered[slowest - 1], rel=0.002)


def test_responses_are_counted_from_both_instants_a_part_at_a_time(monkeypatch):
    monkeypatch.setattr(record, "_ROWS_AT_ONCE", 1000)
    outcomes = make_eventful_run()
    responses = Responses.of(outcomes)
    assert responses.intended.total == responses.sent.total == outcomes.completed.sum()
    assert responses.intended.largest_ns == outcomes.response_ns.max()
    assert responses.sent.largest_ns == outcomes.since_sent_ns(outcomes.done_ns).max()
