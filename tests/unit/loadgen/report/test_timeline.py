"""What a run was like from moment to moment."""

from __future__ import annotations

import numpy as np
import pytest

from made_runs import MS, SECOND, fail, make_eventful_run, make_run
from streambox.loadgen.record import Outcomes
from streambox.loadgen.report.timeline import RANKS, TimeBins, Timeline


def timeline_of(outcomes: Outcomes) -> tuple[TimeBins, Timeline]:
    bins = TimeBins.of(outcomes)
    return bins, Timeline.of(outcomes, bins)


def test_every_request_and_every_response_is_in_one_bin():
    outcomes = make_eventful_run()
    bins, timeline = timeline_of(outcomes)
    assert timeline.offered.sum() == len(outcomes)
    assert timeline.achieved.sum() == outcomes.completed.sum()
    assert timeline.kinds.sum(axis=0).tolist() == np.bincount(outcomes.kind).tolist()
    assert len(timeline.offered) == bins.count == 60


def test_a_request_on_an_edge_belongs_to_the_bin_that_begins_there():
    outcomes = Outcomes(np.array([0, SECOND - 1, SECOND, 2 * SECOND], np.int64) * 30)
    bins, timeline = timeline_of(outcomes)
    assert bins.width_s == 1
    assert timeline.offered[[0, 29, 30, 60]].tolist() == [1, 1, 1, 1]
    assert bins.counts(outcomes.intended_ns).tolist() == timeline.offered.tolist()


def test_percentiles_of_a_bin_are_those_of_its_requests():
    outcomes = make_eventful_run()
    _, timeline = timeline_of(outcomes)
    mine = (outcomes.intended_ns // SECOND == 31) & outcomes.completed
    response_ms = (outcomes.done_ns - outcomes.intended_ns)[mine] / 1e6
    lag_ms = (outcomes.sent_ns - outcomes.intended_ns)[outcomes.intended_ns // SECOND == 31] / 1e6
    assert timeline.response_ms[31] == pytest.approx(np.percentile(response_ms, RANKS))
    assert timeline.lag_ms[31] == pytest.approx(np.percentile(lag_ms, RANKS))


def test_the_parts_of_a_bin_add_up_to_its_mean_response_time():
    outcomes = make_eventful_run()
    _, timeline = timeline_of(outcomes)
    mine = (outcomes.intended_ns // SECOND == 30) & outcomes.completed
    response_ms = (outcomes.done_ns - outcomes.intended_ns)[mine].mean() / 1e6
    assert timeline.parts_ms[30].sum() == pytest.approx(response_ms)
    assert timeline.parts_ms[30, 2] == pytest.approx(outcomes.wait_ns[mine].mean() / 1e6)


def test_a_batch_counts_once_in_the_mean_of_its_bin():
    outcomes = make_run(count=100, seconds=30)
    outcomes.batch_id[:3], outcomes.batch_size[:3] = 1000, 10
    outcomes.batch_id[3], outcomes.batch_size[3] = 1001, 2
    assert timeline_of(outcomes)[1].batch_size[0] == pytest.approx((10 + 2) / 2)


def test_what_a_bin_does_not_have_is_not_a_number():
    outcomes = make_run()
    fail(outcomes, slice(500, 600), "timeout")
    outcomes.sent_ns[500:600] = -1
    _, timeline = timeline_of(outcomes)
    for rows in (timeline.response_ms, timeline.lag_ms, timeline.parts_ms, timeline.batch_size):
        assert np.isnan(rows[5]).all()
        assert np.isfinite(rows[4]).all()


def test_a_bin_in_which_the_last_responses_come_has_no_requests():
    outcomes = make_run()
    outcomes.done_ns[-1] = 33 * SECOND + 500 * MS
    _, timeline = timeline_of(outcomes)
    assert (timeline.offered[33], timeline.achieved[33]) == (0, 1)


@pytest.mark.parametrize(
    ("seconds", "width_s"), [(5, 0.2), (30, 1), (600, 1), (601, 2), (86_400, 300), (10_000_000, 21_600)]
)
def test_there_are_at_most_600_bins_however_long_the_run(seconds, width_s):
    bins = TimeBins.of(make_run(seconds=seconds))
    assert bins.width_s == width_s
    assert bins.count <= 601
    assert len(bins.edges) == len(bins.centres) + 1


def test_a_run_without_requests_is_one_empty_bin():
    bins, timeline = timeline_of(Outcomes(np.zeros(0, np.int64)))
    assert (bins.count, timeline.offered.tolist(), timeline.achieved.tolist()) == (1, [0], [0])
