"""Thumbnail and cv: what they promise to keep is kept."""

from __future__ import annotations

import numpy as np
import pytest

from streambox.errors import UsageError
from streambox.workload.events import Events, superpose
from streambox.workload.figures import dispersion_curve, gap_cv, gap_distance, shape_distance
from streambox.workload.processes import parse_process
from streambox.workload.shape import Shape
from streambox.workload.transforms import parse_transform

SECOND = 1_000_000_000
DAY_S = 86_400


def drawn(text: str, seconds: int = 400, seed: int = 1, function: str = "f") -> Events:
    duration_ns = seconds * SECOND
    instants = parse_process(text).arrivals(duration_ns, np.random.default_rng(seed))
    return Events.of(instants, duration_ns, function)


def changed(events: Events, text: str, seed: int = 5) -> Events:
    return parse_transform(text).apply(events, np.random.default_rng(seed))


# ---- thumbnail -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def day() -> Events:
    return superpose(
        [drawn("diurnal:rate=3", DAY_S, 1, "busy"), drawn("spike:base=0.1,spike=9,at=9h,width=1h", DAY_S)]
    )


def test_a_day_becomes_ten_minutes_of_the_same_shape(day):
    small = changed(day, "thumbnail:10m,rate=50/s")
    assert small.duration_ns == 600 * SECOND
    assert len(small) == pytest.approx(600 * 50, abs=1)
    assert shape_distance(day, small) < 1e-3


