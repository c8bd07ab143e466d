"""What a batch will take, learnt from those before it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from streambox.batcher.latency_model import LatencyModel

MS = 1_000_000


def learnt(sizes, service_ns, scale: int = 32) -> LatencyModel:
    model = LatencyModel(scale)
    for rows in sizes:
        model.observe(int(rows), int(service_ns(int(rows))))
    return model


def line(rows: int) -> float:
    return 2 * MS + 0.5 * MS * rows


def test_nothing_is_held_against_a_batch_of_which_nothing_is_known():
    model = LatencyModel(32)
    assert (model.expected_ns(32), model.bound_ns(32), model.observed) == (0, 0, 0)


def test_the_line_is_found_from_batches_of_several_sizes():
    model = learnt(np.random.default_rng(1).integers(1, 33, 300), line)
    assert model.fixed_ns == pytest.approx(2 * MS, rel=0.01)
    assert model.per_row_ns == pytest.approx(0.5 * MS, rel=0.01)


def test_the_first_batch_alone_gives_its_own_time_back():
    assert learnt([8], line).expected_ns(8) == pytest.approx(line(8), rel=0.01)


def test_a_line_that_changes_is_followed():
    model = learnt(np.random.default_rng(1).integers(1, 33, 300), line)
    for rows in np.random.default_rng(2).integers(1, 33, 300):
        model.observe(int(rows), int(3 * line(int(rows))))
    assert model.expected_ns(16) == pytest.approx(3 * line(16), rel=0.02)


def test_one_batch_size_for_ever_neither_drifts_nor_overflows():
    """P winds up without a bound: the estimate for one row drifts within 2,000 updates."""
    random = np.random.default_rng(3)
    model = LatencyModel(32)
    model.observe(1, line(1))
    model.observe(16, line(16))
    for noise in random.normal(1, 0.05, 40_000):
        model.observe(32, int(line(32) * noise))
    assert model.expected_ns(32) == pytest.approx(line(32), rel=0.05)
    assert 0 < model.expected_ns(1) <= model.expected_ns(32)


def test_full_batches_with_a_few_smaller_ones_between_do_not_drive_it_apart():
    """Their noise is all that there is to tell the slope by; the estimate once grew without an end."""
    random = np.random.default_rng(7)
    model, beyond = LatencyModel(4), 0
    for rows in random.choice([4, 3, 2, 1], 20_000, p=[0.955, 0.03, 0.01, 0.005]):
        stalled = 50 * MS if random.random() < 0.002 else 0
        model.observe(int(rows), int(2 * MS * random.lognormal(0, 0.05)) + stalled)
        beyond += model.bound_ns(4) > 6 * MS
    assert beyond < 0.05 * 20_000  # after a stall it is wider for a while
    assert model.bound_ns(4) < 4 * MS


@pytest.mark.parametrize("slope", [-0.05, 0.0, 0.4])
def test_estimates_never_fall_with_the_size_nor_below_nothing(slope):
    model = learnt(np.random.default_rng(4).integers(1, 33, 500), lambda rows: (4 + slope * rows) * MS)
    estimates = [model.expected_ns(rows) for rows in range(1, 33)]
    assert estimates[0] >= 0
    assert all(after >= before for before, after in pairwise(estimates))


def test_the_bound_is_kept_by_about_95_of_100_batches():
    random = np.random.default_rng(5)
    model, kept = LatencyModel(32), []
    for number in range(6000):
        rows = int(random.integers(1, 33))
        took = line(rows) * random.lognormal(0, 0.2)
        if number > 1000:
            kept.append(took <= model.bound_ns(rows))
        model.observe(rows, int(took))
    assert np.mean(kept) == pytest.approx(0.95, abs=0.02)


def test_batches_that_always_take_the_same_need_hardly_a_margin():
    assert learnt(np.random.default_rng(6).integers(1, 33, 500), line).margin < 0.03


def test_a_change_is_followed_where_batches_are_always_of_one_size():
    model = learnt([32] * 3000, line)
    for _ in range(200):
        model.observe(32, int(2 * line(32)))
    assert model.expected_ns(32) == pytest.approx(2 * line(32), rel=0.02)


@pytest.mark.parametrize("seed", range(20))
def test_no_estimate_runs_away_from_what_was_seen(seed):
    """Phases of small, of large and of equal batches, one in thirty a hiccup: whatever their times are."""
    random = np.random.default_rng(seed)
    model, longest_ns, largest = LatencyModel(32), 0, 0
    for _ in range(6):
        low, high = sorted(random.integers(1, 33, 2).tolist())
        fixed_ns, row_ns = 10 ** random.uniform(4, 8), 10 ** random.uniform(2, 7)
        for _ in range(int(random.integers(5, 500))):
            rows = int(random.integers(low, high + 1))
            took_ns = random.normal(1, 0.1) * (fixed_ns + row_ns * rows)
            if random.random() < 1 / 30:
                took_ns = 10 ** random.uniform(5, 8.5)
            model.observe(rows, max(1, int(took_ns)))
            longest_ns, largest = max(longest_ns, int(took_ns)), max(largest, rows)
            assert 0 <= model.expected_ns(1) <= model.expected_ns(largest) <= 1.5 * longest_ns
