"""A run in blocks: nothing is lost, and percentiles are those of the requests themselves."""

from __future__ import annotations

import numpy as np
import pytest

import simulated
from streambox.experiments import blocks as module
from streambox.experiments.blocks import Blocks, Rows, read_rows, rows_of
from streambox.experiments.figures import figure_values, point_values, series_of

SECOND = simulated.SECOND
MS = simulated.MS


@pytest.fixture(scope="module")
def finished():
    return simulated.simulated(rate=300, seconds=20, lost=0.01)


@pytest.fixture(scope="module")
def blocks(finished):
    return Blocks.of(rows_of(finished.outcomes), 0, 20 * SECOND)


def constant(count: int, response_ms: float, *, gap_ms: float = 10, ok: bool = True) -> Rows:
    intended = np.arange(count, dtype=np.int64) * round(gap_ms * MS)
    done = intended + round(response_ms * MS)
    none = np.full(count, -1)
    return Rows(intended, intended, done, none, none, np.zeros(count, np.int64), np.full(count, ok))


def test_every_request_is_in_one_block(finished, blocks):
    assert len(blocks) == 20
    assert blocks.offered.sum() == len(finished.outcomes)
    assert blocks.ok.sum() == finished.outcomes.ok.sum()
    assert blocks.durations["response"].total == finished.outcomes.completed.sum()
    assert blocks.offered.tolist() == np.bincount(finished.outcomes.intended_ns // SECOND).tolist()


def test_figures_are_those_of_the_summary(finished, blocks):
    """To within a part of the width of a bucket, which is 0.4 %."""
    values, summary = point_values(blocks), finished.summary
    for name in ("p50", "p90", "p99"):
        assert values[f"response {name}"] == pytest.approx(summary["response_ms"][name], rel=0.005)
    assert values["response mean"] == pytest.approx(finished.outcomes.response_ns.mean() / MS)
    assert values["service p99"] == pytest.approx(summary["service_ms"]["p99"], rel=0.004)
    assert values["send lag p99"] == pytest.approx(summary["send_lag_us"]["p99"] / 1000, rel=0.004)
    assert values["ok"] == pytest.approx(100 * summary["ok"] / summary["offered"])
    assert values["throughput"] == pytest.approx(summary["throughput_per_s"], rel=0.01)
    assert values["batch size"] == 1


def test_a_block_counted_twice_is_there_twice():
    fast, slow = constant(100, 1), constant(100, 9)
    rows = Rows._make(np.concatenate(pair) for pair in zip(fast, slow, strict=True))
    rows = rows._replace(
        intended_ns=np.arange(200) * 10 * MS,
        done_ns=np.arange(200) * 10 * MS + rows.done_ns - rows.intended_ns,
    )
    two = Blocks.of([rows], 0, 2 * SECOND)
    weights = np.array([[1, 1], [2, 0], [0, 2]], np.float32)
    values = figure_values(two, weights)
    assert values["response mean"] == pytest.approx([5, 1, 9])
    assert values["response p90"] == pytest.approx([9, 1, 9], rel=0.005)


def test_between_the_edges_of_a_bucket_percentiles_go_by_proportion():
    histogram = Blocks.of([constant(100, 5)], 0, SECOND).durations["response"]
    (low,), (high,) = histogram.low_ns, histogram.high_ns
    assert low < 5 * MS < high
    once = np.ones((1, 1), np.float32)
    found = histogram.quantiles_ns(once, [0.25, 0.75])[:, 0]
    assert found == pytest.approx([low + (high - low) / 4, high - (high - low) / 4])


def test_what_is_outside_the_window_does_not_count():
    rows = constant(1000, 5)
    part = Blocks.of([rows], 2 * SECOND, 7 * SECOND)
    assert len(part) == 5
    assert (part.offered == 100).all()
    assert part.completed.sum() == pytest.approx(500, abs=1)


def test_responses_count_in_the_second_in_which_they_come():
    """A server that is too slow is not credited with what it has not answered yet."""
    rows = constant(1000, 5)
    late = rows._replace(done_ns=np.arange(1000) * 20 * MS + MS)
    assert point_values(Blocks.of([late], 0, 10 * SECOND))["throughput"] == pytest.approx(50, rel=0.01)


def test_a_run_that_is_no_whole_number_of_seconds_has_blocks_of_equal_width():
    part = Blocks.of([constant(250, 5)], 0, 2_500_000_000)
    assert (len(part), part.width_ns) == (2, 1_250_000_000)
    assert part.offered.tolist() == [125, 125]


def test_a_long_run_has_longer_blocks(monkeypatch):
    monkeypatch.setattr(module, "_MOST_BLOCKS", 5)
    part = Blocks.of([constant(1000, 5)], 0, 10 * SECOND)
    assert part.offered.tolist() == [200] * 5


def test_percentiles_with_too_few_responses_beyond_them_have_no_resamples():
    few = Blocks.of([constant(500, 5)], 0, 5 * SECOND)
    values = figure_values(few, np.ones((3, 5), np.float32))
    assert np.isfinite(values["response p90"]).all()
    assert np.isfinite(values["response p99"]).tolist() == [True, False, False]


def test_of_nothing_there_is_no_figure():
    nothing = Blocks.of([constant(100, 5)], 60 * SECOND, 62 * SECOND)
    values = point_values(nothing)
    assert np.isnan(values["response p50"])
    assert np.isnan(values["ok"])
    assert values["throughput"] == 0
    assert series_of(nothing).tolist() == [0, 0]


def test_histograms_of_repeats_are_joined(finished, blocks):
    other = simulated.simulated(rate=300, seconds=20, seed=1)
    second = Blocks.of(rows_of(other.outcomes), 0, 20 * SECOND)
    joined = blocks.durations["response"].joined([second.durations["response"]])
    both_ns = np.concatenate([finished.outcomes.response_ns, other.outcomes.response_ns])
    assert joined.total == len(both_ns)
    once = np.ones((1, 1), np.float32)
    assert joined.quantiles_ns(once, [0.9])[0, 0] == pytest.approx(np.percentile(both_ns, 90), rel=0.004)


def test_what_was_written_is_read_in_parts_as_it_was(tmp_path, finished, blocks, monkeypatch):
    finished.outcomes.to_parquet(tmp_path / "outcomes.parquet")
    monkeypatch.setattr(module, "_ROWS_AT_ONCE", 512)
    read = Blocks.of(read_rows(tmp_path / "outcomes.parquet"), 0, 20 * SECOND)
    assert point_values(read) == pytest.approx(point_values(blocks), nan_ok=True)
    assert (read.durations["response"].counts == blocks.durations["response"].counts).all()