def test_what_a_minute_counted_its_shorter_unit_counts_in_proportion_to_one_arrival(day):
    small = changed(day, "thumbnail:10m,rate=50/s")
    factor = len(small) / len(day)
    units = (small.instants_ns * 1440 // small.duration_ns).tolist()
    counts = np.bincount(units, minlength=1440)
    assert np.abs(counts - factor * day.counts_per_unit(60 * SECOND)).max() <= 1
    assert np.abs(np.cumsum(counts) - factor * np.cumsum(day.counts_per_unit(60 * SECOND))).max() <= 1


def test_functions_keep_their_share_and_their_own_shape(day):
    small = changed(day, "thumbnail:10m,rate=100/s")
    assert small.functions == day.functions
    for number in range(2):
        before, after = (Events.of(each.of_function(number), each.duration_ns) for each in (day, small))
        assert len(after) / len(small) == pytest.approx(len(before) / len(day), rel=0.03)
        assert shape_distance(before, after) < 0.02


def test_without_a_rate_the_mean_rate_stays(day):
    small = changed(day, "thumbnail:10m")
    assert len(small) / 600 == pytest.approx(len(day) / DAY_S, rel=0.01)


def test_the_busiest_unit_can_be_given_instead_of_the_mean(day):
    small = changed(day, "thumbnail:10m,peak=200/s")
    busiest = np.bincount(small.instants_ns * 1440 // small.duration_ns).max()
    assert busiest * 1440 / 600 == pytest.approx(200, abs=1440 / 600)


def test_it_can_have_more_arrivals_than_its_source():
    small = changed(drawn("poisson:rate=1", 1000), "thumbnail:100s,rate=500/s")
    assert len(small) == pytest.approx(50_000, abs=1)
    assert len(np.unique(small.instants_ns)) > 49_990  # drawn anew, not repeated at one instant


def test_within_a_unit_arrivals_are_drawn_anew():
    events = Events.of(
        np.repeat(np.arange(100) * SECOND, 50), 100 * SECOND
    )  # all at the beginning of each second
    small = changed(events, "thumbnail:50s,rate=100/s")
    offsets = small.instants_ns % (SECOND // 2) / (SECOND // 2)
    assert np.histogram(offsets, 4)[0] == pytest.approx(np.full(4, len(small) / 4), rel=0.1)


def test_a_unit_that_is_cut_short_at_the_end_stays_as_short():
    events = Events.of(np.array([5, 15, 25, 25], np.int64) * SECOND, 26 * SECOND)
    small = changed(events, "thumbnail:to=13s,unit=10s,rate=100/s")
    assert small.counts_per_unit(5 * SECOND).tolist() == pytest.approx([325, 325, 650], abs=1)


# ---- cv ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cv", [0.1, 0.5, 1, 3, 8])
@pytest.mark.parametrize("text", ["poisson:rate=50", "gamma:rate=50,cv=3", "weibull:rate=50,cv=0.4"])
def test_gaps_of_a_steady_source_get_the_cv_that_is_asked_for(text, cv):
    events = drawn(text)
    after = changed(events, f"cv:cv={cv},unit=400s")
    assert gap_cv(after.instants_ns) == pytest.approx(cv, rel=1e-3)
    assert len(after) == len(events)
    assert (after.instants_ns[0], after.instants_ns[-1]) == (events.instants_ns[0], events.instants_ns[-1])


def test_exponential_gaps_become_those_of_a_weibull_process():
    after = changed(drawn("poisson:rate=100", 2000), "cv:2.236")
    assert gap_distance(after, drawn("weibull:rate=100,shape=0.5", 2000, 7)) < 0.01


def test_longer_gaps_stay_longer():
    events = drawn("gamma:rate=50,cv=2", 40)
    before = np.diff(events.instants_ns)
    after = np.diff(changed(events, "cv:cv=4,unit=40s").instants_ns)
    order = np.argsort(before, kind="stable")
    assert (np.diff(after[order]) >= -2).all()  # to the rounding of two instants


def test_the_shape_of_a_moving_rate_stays_and_its_gaps_change_within_it():
    events = drawn("sine:mean=100,amplitude=90,period=100s", 1000)
    for cv in (0.2, 3):
        after = changed(events, f"cv:{cv}")
        assert shape_distance(events, after) < 0.015
        gaps = np.diff(Shape.of(events, 5 * SECOND).expected(after.instants_ns))
        assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.1)


def test_dispersion_goes_towards_the_square_of_the_cv():
    ((_, value),) = dispersion_curve(changed(drawn("poisson:rate=200", 4000), "cv:3"), (5.0,))
    assert value == pytest.approx(9, rel=0.15)


def test_the_cv_it_has_leaves_a_source_as_it_is():
    events = drawn("gamma:rate=50,cv=2")
    after = changed(events, f"cv:cv={gap_cv(events.instants_ns)},unit=400s")
    assert np.abs(after.instants_ns - events.instants_ns).max() < 1e6  # of a second of about 4e11


def test_gaps_too_short_for_the_clock_can_be_made_regular():
    events = Events.of(np.repeat(np.arange(1, 200, dtype=np.int64) * 1000, 3), 200_000)
    assert gap_cv(changed(events, "cv:cv=0.5,unit=1ms").instants_ns) == pytest.approx(0.5, rel=0.01)


# ---- what cannot be ------------------------------------------------------------------------------


BAD = [
    ("thumbnail", "to missing"),
    ("thumbnail:0s", "to is 0 s"),
    ("thumbnail:10m,rate=0/s", "rate is 0/s"),
    ("thumbnail:10m,rate=5/s,peak=9/s", "rate, peak exclude each other"),
    ("thumbnail:10m,peak=nan", "peak is nan"),
    ("thumbnail:10m,unit=0s", "unit is 0 s"),
    ("cv:0", "cv is 0"),
    ("cv:nan", "cv is nan"),
    ("cv:100", "cv is 100: give a number above 0 and below 100"),
    ("cv:2,unit=0s", "unit is 0 s"),
]


@pytest.mark.parametrize(("text", "reason"), BAD, ids=[row[0] for row in BAD])
def test_a_transform_that_cannot_be_is_refused_by_its_parameters_name(text, reason):
    with pytest.raises(UsageError, match=reason):
        parse_transform(text)


IMPOSSIBLE = [
    ("thumbnail:1h", "to is 3600 s, but the source lasts for 10s: ask for less, or warp it"),
    ("thumbnail:5s,rate=100000000", "the most is 5e\\+07"),
    ("thumbnail:5s,unit=1ns", "more than 10,000,000"),
    ("cv:3", "cv: cv is 3, and no power of these gaps has it"),
    ("cv:cv=3,unit=1ns", "more than 10,000,000"),
]


@pytest.mark.parametrize(("text", "reason"), IMPOSSIBLE, ids=[row[0] for row in IMPOSSIBLE])
def test_what_cannot_be_done_to_a_source_is_refused_in_one_line(text, reason):
    with pytest.raises(UsageError, match=reason) as caught:
        changed(drawn("constant:rate=10", 10), text)
    assert "\n" not in str(caught.value)
